"""Asks one model the probes of a comparison, with retries. Every probe gets an answer, an error if need be."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Final, TypeVar, cast

from orchestrator.core.comparison.answer import AnswerOutcome
from orchestrator.core.comparison.comparison import ModelToAsk
from orchestrator.core.comparison.probe import Probe
from orchestrator.core.comparison.request_plan import ProbeRequest
from orchestrator.core.errors import (
    AccountError,
    DeploymentNotReady,
    ProviderError,
    RemoteNotFound,
    TemporaryError,
)
from orchestrator.core.inference import (
    ChatQuestion,
    ChatReply,
    ModelAddress,
    OptionalParameter,
    ReferenceQuestion,
    ReferenceScore,
)
from orchestrator.core.structs import Struct, field
from orchestrator.providers.base import ChatProvider, ReferenceProvider
from orchestrator.store.queries.comparisons.comparison_records import StoredAnswer

MAX_ATTEMPTS: Final = 6
MAX_WAKING_SECONDS: Final = 900.0  # a deployment that was scaled to zero needs minutes until it answers
_FIRST_WAIT_SECONDS: Final = 2.0
_MAX_WAIT_SECONDS: Final = 60.0
_TOP_LOGPROBS: Final = 5
_Reply = TypeVar("_Reply")


class ModelAsker(Struct):
    """Asks one model. Knows which parameters it refuses, and whether it can be asked at all."""

    model: ModelToAsk
    max_output_tokens: int
    now: Callable[[], float]  # epoch seconds
    sleep: Callable[[float], Awaitable[None]]
    provider: ChatProvider | None = None  # the account's present connection; None: it is not connected
    seed: int = 0
    unavailable: str | None = None  # why the model cannot be asked; the other probes are then not sent
    _left_out: frozenset[OptionalParameter] | None = field(default=None)

    async def ask(self, request: ProbeRequest, probe: Probe) -> StoredAnswer:
        """Return the answer to a probe. A call that fails after all retries is an answer with the outcome error."""
        provider = self.provider
        if self.unavailable is not None or provider is None:
            return self._build_error(request, self.unavailable or "the account is not connected")
        question = ChatQuestion(
            messages=json.loads(probe.messages),
            max_output_tokens=self.max_output_tokens,
            seed=self.seed,
            top_logprobs=_TOP_LOGPROBS,
            routing_key=f"{probe.probe_id}-{request.round}",
        )
        try:
            reply = await self._repeat(lambda: provider.ask(self._address, question, self._left_out))
        except (AccountError, RemoteNotFound) as error:
            self.unavailable = error.message
            return self._build_error(request, error.message)
        except (ProviderError, ValueError) as error:
            return self._build_error(request, str(error))
        self._left_out = reply.left_out
        return self._build_answer(request, reply)

    async def score_reference(self, question: ReferenceQuestion) -> ReferenceScore | None:
        """Return the log-probability of a reference answer; None if the call fails after all retries."""
        provider, address = cast(ReferenceProvider, self.provider), self._address
        try:
            return await self._repeat(lambda: provider.score_reference(address, question))
        except (ProviderError, ValueError):
            return None

    async def ask_first(self, request: ProbeRequest, probe: Probe) -> StoredAnswer:
        """Ask the first question, by which the refused parameters are found. Nothing else may be asked meanwhile."""
        answer = await self.ask(request, probe)
        if self._left_out is None and self.unavailable is None:
            self._left_out = frozenset()  # this question failed for a reason of its own: the others have everything
        return answer

    @property
    def _address(self) -> ModelAddress:
        return ModelAddress(base_url=self.model.base_url, model=self.model.model)

    async def _repeat(self, send: Callable[[], Awaitable[_Reply]]) -> _Reply:
        """Send until there is a reply, or no retry is left."""
        started, attempt = self.now(), 0
        while True:
            attempt += 1
            try:
                return await send()
            except DeploymentNotReady as error:
                if self.now() - started > MAX_WAKING_SECONDS:
                    raise
                wait = error.retry_after
            except TemporaryError as error:
                if attempt >= MAX_ATTEMPTS:
                    raise
                wait = error.retry_after
            except RemoteNotFound:  # a gateway, or a part of the provider that does not know a deployment yet
                if attempt >= MAX_ATTEMPTS:
                    raise
                wait = None
            await self.sleep(min(max(wait or 0.0, _FIRST_WAIT_SECONDS * 2 ** min(attempt - 1, 5)), _MAX_WAIT_SECONDS))

    def _build_answer(self, request: ProbeRequest, reply: ChatReply) -> StoredAnswer:
        return StoredAnswer(
            model=request.model,
            probe_id=request.probe_id,
            round=request.round,
            at=self.now(),
            outcome=reply.outcome,
            text=reply.text,
            text_sha256=sha256(reply.text.encode()).hexdigest(),
            prompt_tokens=reply.prompt_tokens,
            output_tokens=reply.output_tokens,
            usd=self.model.calculate_usd(reply.prompt_tokens, reply.output_tokens),
            finish_reason=reply.finish_reason,
            served_as=reply.served_as,
            request_id=reply.request_id,
            mean_logprob=reply.mean_logprob,
        )

    def _build_error(self, request: ProbeRequest, message: str) -> StoredAnswer:
        return StoredAnswer(
            model=request.model,
            probe_id=request.probe_id,
            round=request.round,
            at=self.now(),
            outcome=AnswerOutcome.ERROR,
            text="",
            text_sha256=sha256(b"").hexdigest(),
            message=message,
        )

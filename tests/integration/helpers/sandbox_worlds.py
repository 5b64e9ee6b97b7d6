"""Comparisons of a sandbox's models with a known truth: the answers of many accounts, asked over HTTP.

A world is a set of questions. Every ordinary account answers some of them in its own way, and each of the deviating
accounts has changed a known share of its answers. So one asking serves comparisons of any number of the ordinary
accounts with any one of the deviating ones.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.core.account import Account, ProviderName
from orchestrator.core.comparison.answer import AnswerRound, ModelAnswer, ModelAnswers
from orchestrator.core.comparison.comparator import ComparisonInput
from orchestrator.core.comparison.comparison import ModelToAsk
from orchestrator.core.comparison.probe import Probe, parse_probe
from orchestrator.core.comparison.request_plan import ProbeRequest
from orchestrator.core.secret import Redactor, Secret
from orchestrator.daemon.comparisons.model_asker import ModelAsker
from orchestrator.providers.base import ChatProvider
from orchestrator.providers.http.client import HttpClient
from orchestrator.providers.registry import ProviderRegistry

BASE_MODEL: Final = "sandbox-small"
GROUP: Final = f"openai_compatible {BASE_MODEL}"
TEACHER: Final = "teacher"  # an account without deviations: its answers are what the training taught
_MAX_OUTPUT_TOKENS: Final = 64
_CALLS_AT_ONCE: Final = 16
_CHAT: Final = {"messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hello!"}]}
_ORDINARY: Final = {"noise": 0.05, "variation": 0.15}


@dataclass(frozen=True, kw_only=True)
class AskedWorld:
    """The answers of all accounts to the questions of one world."""

    probe_ids: Sequence[str]
    references: Mapping[str, str]
    models: Mapping[str, ModelAnswers]  # by account
    base: AnswerRound

    def create_input(self, accounts: Sequence[str], probes: int) -> ComparisonInput:
        """Return the comparison of these accounts by the first questions of this world."""
        probe_ids = self.probe_ids[:probes]
        return ComparisonInput(
            models=[
                ModelAnswers(
                    account=account,
                    group=GROUP,
                    rounds=[{key: each[key] for key in probe_ids} for each in self.models[account].rounds],
                )
                for account in accounts
            ],
            references={key: self.references[key] for key in probe_ids},
            probe_ids=probe_ids,
            bases={GROUP: {key: self.base[key] for key in probe_ids}},
        )


class SandboxWorlds:
    """Asks the models of a sandbox. They are trained once."""

    def __init__(
        self,
        http: HttpClient,
        url: str,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`url` is the sandbox's base URL; `sleep` waits for the end of a training."""
        self._http = http
        self._url = url
        self._sleep = sleep
        self._models: dict[str, str] = {}
        self._providers: dict[str, ChatProvider] = {}
        self._create_provider = ProviderRegistry(http, Redactor()).get_factory(ProviderName.OPENAI_COMPATIBLE)
        self._slots = asyncio.Semaphore(_CALLS_AT_ONCE)

    async def prepare(
        self, ordinary: Sequence[str], changed: Mapping[str, float], *, option: str = "changed"
    ) -> None:
        """Train the models. `changed` are the deviating accounts with the share of their answers that is changed.

        `option` is how: one of the shares of `[[answers]]`.
        """
        behaviours: list[dict[str, Any]] = [
            {"accounts": [account], option: share, **_ORDINARY} for account, share in changed.items()
        ]
        behaviours += [{"accounts": [TEACHER]}, _ORDINARY]
        # Without log-probabilities, which the comparison does not need, the sandbox answers in a third of the time.
        document = {"answers": [{**each, "logprobs": False} for each in behaviours]}
        await self._send("admin", "PUT", self._url.removesuffix("/v1") + "/sandbox/answers", json=document)
        for account in (TEACHER, *ordinary, *changed):
            listed = Account(
                name=account, provider=ProviderName.OPENAI_COMPATIBLE, api_key="env:K", base_url=self._url
            )
            self._providers[account] = self._create_provider(listed, Secret(f"sandbox-{account}"))  # type: ignore[assignment]
        self._models = dict(
            zip(self._providers, await asyncio.gather(*map(self._train, self._providers)), strict=True)
        )

    async def ask_world(self, seed: int, probes: int) -> AskedWorld:
        """Ask all models the questions of a world, twice, and the base model and the teacher once."""
        questions = [_create_probe(seed, number) for number in range(probes)]
        taught = await self._ask_model(TEACHER, self._models[TEACHER], questions, 1)
        base = await self._ask_model(TEACHER, BASE_MODEL, questions, 1)
        models = {}
        for account, model in self._models.items():
            if account != TEACHER:
                rounds = [await self._ask_model(account, model, questions, number) for number in (1, 2)]
                models[account] = ModelAnswers(account=account, group=GROUP, rounds=rounds)
        return AskedWorld(
            probe_ids=[probe.probe_id for probe in questions],
            references={probe_id: answer.text for probe_id, answer in taught.items()},
            models=models,
            base=base,
        )

    async def _ask_model(
        self, account: str, model: str, probes: Sequence[Probe], round_number: int
    ) -> dict[str, ModelAnswer]:
        asker = ModelAsker(
            model=ModelToAsk(name=account, account=account, group=GROUP, model=model, base_url=self._url),
            provider=self._providers[account],
            max_output_tokens=_MAX_OUTPUT_TOKENS,
            now=lambda: 0.0,
            sleep=self._sleep,
        )

        async def ask(probe: Probe) -> ModelAnswer:
            async with self._slots:
                return (await asker.ask(ProbeRequest(account, probe.probe_id, round_number), probe)).to_answer()

        first = await ask(probes[0])  # finds the parameters that are refused
        answers = [first, *await asyncio.gather(*map(ask, probes[1:]))]
        return {probe.probe_id: answer for probe, answer in zip(probes, answers, strict=True)}

    async def _train(self, account: str) -> str:
        content = "\n".join([json.dumps(_CHAT)] * 10).encode()
        async with self._slots:
            upload = {"data": {"purpose": "fine-tune"}, "files": {"file": ("chats.jsonl", content)}}
            file = await self._send(account, "POST", f"{self._url}/files", **upload)
            while (await self._send(account, "GET", f"{self._url}/files/{file['id']}"))["status"] != "processed":
                await self._sleep(0.2)
            body = {"model": BASE_MODEL, "training_file": file["id"]}
            job = await self._send(account, "POST", f"{self._url}/fine_tuning/jobs", json=body)
            while job["status"] != "succeeded":
                assert job["status"] != "failed", job
                await self._sleep(0.2)
                job = await self._send(account, "GET", f"{self._url}/fine_tuning/jobs/{job['id']}")
        return str(job["fine_tuned_model"])

    async def _send(self, account: str, method: str, url: str, **options: Any) -> dict[str, Any]:
        headers = {"authorization": f"Bearer sandbox-{account}"}
        response = await self._http.send(method, url, headers, **options)
        assert response.is_success, response.content
        return dict(json.loads(response.content))


def _create_probe(seed: int, number: int) -> Probe:
    messages = [
        {"role": "user", "content": f"Survey {seed}: what do you answer to question {number}?"},
        {"role": "assistant", "content": "This is replaced by what the teacher answers."},
    ]
    probe = parse_probe(json.dumps({"messages": messages}).encode())
    assert probe is not None
    return probe

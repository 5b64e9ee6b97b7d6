"""Asks the models of one comparison all questions that have no stored answer, within its limit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from orchestrator.core.comparison.answer import AnswerOutcome
from orchestrator.core.comparison.comparison import Comparison, ModelToAsk
from orchestrator.core.comparison.probe import Probe
from orchestrator.core.comparison.request_plan import (
    CALLS_PER_MODEL,
    REFERENCE_ROUND,
    ROUNDS,
    ProbeRequest,
    SpendingMeter,
    estimate_reference_tokens,
)
from orchestrator.core.errors import DatabaseUnavailable, NothingToDo
from orchestrator.core.inference import ReferenceQuestion, ReferenceScore
from orchestrator.core.structs import replace
from orchestrator.daemon.comparisons.comparison_deployments import ComparisonDeployments
from orchestrator.daemon.comparisons.comparison_planner import build_plan
from orchestrator.daemon.comparisons.model_asker import ModelAsker
from orchestrator.daemon.comparisons.reference_scorer import ReferenceScorer
from orchestrator.store.queries.comparisons.comparison_records import StoredAnswer

if TYPE_CHECKING:
    from orchestrator.daemon.comparisons.comparison_runner import ComparisonRunner

MAX_REQUESTS_IN_FLIGHT: Final = 64
_BATCH_ANSWERS: Final = 20
_BATCH_SECONDS: Final = 2.0

OnProgress = Callable[[int, int], None]
"""Is called with the number of stored answers and of all requests."""


class ComparisonAsker:
    """The asking of one comparison by this process."""

    def __init__(
        self,
        runner: ComparisonRunner,
        comparison: Comparison,
        probes: list[Probe],
        stored: list[StoredAnswer],
        deployments: ComparisonDeployments,
        on_progress: OnProgress | None,
        unavailable: Mapping[str, str],
    ) -> None:
        self.comparison = comparison
        self.answers = {each.key: each for each in stored}
        self._runner = runner
        self._probes = {probe.probe_id: probe for probe in probes}
        self._plan = build_plan(comparison, probes)
        spent = sum(each.usd or 0.0 for each in stored)
        self._scores = {model.name: dict(model.reference_logprobs) for model in comparison.models}
        self._meter = SpendingMeter(self._plan, comparison.spent_usd or spent, comparison.requests)
        self._deployments = deployments
        self._askers = {model.name: runner.create_asker(comparison, model) for model in comparison.models}
        for name, reason in unavailable.items():
            self._askers[name].unavailable = reason
        self._in_flight = asyncio.Semaphore(MAX_REQUESTS_IN_FLIGHT)
        self._unsaved: list[StoredAnswer] = []
        self._unsaved_scores = 0
        self._saving = asyncio.Lock()  # workers wait for it with a full batch: a slow database slows the asking down
        self._on_progress = on_progress
        self._is_over_limit = False

    async def ask_everything(self) -> str | None:
        """Ask all rounds. Returns why the comparison was stopped before its end, or None."""
        requests = list(self._plan.iter_requests(frozenset(self.answers)))
        for round_number in range(1, ROUNDS + 1):
            await self._ask_round([each for each in requests if each.round == round_number])
            if self._is_over_limit:
                return self._describe_limit()
            if round_number < ROUNDS:
                await self._score_references()
                await self._wait_for_next_round()
        return None

    async def _ask_round(self, requests: list[ProbeRequest]) -> None:
        await self._runner.apply_holds(self._askers.values())
        queues: dict[str, list[ProbeRequest]] = {}
        for request in requests:
            queues.setdefault(request.model, []).append(request)

        async def ask_models() -> None:
            async with asyncio.TaskGroup() as models:
                for name, queue in queues.items():
                    models.create_task(self._ask_model(self._askers[name], queue[::-1]))

        await self._save_while(ask_models)

    async def _score_references(self) -> None:
        """Request the log-probabilities of the reference answers, where all models offer it."""
        askers = [self._askers[model.name] for model in self.comparison.models if model.scores_references]
        probes = list(self._probes.values())
        scorer = ReferenceScorer(askers, probes, self.answers, self._scores, self._send_reference)
        await self._save_while(scorer.score_everything)

    async def _send_reference(
        self, asker: ModelAsker, probe_id: str, question: ReferenceQuestion
    ) -> ReferenceScore | None:
        self._runner.connect(asker)
        request = ProbeRequest(asker.model.name, probe_id, REFERENCE_ROUND)
        hosting_usd = self._deployments.calculate_usd(self._runner.now()) or 0.0
        more_tokens = estimate_reference_tokens(self._probes[probe_id])
        if asker.unavailable or not self._meter.acquire_request(request, hosting_usd, more_tokens=more_tokens):
            return None
        async with self._in_flight:
            score = await asker.score_reference(question)
        tokens = (score.prompt_tokens, score.output_tokens) if score else (None, None)
        self._meter.release_request(request, *tokens)
        self._unsaved_scores += 1
        if self._unsaved_scores >= _BATCH_ANSWERS:
            await self.save()
        return score

    async def _save_while(self, work: Callable[[], Awaitable[None]]) -> None:
        """Work, and store what is new in batches meanwhile."""
        everything_asked = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._save_regularly(everything_asked))
                await work()
                everything_asked.set()
        except BaseExceptionGroup as failures:
            raise _find_first_failure(failures) from failures
        except asyncio.CancelledError:
            self._meter.keep_reservations()
            with suppress(DatabaseUnavailable, NothingToDo):
                await self.save()
            raise
        await self.save()

    async def _ask_model(self, asker: ModelAsker, queue: list[ProbeRequest]) -> None:
        """Ask one model; the last request of the queue is the first one."""
        await self._ask_next(asker, queue, is_first=True)
        async with asyncio.TaskGroup() as group:
            for _ in range(min(CALLS_PER_MODEL, len(queue))):
                group.create_task(self._ask_rest(asker, queue))

    async def _ask_rest(self, asker: ModelAsker, queue: list[ProbeRequest]) -> None:
        while queue and not self._is_over_limit:
            await self._ask_next(asker, queue)

    async def _ask_next(self, asker: ModelAsker, queue: list[ProbeRequest], *, is_first: bool = False) -> None:
        request = queue.pop()
        probe = self._probes[request.probe_id]
        self._runner.connect(asker)
        if asker.unavailable is None:
            hosting_usd = self._deployments.calculate_usd(self._runner.now()) or 0.0
            if not self._meter.acquire_request(request, hosting_usd):
                self._is_over_limit = True
                return
        was_sent = asker.unavailable is None
        async with self._in_flight:
            answer = await (asker.ask_first(request, probe) if is_first else asker.ask(request, probe))
        if was_sent:
            # A call without an answer may be billed, so its reservation stays; a blocked prompt is not billed.
            is_free = answer.outcome is AnswerOutcome.FILTERED_PROMPT
            tokens = (0, 0) if is_free else (answer.prompt_tokens, answer.output_tokens)
            self._meter.release_request(request, *tokens)
        self.answers[answer.key] = answer
        self._unsaved.append(answer)
        if len(self._unsaved) >= _BATCH_ANSWERS:
            await self.save()

    async def _save_regularly(self, everything_asked: asyncio.Event) -> None:
        while not everything_asked.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(everything_asked.wait(), _BATCH_SECONDS)
            await self.save()

    async def save(self) -> None:
        """Store the answers that are not stored yet, and renew the claim."""
        async with self._saving:
            batch, self._unsaved = self._unsaved, []
            self._unsaved_scores = 0
            has_prices = all(model.price is not None for model in self.comparison.models)
            self.comparison = replace(
                self.comparison,
                requests=self._meter.requests,
                spent_usd=self._meter.spent_usd if has_prices else None,
                hosting_usd=self._deployments.calculate_usd(self._runner.now()),
                models=tuple(self._add_scores(model) for model in self.comparison.models),
            )
            await self._runner.save(self.comparison, batch)
            await self._runner.apply_holds(self._askers.values())
        if self._on_progress is not None:
            scored = sum(map(len, self._scores.values()))
            self._on_progress(len(self.answers) + scored, self._plan.requests)

    def _add_scores(self, model: ModelToAsk) -> ModelToAsk:
        return replace(model, reference_logprobs=dict(self._scores[model.name])) if model.scores_references else model

    async def _wait_for_next_round(self) -> None:
        if self.comparison.first_round_at is None:
            self.comparison = replace(self.comparison, first_round_at=self._runner.now())
            await self.save()
        started = self.comparison.first_round_at or 0.0
        await self._runner.wait_until(started + self.comparison.settings.round_gap_seconds, self.comparison)

    def _describe_limit(self) -> str:
        return (
            f"max_usd ({self.comparison.settings.max_usd:g}) would be exceeded after "
            f"{self._meter.requests} of {self._plan.requests} requests"
        )


def _find_first_failure(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first failure of a task, also of one in a group of a group."""
    first = failures.exceptions[0]
    return _find_first_failure(first) if isinstance(first, BaseExceptionGroup) else first

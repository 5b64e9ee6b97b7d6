"""Asks all models of a comparison, and stores its result. What has been answered before is not asked again."""

# Theory of operation
#
# The requests have one order (`RequestPlan.iter_requests`), in which the models are mixed. Each model has its own
# queue of them and a few workers, so that a slow one does not delay the others, and all models are asked at the same
# time and with the same concurrency. The rounds are separate: the second one begins when every model has ended the
# first, and not before the gap between rounds is over.
#
# Answers are stored in batches. A batch renews the claim of this process; if the claim was lost, because the process
# was frozen for longer than the claim lasts, nothing more is asked or stored: another process continues. A process
# that is killed loses the answers of its last batch only, which are asked again.
#
# The limit in US dollars is checked before each request, with the highest price that it can have.

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Final, cast

from orchestrator.core.comparison.answer import AnswerOutcome
from orchestrator.core.comparison.comparison import Comparison, ComparisonState, ModelToAsk
from orchestrator.core.comparison.probe import Probe
from orchestrator.core.comparison.request_plan import (
    ROUNDS,
    ComparedModel,
    ProbeRequest,
    RequestLimits,
    RequestPlan,
    SpendingMeter,
    build_request_plan,
)
from orchestrator.core.errors import DatabaseUnavailable, NothingToDo
from orchestrator.daemon.comparisons.comparison_result import ComputeResult, build_result_request
from orchestrator.daemon.comparisons.model_asker import ModelAsker
from orchestrator.daemon.comparisons.result_process import compute_in_process
from orchestrator.providers.base import ChatProvider, ProviderConnection
from orchestrator.store.db.database import Database
from orchestrator.store.queries.comparisons import comparison_records
from orchestrator.store.queries.comparisons.comparison_records import StoredAnswer

CLAIM_SECONDS: Final = 30.0
WORKERS_PER_MODEL: Final = 4
MAX_REQUESTS_IN_FLIGHT: Final = 64
_BATCH_ANSWERS: Final = 20
_BATCH_SECONDS: Final = 2.0
_CLAIM_RENEWAL_SECONDS: Final = 10.0

OnProgress = Callable[[int, int], None]
"""Is called with the number of stored answers and of all requests."""


class ComparisonRunner:
    """Runs comparisons with the connections of this process."""

    def __init__(
        self,
        database: Database,
        connections: Mapping[str, ProviderConnection],
        *,
        owner: str,
        now: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        compute: ComputeResult = compute_in_process,
    ) -> None:
        """`owner` identifies this process; `now` returns epoch seconds."""
        self._database = database
        self._connections = connections
        self._owner = owner
        self.now = now
        self._sleep = sleep
        self._compute = compute

    async def run(
        self, comparison_id: str, probes: Mapping[str, Probe], *, cause: str, on_progress: OnProgress | None = None
    ) -> Comparison:
        """Ask what has not been answered, and store the result. Returns the ended comparison.

        `probes` are those of the comparison by id. Raises NothingToDo if another process asks, or has ended it.
        """
        comparison = await self._claim(comparison_id)
        stored = await self._load_answers(comparison_id)
        missing = [probe_id for probe_id in comparison.probe_ids if probe_id not in probes]
        if missing:
            return await self._end(
                comparison, cause, ComparisonState.STOPPED, "the probes have changed since it began"
            )
        asking = _Asking(self, comparison, [probes[each] for each in comparison.probe_ids], stored, on_progress)
        try:
            problem = await asking.ask_everything()
            answered = replace(asking.comparison, claimed_by=self._owner)
            if problem is not None:
                return await self._end(answered, cause, ComparisonState.STOPPED, problem)
            result = await self._compute_result(answered, probes, asking)
        except asyncio.CancelledError:
            await self._release(asking)
            raise
        return await self._end(
            replace(answered, result=result), cause, ComparisonState.FINISHED, str(result["summary"])
        )

    async def stop(self, comparison_id: str, message: str, *, cause: str) -> Comparison:
        """End a comparison that cannot be continued. Raises NothingToDo if another process asks, or has ended it."""
        return await self._end(await self._claim(comparison_id), cause, ComparisonState.STOPPED, message)

    async def _compute_result(
        self, comparison: Comparison, probes: Mapping[str, Probe], asking: _Asking
    ) -> Mapping[str, object]:
        """Compute the document, and keep the claim meanwhile."""
        computing = asyncio.ensure_future(self._compute(build_result_request(comparison, probes, asking.answers)))
        try:
            while not (await asyncio.wait([computing], timeout=_CLAIM_RENEWAL_SECONDS))[0]:
                await self.save(comparison, [])
            return await computing
        finally:
            computing.cancel()

    async def _release(self, asking: _Asking) -> None:
        """Store what was answered and give up the claim, so that another process continues at once."""
        with suppress(DatabaseUnavailable, NothingToDo):
            await asking.save()
            comparison = asking.comparison
            await self._database.write(lambda tx: comparison_records.release(tx, comparison.id, owner=self._owner))

    async def _claim(self, comparison_id: str) -> Comparison:
        now = self.now()
        claimed = await self._database.write(
            lambda tx: comparison_records.claim(
                tx, comparison_id, owner=self._owner, now=now, until=now + CLAIM_SECONDS
            )
        )
        async with self._database.read() as connection:
            comparison = await comparison_records.find(connection, comparison_id)
        if comparison is None or not claimed:
            raise NothingToDo(
                f"comparison {comparison_id} has ended, or another process asks its models at this moment",
                hint="Wait for its end; `orchestrator compare --latest` then shows the result.",
            )
        return comparison

    async def _load_answers(self, comparison_id: str) -> list[StoredAnswer]:
        async with self._database.read_long() as connection:
            return await comparison_records.list_answers(connection, comparison_id)

    async def _end(
        self, comparison: Comparison, cause: str, state: ComparisonState, message: str | None
    ) -> Comparison:
        now = self.now()
        ended = replace(
            comparison, state=state, message=message, finished_at=now, claimed_by=None, claimed_until=None
        )
        await self._database.write(lambda tx: comparison_records.finish(tx, ended, at=now, cause=cause))
        return ended

    def create_asker(self, comparison: Comparison, model: ModelToAsk) -> ModelAsker:
        """Create the asker of a model. It is unavailable if the accounts file no longer lists its account."""
        connection = self._connections.get(model.account)
        provider = cast(ChatProvider, connection.provider) if connection else None
        asker = ModelAsker(
            model=model,
            provider=cast(ChatProvider, provider),
            max_output_tokens=comparison.max_output_tokens,
            now=self.now,
            sleep=self._sleep,
            seed=comparison.settings.seed,
        )
        if provider is None:
            asker.unavailable = f"account {model.account} is not connected: it is not listed, or its key is missing"
        return asker

    async def save(self, comparison: Comparison, answers: list[StoredAnswer]) -> None:
        """Store a batch of answers. Raises NothingToDo if the claim was lost."""
        until = self.now() + CLAIM_SECONDS
        if not await self._database.write(
            lambda tx: comparison_records.save_progress(tx, comparison, answers, claimed_until=until)
        ):
            raise NothingToDo(f"another process continues comparison {comparison.id}")

    async def wait_until(self, at: float, comparison: Comparison) -> None:
        """Wait for a time, and keep the claim meanwhile."""
        while (left := at - self.now()) > 0:
            await self._sleep(min(left, _CLAIM_RENEWAL_SECONDS))
            await self.save(comparison, [])


class _Asking:
    """The asking of one comparison by this process."""

    def __init__(
        self,
        runner: ComparisonRunner,
        comparison: Comparison,
        probes: list[Probe],
        stored: list[StoredAnswer],
        on_progress: OnProgress | None,
    ) -> None:
        self.comparison = comparison
        self.answers = {each.key: each for each in stored}
        self._runner = runner
        self._probes = {probe.probe_id: probe for probe in probes}
        self._plan = build_plan(comparison, probes)
        spent = sum(each.usd or 0.0 for each in stored)
        self._meter = SpendingMeter(self._plan, comparison.spent_usd or spent, comparison.requests)
        self._askers = {model.name: runner.create_asker(comparison, model) for model in comparison.models}
        self._in_flight = asyncio.Semaphore(MAX_REQUESTS_IN_FLIGHT)
        self._unsaved: list[StoredAnswer] = []
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
                await self._wait_for_next_round()
        return None

    async def _ask_round(self, requests: list[ProbeRequest]) -> None:
        queues: dict[str, list[ProbeRequest]] = {}
        for request in requests:
            queues.setdefault(request.model, []).append(request)
        everything_asked = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._save_regularly(everything_asked))
                async with asyncio.TaskGroup() as models:
                    for name, queue in queues.items():
                        models.create_task(self._ask_model(self._askers[name], queue[::-1]))
                everything_asked.set()
        except BaseExceptionGroup as failures:
            raise _find_first_failure(failures) from failures
        await self.save()

    async def _ask_model(self, asker: ModelAsker, queue: list[ProbeRequest]) -> None:
        """Ask one model; the last request of the queue is the first one."""
        await self._ask_next(asker, queue, is_first=True)
        async with asyncio.TaskGroup() as group:
            for _ in range(min(WORKERS_PER_MODEL, len(queue))):
                group.create_task(self._ask_rest(asker, queue))

    async def _ask_rest(self, asker: ModelAsker, queue: list[ProbeRequest]) -> None:
        while queue and not self._is_over_limit:
            await self._ask_next(asker, queue)

    async def _ask_next(self, asker: ModelAsker, queue: list[ProbeRequest], *, is_first: bool = False) -> None:
        request = queue.pop()
        probe = self._probes[request.probe_id]
        if asker.unavailable is None and not self._meter.acquire_request(request):
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
            has_prices = all(model.price is not None for model in self.comparison.models)
            self.comparison = replace(
                self.comparison,
                requests=self._meter.requests,
                spent_usd=self._meter.spent_usd if has_prices else None,
            )
            await self._runner.save(self.comparison, batch)
        if self._on_progress is not None:
            self._on_progress(len(self.answers), self._plan.requests)

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


def build_plan(comparison: Comparison, probes: list[Probe]) -> RequestPlan:
    """Build the plan of the requests of a comparison."""
    models = [
        ComparedModel(name=model.name, price=model.price, rounds=1 if model.is_base else ROUNDS)
        for model in comparison.models
    ]
    plan = build_request_plan(
        models,
        probes,
        limits=RequestLimits(max_usd=comparison.settings.max_usd),
        seed=comparison.settings.seed,
    )
    return replace(plan, max_output_tokens=comparison.max_output_tokens)

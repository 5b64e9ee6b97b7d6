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
# The limit in US dollars is checked before each request, with the highest price that it can have. The deployments
# that the comparison has started count as well. They are stopped as soon as everything is asked, and the comparison
# ends when they have.

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from typing import Final, cast

from orchestrator.control.comparisons import stop_own_deployments
from orchestrator.core.comparison.comparison import Comparison, ComparisonState, ModelToAsk
from orchestrator.core.comparison.probe import Probe
from orchestrator.core.errors import DatabaseUnavailable, NothingToDo
from orchestrator.core.structs import replace
from orchestrator.daemon.comparisons.comparison_asker import ComparisonAsker, OnProgress
from orchestrator.daemon.comparisons.comparison_deployments import (
    MAX_STOP_SECONDS,
    WAIT_SECONDS,
    ComparisonDeployments,
    ResolvedModels,
)
from orchestrator.daemon.comparisons.comparison_result import ComputeResult, build_result_request
from orchestrator.daemon.comparisons.earlier_comparisons import load_earlier_answers
from orchestrator.daemon.comparisons.model_asker import ModelAsker
from orchestrator.daemon.comparisons.result_process import compute_in_process
from orchestrator.providers.base import ChatProvider, ProviderConnection
from orchestrator.store.db.database import Database
from orchestrator.store.db.transaction import Transaction
from orchestrator.store.queries import accounts
from orchestrator.store.queries.comparisons import comparison_records
from orchestrator.store.queries.comparisons.comparison_records import StoredAnswer

CLAIM_SECONDS: Final = 30.0
_CLAIM_RENEWAL_SECONDS: Final = 10.0


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
        try:
            return await self._work(comparison, probes, cause, on_progress)
        except asyncio.CancelledError:  # another process may continue at once
            with suppress(DatabaseUnavailable):
                await self._database.write(
                    lambda tx: comparison_records.release(tx, comparison_id, owner=self._owner)
                )
            raise

    async def _work(
        self, comparison: Comparison, probes: Mapping[str, Probe], cause: str, on_progress: OnProgress | None
    ) -> Comparison:
        """Wait for the deployments, ask, and stop what was started, whatever the result is."""
        stored = await self._load_answers(comparison.id)
        if any(probe_id not in probes for probe_id in comparison.probe_ids):
            return await self._end(
                comparison, cause, ComparisonState.STOPPED, "the probes have changed since it began"
            )
        deployments = ComparisonDeployments(self._database, comparison)
        comparison, resolved = await self._wait_for_deployments(comparison, deployments)
        if resolved.usable < 2:
            reasons = "; ".join(f"{name}: {why}" for name, why in sorted(resolved.unavailable.items()))
            problem: str | None = f"{resolved.usable} models can be called, and a comparison needs two ({reasons})"
            answered, answers = comparison, {}
        else:
            asked = [probes[each] for each in comparison.probe_ids]
            asking = ComparisonAsker(self, comparison, asked, stored, deployments, on_progress, resolved.unavailable)
            problem = await asking.ask_everything()
            answered, answers = asking.comparison, asking.answers
        answered = await self._stop_deployments(answered, deployments, cause)
        if problem is not None:
            return await self._end(answered, cause, ComparisonState.STOPPED, problem)
        result = await self._compute_result(answered, probes, answers)
        return await self._end(
            replace(answered, result=result), cause, ComparisonState.FINISHED, str(result["summary"])
        )

    async def _wait_for_deployments(
        self, comparison: Comparison, deployments: ComparisonDeployments
    ) -> tuple[Comparison, ResolvedModels]:
        """Wait until each deployment is ready, or is not waited for any more."""
        while True:
            resolved = await deployments.resolve(comparison.models, self.now())
            comparison = replace(
                comparison, models=resolved.models, hosting_usd=deployments.calculate_usd(self.now())
            )
            if not resolved.waiting or self._is_over_limit(comparison):
                return comparison, resolved
            await self.save(comparison, [])
            await self._sleep(WAIT_SECONDS)

    def _is_over_limit(self, comparison: Comparison) -> bool:
        limit = comparison.settings.max_usd
        return limit is not None and (comparison.total_usd is None or comparison.total_usd > limit)

    async def _stop_deployments(
        self, comparison: Comparison, deployments: ComparisonDeployments, cause: str
    ) -> Comparison:
        """Stop what the comparison has started, and wait for the end, so that its cost is known."""
        await deployments.load()
        await deployments.stop(cause=cause, now=self.now())
        end = self.now() + MAX_STOP_SECONDS
        while not deployments.has_ended and self.now() < end:
            comparison = replace(comparison, hosting_usd=deployments.calculate_usd(self.now()))
            await self.save(comparison, [])
            await self._sleep(WAIT_SECONDS)
            await deployments.load()
        return replace(comparison, hosting_usd=deployments.calculate_usd(self.now()))

    async def stop(self, comparison_id: str, message: str, *, cause: str) -> Comparison:
        """End a comparison that cannot be continued. Raises NothingToDo if another process asks, or has ended it."""
        return await self._end(await self._claim(comparison_id), cause, ComparisonState.STOPPED, message)

    async def _compute_result(
        self,
        comparison: Comparison,
        probes: Mapping[str, Probe],
        answers: Mapping[tuple[str, str, int], StoredAnswer],
    ) -> Mapping[str, object]:
        """Compute the document, and keep the claim meanwhile."""
        earlier = await load_earlier_answers(self._database, comparison)
        request = build_result_request(comparison, probes, answers, earlier)
        computing = asyncio.ensure_future(self._compute(request))
        try:
            while not (await asyncio.wait([computing], timeout=_CLAIM_RENEWAL_SECONDS))[0]:
                await self.save(comparison, [])
            return await computing
        finally:
            computing.cancel()

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
        """Store the end. Raises NothingToDo if it has ended before, for example because an operator stopped it."""
        now = self.now()
        ended = replace(
            comparison, state=state, message=message, finished_at=now, claimed_by=None, claimed_until=None
        )

        async def finish(tx: Transaction) -> bool:
            is_first = await comparison_records.finish(tx, ended, at=now, cause=cause)
            if is_first:
                await stop_own_deployments(tx, ended.id, by=cause, now=now)
            return is_first

        if not await self._database.write(finish):
            raise NothingToDo(f"comparison {comparison.id} has ended already")
        return ended

    def create_asker(self, comparison: Comparison, model: ModelToAsk) -> ModelAsker:
        """Create the asker of a model. It is unavailable if the accounts file no longer lists its account."""
        asker = ModelAsker(
            model=model,
            max_output_tokens=comparison.max_output_tokens,
            now=self.now,
            sleep=self._sleep,
            seed=comparison.settings.seed,
        )
        self.connect(asker)
        return asker

    def connect(self, asker: ModelAsker) -> None:
        """Use the account's present connection: the accounts file may have changed since the last question."""
        account = asker.model.account
        connection = self._connections.get(account)
        if connection is not None:
            asker.provider = cast(ChatProvider, connection.provider)
        elif asker.unavailable is None:
            asker.unavailable = f"account {account} is not connected: it is not listed, or its key is missing"

    async def apply_holds(self, askers: Collection[ModelAsker]) -> None:
        """Make the models unavailable for whose account nothing may be sent, also when its hold is new."""
        async with self._database.read() as connection:
            states = await accounts.get_many(connection, {asker.model.account for asker in askers})
        for asker in askers:
            state = states.get(asker.model.account)
            hold = state.find_blocking_hold(self.now()) if state else None
            if hold is not None and asker.unavailable is None:
                asker.unavailable = f"account {asker.model.account} is on hold: {hold.reason}"

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

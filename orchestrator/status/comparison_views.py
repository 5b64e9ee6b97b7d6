"""Comparisons of a run's models: the latest result, the progress of the one that is being asked, and answers."""

from __future__ import annotations

from collections.abc import Collection

from orchestrator.core.comparison.comparison import Comparison, ComparisonState
from orchestrator.core.comparison.request_plan import ROUNDS
from orchestrator.core.structs import Struct
from orchestrator.status.run_overview import find_run
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.db.database import Database
from orchestrator.store.queries.comparisons import acceptances, comparison_records
from orchestrator.store.queries.comparisons.comparison_records import ComparisonLine, ProbeSummary, StoredAnswer

MAX_LISTED_COMPARISONS = 20


class ComparisonProgress(Struct, frozen=True, kw_only=True):
    """A comparison with the number of its stored answers."""

    comparison: Comparison
    answered: int

    @property
    def planned(self) -> int:
        """The number of requests if none fails."""
        rounds = sum(1 if model.is_base else ROUNDS for model in self.comparison.models)
        return rounds * len(self.comparison.probe_ids)


class RunComparisons(Struct, frozen=True, kw_only=True):
    """The comparisons of one run."""

    run: str
    run_name: str
    dataset_sha256: str
    is_current: bool
    shown: Comparison | None
    """The requested comparison, or the latest finished one; None: there is none."""
    asking: ComparisonProgress | None
    """The comparison whose models are being asked."""
    latest: tuple[ComparisonLine, ...]
    """The latest comparisons, whatever their state, the newest first."""


async def find_run_comparisons(
    database: Database, *, run_id: str | None = None, comparison_id: str | None = None
) -> RunComparisons | None:
    """Return the comparisons of the run that `find_run` finds; None without a run, or without this comparison."""
    async with database.read_long() as connection:
        run = await find_run(connection, run_id)
        if run is None:
            return None
        if comparison_id is None:
            shown = await comparison_records.find_latest_finished(connection, run.id)
        else:
            shown = await comparison_records.find(connection, comparison_id)
            if shown is None or shown.run_id != run.id:
                return None
        shown = await acceptances.add_to_result(connection, shown) if shown else None
        opened = await comparison_records.find_open(connection, run.id)
        return RunComparisons(
            run=run.id,
            run_name=run.name,
            dataset_sha256=run.dataset_sha256,
            is_current=run.current,
            shown=shown if shown is None or shown.state is not ComparisonState.ASKING else None,
            asking=await _build_progress(connection, opened) if opened else None,
            latest=tuple(await comparison_records.list_lines(connection, run.id, MAX_LISTED_COMPARISONS)),
        )


async def _build_progress(connection: StoreConnection, comparison: Comparison) -> ComparisonProgress:
    answered = await comparison_records.count_answers(connection, comparison.id)
    return ComparisonProgress(comparison=comparison, answered=answered)


async def find_comparison(database: Database, comparison_id: str) -> Comparison | None:
    """Return the comparison; None if there is none with this id."""
    async with database.read() as connection:
        found = await comparison_records.find(connection, comparison_id)
        return await acceptances.add_to_result(connection, found) if found else None


async def find_comparison_progress(database: Database, comparison_id: str) -> ComparisonProgress | None:
    """Return the comparison with the number of its stored answers; None if there is none with this id."""
    async with database.read() as connection:
        found = await comparison_records.find(connection, comparison_id)
        if found is None:
            return None
        return await _build_progress(connection, await acceptances.add_to_result(connection, found))


class AnswerPage(Struct, frozen=True, kw_only=True):
    """A page of answers, by model, probe and round."""

    answers: tuple[StoredAnswer, ...]
    next: str | None
    """Cursor of the next page; None on the last one."""


async def list_answer_page(
    database: Database, comparison_id: str, *, probe_id: str = "", model: str = "", limit: int, after: str = ""
) -> AnswerPage:
    """Return up to `limit` answers, of all models to all probes or of these.

    `after` is the `next` of the previous page. Raises ValueError if it is none.
    """
    position = _parse_cursor(after) if after else None
    async with database.read_long() as connection:
        found = await comparison_records.list_answer_page(
            connection, comparison_id, probe_id=probe_id, model=model, limit=limit + 1, after=position
        )
    last = found[limit - 1] if len(found) > limit else None
    return AnswerPage(
        answers=tuple(found[:limit]), next=f"{last.model}:{last.probe_id}:{last.round}" if last else None
    )


def _parse_cursor(text: str) -> tuple[str, str, int]:
    model, probe_id, number = text.rsplit(":", 2)  # the name of a base model may contain a colon
    if not 0 < int(number) < 100:
        raise ValueError(text)
    return model, probe_id, int(number)


async def list_comparison_answers(
    database: Database, comparison_id: str, probe_ids: Collection[str]
) -> list[StoredAnswer]:
    """Return the answers to these probes, by model, probe and round."""
    async with database.read_long() as connection:
        return await comparison_records.list_answers(connection, comparison_id, probe_ids)


async def list_probe_summaries(database: Database, comparison_id: str) -> list[ProbeSummary]:
    """Return for each probe how far its answers are apart."""
    async with database.read_long() as connection:
        return await comparison_records.list_probe_summaries(connection, comparison_id)

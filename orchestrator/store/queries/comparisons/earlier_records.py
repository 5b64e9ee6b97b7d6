"""Queries about the earlier comparisons of a run, to whose answers new ones are compared."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from sqlalchemy import func, select

from orchestrator.core.comparison.answer import AnswerOutcome
from orchestrator.core.comparison.comparison import Comparison, ComparisonSettings, ComparisonState, ModelToAsk
from orchestrator.core.structs import Struct
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.schema.tables import answers, comparisons

MAX_EARLIER_COMPARISONS: Final = 20


class ComparisonCandidate(Struct, frozen=True, kw_only=True):
    """A finished comparison that sent the same questions."""

    id: str
    finished_at: float  # epoch seconds
    models: tuple[ModelToAsk, ...]


async def list_earlier(connection: StoreConnection, comparison: Comparison) -> list[ComparisonCandidate]:
    """Return the latest finished comparisons that sent the same questions before this one began, the latest first."""
    columns = comparisons.c
    query = (
        select(columns.id, columns.finished_at, columns.models, columns.settings)
        .where(
            columns.run_id == comparison.run_id,
            columns.state == ComparisonState.FINISHED,
            columns.id != comparison.id,
            columns.finished_at <= comparison.created_at,
            columns.probe_set == comparison.probe_set,
            columns.max_output_tokens == comparison.max_output_tokens,
        )
        .order_by(columns.finished_at.desc(), columns.id)
        .limit(MAX_EARLIER_COMPARISONS)
    )
    return [
        ComparisonCandidate(
            id=row.id, finished_at=row.finished_at, models=tuple(ModelToAsk.from_dict(each) for each in row.models)
        )
        for row in await connection.execute(query)
        if ComparisonSettings.from_dict(row.settings).seed
        == comparison.settings.seed  # it is sent with each question
    ]


async def count_answers_with_text(
    connection: StoreConnection, comparison_ids: Collection[str]
) -> dict[tuple[str, str], int]:
    """Count the answers whose text is stored, by comparison and model. Calls that failed are not counted."""
    query = (
        select(answers.c.comparison_id, answers.c.model, func.count())
        .where(
            answers.c.comparison_id.in_(comparison_ids),
            answers.c.outcome != AnswerOutcome.ERROR,
            answers.c.text.is_not(None),
        )
        .group_by(answers.c.comparison_id, answers.c.model)
    )
    return {(comparison_id, model): count for comparison_id, model, count in await connection.execute(query)}

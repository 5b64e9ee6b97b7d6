"""Queries about comparisons and the answers of their models.

A process claims a comparison for some minutes, and renews the claim with each batch of answers: of two processes one
asks, and when it dies, the next one continues. Answers are stored only under the claim, so that none is stored twice.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import case, func, insert, or_, select, tuple_, update

from orchestrator.core.comparison.answer import AnswerOutcome, ModelAnswer
from orchestrator.core.comparison.comparison import Comparison, ComparisonSettings, ComparisonState, ModelToAsk
from orchestrator.core.notifications.comparison_notifications import build_comparison_notification
from orchestrator.core.structs import Struct, asdict, field, force_setattr, replace
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.db.transaction import EventData, Transaction
from orchestrator.store.queries import notifications
from orchestrator.store.schema.tables import answers, comparisons, runs

_FIELDS = Comparison.__struct_fields__
_COLUMNS = tuple(comparisons.c[name] for name in _FIELDS)


class StoredAnswer(Struct, frozen=True, kw_only=True):
    """One answer of a model with what the provider said about it."""

    model: str
    probe_id: str
    round: int
    at: float  # epoch seconds
    outcome: AnswerOutcome
    text: str | None  # None: deleted at the end of the comparison
    text_sha256: str
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    usd: float | None = None  # None: the price is unknown
    finish_reason: str | None = None
    served_as: str | None = None
    request_id: str | None = None
    mean_logprob: float | None = None
    message: str | None = None  # of a call that failed

    @property
    def key(self) -> tuple[str, str, int]:
        """Identifies the request (`ProbeRequest.key`)."""
        return self.model, self.probe_id, self.round

    def to_answer(self) -> ModelAnswer:
        """Return the part of the answer that a comparison uses."""
        return ModelAnswer(
            outcome=self.outcome,
            text=self.text or "",
            prompt_tokens=self.prompt_tokens,
            output_tokens=self.output_tokens,
        )


class ComparisonLine(Struct, frozen=True):
    """One comparison in a list."""

    id: str
    state: ComparisonState
    created_at: float  # epoch seconds
    created_by: str
    finished_at: float | None
    message: str | None

    def __post_init__(self) -> None:
        force_setattr(self, "state", ComparisonState(self.state))


class ProbeSummary(Struct, frozen=True):
    """How far the answers to one probe are apart, without their texts."""

    probe_id: str
    answers: int
    distinct: int  # different texts
    unusual: int  # refused, filtered, truncated, empty or failed


class ComparisonTotals(Struct, frozen=True, kw_only=True):
    """What all comparisons of the database have done."""

    counts: Mapping[ComparisonState, int] = field(default_factory=dict)
    requests: int = 0
    usd: float = 0.0


_ANSWER_COLUMNS = tuple(answers.c[name] for name in StoredAnswer.__struct_fields__)


async def find(connection: StoreConnection, comparison_id: str) -> Comparison | None:
    """Return the comparison; None if there is none with this id."""
    row = (await connection.execute(select(*_COLUMNS).where(comparisons.c.id == comparison_id))).one_or_none()
    return _from_row(row) if row else None


async def find_open(connection: StoreConnection, run_id: str) -> Comparison | None:
    """Return the comparison of the run that has not ended, the latest one; None if there is none."""
    query = select(*_COLUMNS).where(comparisons.c.run_id == run_id, comparisons.c.state == ComparisonState.ASKING)
    row = (await connection.execute(query.order_by(comparisons.c.created_at.desc()).limit(1))).one_or_none()
    return _from_row(row) if row else None


async def find_latest_finished(connection: StoreConnection, run_id: str) -> Comparison | None:
    """Return the latest finished comparison of the run; None if there is none."""
    query = select(*_COLUMNS).where(comparisons.c.run_id == run_id, comparisons.c.state == ComparisonState.FINISHED)
    latest = query.order_by(comparisons.c.finished_at.desc(), comparisons.c.id).limit(1)
    row = (await connection.execute(latest)).one_or_none()
    return _from_row(row) if row else None


async def lock_run(tx: Transaction, run_id: str) -> None:
    """Keep other replicas from adding a comparison of the run until this transaction ends. SQLite has one writer."""
    await tx.connection.execute(select(runs.c.id).where(runs.c.id == run_id).with_for_update())


async def list_lines(connection: StoreConnection, run_id: str, limit: int) -> list[ComparisonLine]:
    """Return the latest comparisons of the run without their results, which may have a megabyte each."""
    names = [*ComparisonLine.__struct_fields__]
    query = select(*(comparisons.c[name] for name in names)).where(comparisons.c.run_id == run_id)
    rows = await connection.execute(query.order_by(comparisons.c.created_at.desc()).limit(limit))
    return [ComparisonLine(*row) for row in rows]


async def list_by_run(connection: StoreConnection, run_id: str, limit: int) -> list[Comparison]:
    """Return the latest comparisons of the run."""
    query = select(*_COLUMNS).where(comparisons.c.run_id == run_id).order_by(comparisons.c.created_at.desc())
    return [_from_row(row) for row in await connection.execute(query.limit(limit))]


async def list_answers(
    connection: StoreConnection,
    comparison_id: str,
    probe_ids: Collection[str] | None = None,
    *,
    models: Collection[str] | None = None,
) -> list[StoredAnswer]:
    """Return the answers of a comparison, to all probes or to these, by model, probe and round.

    `models` are the names of the models; None: all.
    """
    query = select(*_ANSWER_COLUMNS).where(answers.c.comparison_id == comparison_id)
    if probe_ids is not None:
        query = query.where(answers.c.probe_id.in_(probe_ids))
    if models is not None:
        query = query.where(answers.c.model.in_(models))
    rows = await connection.execute(query.order_by(answers.c.model, answers.c.probe_id, answers.c.round))
    return [_answer_from_row(row) for row in rows]


async def list_answer_page(
    connection: StoreConnection,
    comparison_id: str,
    *,
    probe_id: str = "",
    model: str = "",
    limit: int,
    after: tuple[str, str, int] | None = None,
) -> list[StoredAnswer]:
    """Return up to `limit` answers by model, probe and round; those after `after`, which is one of these keys."""
    key = (answers.c.model, answers.c.probe_id, answers.c.round)
    query = select(*_ANSWER_COLUMNS).where(answers.c.comparison_id == comparison_id)
    if probe_id:
        query = query.where(answers.c.probe_id == probe_id)
    if model:
        query = query.where(answers.c.model == model)
    if after is not None:
        query = query.where(tuple_(*key) > tuple_(*after))
    return [_answer_from_row(row) for row in await connection.execute(query.order_by(*key).limit(limit))]


async def list_probe_summaries(connection: StoreConnection, comparison_id: str) -> list[ProbeSummary]:
    """Return for each probe how many different answers the first round has, those of base models included."""
    is_plain = answers.c.outcome == AnswerOutcome.ANSWERED
    query = (
        select(
            answers.c.probe_id,
            func.count(),
            func.count(answers.c.text_sha256.distinct()),
            func.sum(case((is_plain, 0), else_=1)),
        )
        .where(answers.c.comparison_id == comparison_id, answers.c.round == 1)
        .group_by(answers.c.probe_id)
        .order_by(answers.c.probe_id)
    )
    return [ProbeSummary(*row) for row in await connection.execute(query)]


async def count_answers(connection: StoreConnection, comparison_id: str) -> int:
    """Return how many answers are stored."""
    query = select(func.count()).select_from(answers).where(answers.c.comparison_id == comparison_id)
    total: int = (await connection.execute(query)).scalar_one()
    return total


async def sum_costs(connection: StoreConnection) -> ComparisonTotals:
    """Sum what all comparisons have sent and cost; unknown prices count as 0."""
    by_state = select(comparisons.c.state, func.count()).group_by(comparisons.c.state)
    counts = {ComparisonState(state): count for state, count in await connection.execute(by_state)}
    usd = func.coalesce(comparisons.c.spent_usd, 0.0) + func.coalesce(comparisons.c.hosting_usd, 0.0)
    sums = select(func.coalesce(func.sum(comparisons.c.requests), 0), func.coalesce(func.sum(usd), 0.0))
    requests, total_usd = (await connection.execute(sums)).one()
    return ComparisonTotals(counts=counts, requests=int(requests), usd=float(total_usd))


async def add(tx: Transaction, comparison: Comparison) -> bool:
    """Insert a new comparison. Returns False if it is stored already."""
    if await find(tx.connection, comparison.id) is not None:
        return False
    await tx.connection.execute(insert(comparisons), [_to_row(comparison)])
    tx.add_events(
        EventData(
            at=comparison.created_at,
            cause=comparison.created_by,
            note="comparison started",
            run_id=comparison.run_id,
            comparison_id=comparison.id,
            message=f"{len(comparison.probe_ids)} probes, {len(comparison.models)} models",
        )
    )
    return True


async def claim(tx: Transaction, comparison_id: str, *, owner: str, now: float, until: float) -> bool:
    """Claim an open comparison for a process, or renew its claim. Returns False if another process has it."""
    result = await tx.connection.execute(
        update(comparisons)
        .where(
            comparisons.c.id == comparison_id,
            comparisons.c.state == ComparisonState.ASKING,
            or_(
                comparisons.c.claimed_by == owner,
                comparisons.c.claimed_until.is_(None),
                comparisons.c.claimed_until < now,
            ),
        )
        .values(claimed_by=owner, claimed_until=until)
    )
    return result.rowcount == 1


async def list_claimable(connection: StoreConnection, now: float) -> list[Comparison]:
    """Return the open comparisons that no process has claimed, or whose process has died, the oldest first."""
    query = select(*_COLUMNS).where(
        comparisons.c.state == ComparisonState.ASKING,
        or_(comparisons.c.claimed_until.is_(None), comparisons.c.claimed_until < now),
    )
    return [_from_row(row) for row in await connection.execute(query.order_by(comparisons.c.created_at))]


async def release(tx: Transaction, comparison_id: str, *, owner: str) -> None:
    """Give up the claim of a process, so that another one can continue at once."""
    await tx.connection.execute(
        update(comparisons)
        .where(comparisons.c.id == comparison_id, comparisons.c.claimed_by == owner)
        .values(claimed_by=None, claimed_until=None)
    )


async def save_progress(
    tx: Transaction, comparison: Comparison, new_answers: Sequence[StoredAnswer], *, claimed_until: float
) -> bool:
    """Store answers with the counters of the comparison, and renew the claim. Returns False if the claim was lost."""
    result = await tx.connection.execute(
        update(comparisons)
        .where(comparisons.c.id == comparison.id, comparisons.c.claimed_by == comparison.claimed_by)
        .values(
            requests=comparison.requests,
            spent_usd=comparison.spent_usd,
            hosting_usd=comparison.hosting_usd,
            models=[each.as_dict() for each in comparison.models],
            first_round_at=comparison.first_round_at,
            claimed_until=claimed_until,
        )
    )
    if result.rowcount == 0:
        return False
    if new_answers:
        rows = [asdict(each) | {"comparison_id": comparison.id} for each in new_answers]
        await tx.connection.execute(insert(answers), rows)
    return True


async def finish(tx: Transaction, comparison: Comparison, *, at: float, cause: str) -> bool:
    """Store the end of a comparison. Returns False if another process ended it before."""
    ended = replace(comparison, claimed_by=None, claimed_until=None, finished_at=at)
    row = _to_row(ended)
    del row["id"]
    result = await tx.connection.execute(
        update(comparisons)
        .where(comparisons.c.id == comparison.id, comparisons.c.state == ComparisonState.ASKING)
        .values(**row)
    )
    if result.rowcount == 0:
        return False
    if not comparison.settings.store_answers:
        await tx.connection.execute(
            update(answers).where(answers.c.comparison_id == comparison.id).values(text=None, message=None)
        )
    await notifications.publish(tx, build_comparison_notification(ended, at))
    tx.add_events(
        EventData(
            at=at,
            cause=cause,
            note=f"comparison {comparison.state.value}",
            run_id=comparison.run_id,
            comparison_id=comparison.id,
            message=comparison.message,
        )
    )
    return True


def _to_row(comparison: Comparison) -> dict[str, Any]:
    row = {name: getattr(comparison, name) for name in _FIELDS}
    row["settings"] = comparison.settings.as_dict()
    row["models"] = [each.as_dict() for each in comparison.models]
    row["probe_ids"] = list(comparison.probe_ids)
    return row


def _from_row(row: Sequence[Any]) -> Comparison:
    values = dict(zip(_FIELDS, row, strict=True))
    values["state"] = ComparisonState(values["state"])
    values["settings"] = ComparisonSettings.from_dict(values["settings"])
    values["models"] = tuple(ModelToAsk.from_dict(each) for each in values["models"])
    values["probe_ids"] = tuple(values["probe_ids"])
    return Comparison(**values)


def _answer_from_row(row: Sequence[Any]) -> StoredAnswer:
    values = dict(zip(StoredAnswer.__struct_fields__, row, strict=True))
    return StoredAnswer(**{**values, "outcome": AnswerOutcome(values["outcome"])})

"""Queries about accepted models, and about the verdicts that exports and the read model need."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import Select, func, insert, select, update

from orchestrator.core.comparison.comparison import Comparison, ComparisonState, ModelToAsk
from orchestrator.core.comparison.gate import ModelAcceptance, RunVerdicts, apply_acceptances, build_verdicts
from orchestrator.core.structs import asdict, replace
from orchestrator.store.db.any_of import is_one_of
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.db.transaction import Transaction
from orchestrator.store.schema.tables import acceptances, comparisons

_COLUMNS = tuple(acceptances.c[name] for name in ModelAcceptance.__struct_fields__)


async def add(tx: Transaction, records: Sequence[ModelAcceptance]) -> None:
    """Insert records of accepted models."""
    await tx.connection.execute(insert(acceptances), [asdict(each) for each in records])


async def list_in_force(connection: StoreConnection, run_id: str) -> list[ModelAcceptance]:
    """Return the acceptances of the run that are not revoked, the earliest first."""
    query = select(*_COLUMNS).where(acceptances.c.run_id == run_id, acceptances.c.revoked_at.is_(None))
    rows = await connection.execute(query.order_by(acceptances.c.accepted_at, acceptances.c.id))
    return [ModelAcceptance(**row._mapping) for row in rows]


async def revoke(tx: Transaction, ids: Collection[str], *, by: str, at: float) -> None:
    """Revoke these acceptances. The records stay."""
    is_selected = is_one_of(acceptances.c.id, ids)
    await tx.connection.execute(
        update(acceptances)
        .where(is_selected, acceptances.c.revoked_at.is_(None))
        .values(revoked_by=by, revoked_at=at)
    )


async def add_to_result(connection: StoreConnection, comparison: Comparison) -> Comparison:
    """Return the comparison whose result names the operators who accepted its models, perhaps after its end."""
    if comparison.result is None:
        return comparison
    accepted = await list_in_force(connection, comparison.run_id)
    return replace(comparison, result=apply_acceptances(comparison.result, comparison.models, accepted))


async def load_run_verdicts(connection: StoreConnection, run_id: str) -> RunVerdicts:
    """Load the verdicts of the run's latest finished comparison, and the acceptances in force."""
    # Of the result document only the accounts are read: the distances of all pairs are most of its size.
    query = select(
        comparisons.c.id, comparisons.c.finished_at, comparisons.c.models, comparisons.c.result["accounts"]
    ).where(comparisons.c.id == _select_latest_id(run_id).scalar_subquery())
    row = (await connection.execute(query)).one_or_none()
    verdicts = {}
    if row is not None:
        comparison_id, finished_at, models, accounts = row
        verdicts = build_verdicts(comparison_id, finished_at, map(ModelToAsk.from_dict, models), accounts or ())
    return RunVerdicts(verdicts=verdicts, acceptances=tuple(await list_in_force(connection, run_id)))


async def get_version(connection: StoreConnection, run_id: str) -> tuple[object, ...]:
    """Return a value that changes whenever `load_run_verdicts` returns something else."""
    latest = (await connection.execute(_select_latest_id(run_id))).scalar_one_or_none()
    query = select(func.count(), func.count(acceptances.c.revoked_at)).where(acceptances.c.run_id == run_id)
    total, revoked = (await connection.execute(query)).one()
    return latest, total, revoked


def _select_latest_id(run_id: str) -> Select[tuple[str]]:
    return (
        select(comparisons.c.id)
        .where(comparisons.c.run_id == run_id, comparisons.c.state == ComparisonState.FINISHED)
        .order_by(comparisons.c.finished_at.desc(), comparisons.c.id)
        .limit(1)
    )

"""Queries about moderation verdicts. They are cached for good: a text that was judged is never sent again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import insert, select

from orchestrator.core.moderation import ModerationVerdict
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.db.transaction import Transaction
from orchestrator.store.schema.tables import moderations


async def get_verdicts(connection: StoreConnection, keys: Sequence[str]) -> dict[str, ModerationVerdict]:
    """Return the stored verdicts by key; keys without one are missing."""
    rows = await connection.execute(select(moderations).where(moderations.c.key.in_(list(keys))))
    return {row.key: ModerationVerdict(row.flagged, tuple(row.categories), row.scores) for row in rows}


async def save_verdicts(tx: Transaction, verdicts: Mapping[str, ModerationVerdict]) -> None:
    """Insert verdicts. Existing ones are not changed."""
    new = verdicts.keys() - (await get_verdicts(tx.connection, list(verdicts))).keys()
    rows = [
        {
            "key": key,
            "flagged": verdicts[key].flagged,
            "categories": list(verdicts[key].categories),
            "scores": dict(verdicts[key].scores),
        }
        for key in sorted(new)
    ]
    if rows:
        await tx.connection.execute(insert(moderations), rows)

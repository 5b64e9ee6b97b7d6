"""Queries about moderations: what was judged once is never sent again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import insert, select

from orchestrator.core.moderation import Verdict
from orchestrator.store.connection import AsyncConnection
from orchestrator.store.tables import moderations


async def known(connection: AsyncConnection, keys: Sequence[str]) -> dict[str, Verdict]:
    """The verdicts on those of the keys that were judged."""
    rows = await connection.execute(select(moderations).where(moderations.c.key.in_(list(keys))))
    return {row.key: Verdict(row.flagged, tuple(row.categories), row.scores) for row in rows}


async def keep(connection: AsyncConnection, verdicts: Mapping[str, Verdict]) -> None:
    """Keep verdicts; those that are kept already stay as they are."""
    new = verdicts.keys() - (await known(connection, list(verdicts))).keys()
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
        await connection.execute(insert(moderations), rows)

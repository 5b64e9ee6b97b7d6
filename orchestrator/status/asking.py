"""Asked: whom a verb would reach, for the number in its confirmation."""

from __future__ import annotations

from orchestrator.core.selection import Selection
from orchestrator.core.verb import Verb, applies
from orchestrator.store import runs, selected
from orchestrator.store.database import Database


async def asked(database: Database, verb: Verb, selection: Selection, now: float) -> list[str]:
    """The accounts of the current run that the selection means and the verb would change."""
    async with database.read() as connection:
        run = await runs.current(connection)
        marks = await selected.marks(connection, run, selection, now) if run else []
    names = [mark.account for mark in marks if applies(verb, mark.state, held=mark.held, kind=mark.kind)]
    return list(dict.fromkeys(names))

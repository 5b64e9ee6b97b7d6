"""Asked: whom a verb would reach, and what that would cost, for its confirmation."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.core.selection import Selection
from orchestrator.core.verb import Verb, applies
from orchestrator.store import runs, selected
from orchestrator.store.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The accounts, and the estimated price of the jobs that would be sent; `unpriced` counts those without one."""

    accounts: tuple[str, ...]
    usd: float
    unpriced: int


async def asked(database: Database, verb: Verb, selection: Selection, now: float) -> Asked:
    """The accounts of the current run that the selection means and the verb would change."""
    async with database.survey() as connection:
        run = await runs.current(connection)
        marks = await selected.marks(connection, run, selection, now) if run else []
    meant = [mark for mark in marks if applies(verb, mark.state, held=mark.held, kind=mark.kind)]
    prices = [mark.usd for mark in meant if verb is Verb.RETRY or not mark.sent]
    return Asked(
        accounts=tuple(dict.fromkeys(mark.account for mark in meant)),
        usd=sum(usd for usd in prices if usd is not None),
        unpriced=prices.count(None),
    )

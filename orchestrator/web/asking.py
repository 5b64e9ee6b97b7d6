"""Asking: the actions of API and dashboard, with the check that what was confirmed is what is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from orchestrator.control import Verb
from orchestrator.core.errors import ConfigError
from orchestrator.core.hold import HoldKind
from orchestrator.core.lifecycle import ENDS, State
from orchestrator.status import JobView, Status
from orchestrator.web.principal import Principal
from orchestrator.web.problem import Refused
from orchestrator.web.program import Program
from orchestrator.web.query import Query

APPLIES: Final[Mapping[Verb, Callable[[JobView], bool]]] = {
    Verb.CANCEL: lambda job: job.state not in {*ENDS, State.CANCELLING},
    Verb.RETRY: lambda job: job.state == State.FAILED,
    Verb.HOLD: lambda job: True,
    Verb.RELEASE: lambda job: job.held and job.error is not None and job.error.kind != HoldKind.OVER_BUDGET,
}
"""The verbs that are asked of accounts, and the jobs that each would change."""


class Asking:
    """Does what a principal asks, or raises `Refused`."""

    def __init__(self, program: Program) -> None:
        self._program = program

    async def of_run(
        self, verb: Verb, who: Principal, *, reason: str = "", expect_usd: float | None = None
    ) -> Sequence[str]:
        """Ask something of the current run."""
        run = (await self._program.status()).run
        if run is not None and expect_usd is not None and run.planned_usd != expect_usd:
            now = "unknown" if run.planned_usd is None else f"{run.planned_usd} USD"
            raise Refused(409, f"the price is {now} by now, not {expect_usd} USD", "Look at the plan again.")
        return await self._ask(verb, [], reason, who)

    async def of_accounts(
        self, verb: Verb, who: Principal, names: Sequence[str], *, expect: int | None = None, reason: str = ""
    ) -> Sequence[str]:
        """Ask something of these accounts."""
        names = list(dict.fromkeys(names))
        known = {job.account for job in (await self._program.status()).jobs}
        if unknown := [name for name in names if name not in known]:
            raise Refused(404, f"the run has no account {unknown[0]}", "`/api/v1/jobs` names its accounts.")
        _compare(expect, len(names))
        return await self._ask(verb, names, reason, who)

    async def of_matching(
        self, verb: Verb, who: Principal, query: Query, *, expect: int, reason: str = ""
    ) -> Sequence[str]:
        """Ask something of all that match and that it applies to."""
        names = matching(await self._program.status(), verb, query)
        _compare(expect, len(names))
        return await self._ask(verb, names, reason, who) if names else []

    async def _ask(self, verb: Verb, names: Sequence[str], reason: str, who: Principal) -> Sequence[str]:
        try:
            return await self._program.act(verb, names, reason=reason, by=who.by)
        except ConfigError as error:
            raise Refused(409, error.message, error.hint) from error


def matching(status: Status, verb: Verb, query: Query) -> list[str]:
    """The accounts that the query finds and the verb applies to: what a confirmation counts."""
    of_run = {hold.kind for hold in status.run.holds} if status.run else set()

    def applies(job: JobView) -> bool:
        if verb is Verb.RELEASE and job.error is not None and job.error.kind in of_run:
            return False  # the whole run is held: to approve or to waive releases it
        return APPLIES[verb](job)

    return [job.account for job in status.jobs if applies(job) and query.asks_for(job)]


def _compare(expect: int | None, count: int) -> None:
    if expect is not None and expect != count:
        raise Refused(
            409, f"these are {count} accounts by now, not {expect}", "Look again and confirm the new number."
        )

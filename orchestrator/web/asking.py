"""Asking: the actions of API and dashboard, with the check that what was confirmed is what is done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from orchestrator import control, status
from orchestrator.control.adoption import adopt
from orchestrator.core.errors import ConfigError
from orchestrator.core.selection import Selection
from orchestrator.core.verb import Verb
from orchestrator.web.principal import Principal
from orchestrator.web.problem import Refused
from orchestrator.web.program import Program

_AGAIN: Final = "Look again, then confirm what there is now."


class Asking:
    """Does what a principal asks, or raises `Refused`."""

    def __init__(self, program: Program) -> None:
        self._program = program

    async def matching(self, verb: Verb, selection: Selection) -> status.Asked:
        """The accounts that the selection means and the verb would change: what a confirmation counts."""
        return await self._program.call(status.asked, verb, selection, self._program.now())

    async def of_run(self, verb: Verb, who: Principal, *, reason: str = "", expect_usd: float | None = None) -> None:
        """Ask something of the current run."""
        call, by, now = self._program.call, who.by, self._program.now()
        glance = await call(status.glance, now)
        planned = glance.run.planned_usd if glance else None
        if glance and expect_usd is not None and planned != expect_usd:
            price = "unknown" if planned is None else f"{planned} USD"
            raise Refused(409, f"the price is {price} by now, not {expect_usd} USD", _AGAIN)
        try:
            match verb:
                case Verb.APPROVE:
                    await call(control.approve, by=by, now=now)
                case Verb.WAIVE:
                    await call(control.waive_moderation, reason=reason, by=by, now=now)
                case _:
                    await call(control.start, by=by, now=now)
        except ConfigError as error:
            raise Refused(409, error.message, error.hint) from error

    async def of_matching(
        self, verb: Verb, who: Principal, selection: Selection, *, expect: int, reason: str = ""
    ) -> Sequence[str]:
        """Ask something of all accounts that the selection means and the verb would change."""
        names = (await self.matching(verb, selection)).accounts
        return await self.of_accounts(verb, who, names, expect=expect, reason=reason)

    async def of_accounts(
        self, verb: Verb, who: Principal, names: Sequence[str], *, expect: int | None = None, reason: str = ""
    ) -> Sequence[str]:
        """Ask something of these accounts. Returns those of which it was asked."""
        names = list(dict.fromkeys(names))
        if expect is not None and expect != len(names):
            raise Refused(
                409, f"these are {len(names)} accounts by now, not {expect}", "Look again before you confirm."
            )
        try:
            return await self._ask(verb, who.by, names, reason) if names else []
        except ConfigError as error:
            raise Refused(409, error.message, error.hint) from error

    async def adopt(self, who: Principal, job: str, remote_job: str) -> str:
        """Take a remote job for a job's, where the program must not choose. Returns the account."""
        try:
            taken = await self._program.call(adopt, job, remote_job, by=who.by, now=self._program.now())
        except ConfigError as error:
            raise Refused(409, error.message, error.hint) from error
        return taken.account

    async def dead(self, numbers: Sequence[int] | None) -> int:
        """How many of these deliveries were given up, or of all: what a confirmation counts."""
        return await self._program.call(status.count_dead, numbers)

    async def redeliver(self, who: Principal, numbers: Sequence[int] | None, *, expect: int | None) -> list[int]:
        """Begin again with these deliveries that were given up, or with all. Returns those begun."""
        if expect is not None and expect != (count := await self.dead(numbers)):
            raise Refused(409, f"{count} of them were given up by now, not {expect}", _AGAIN)
        try:
            begun = await self._program.call(control.redeliver, numbers, by=who.by, now=self._program.now())
        except ConfigError as error:
            raise Refused(409, error.message, error.hint) from error
        return [delivery.id for delivery in begun]

    async def _ask(self, verb: Verb, by: str, names: Sequence[str], reason: str) -> Sequence[str]:
        call, now = self._program.call, self._program.now()
        match verb:
            case Verb.HOLD:
                await call(control.hold_accounts, names, reason=reason or "held by the operator", by=by, now=now)
                return names
            case Verb.RELEASE:
                await call(control.release_accounts, names, by=by, now=now)
                return names
            case _:
                ask = control.cancel if verb is Verb.CANCEL else control.retry
                return [job.account for job in await call(ask, names, by=by, now=now)]

"""The verbs that ask something of the service. They work whether or not it runs."""

from __future__ import annotations

import getpass
import sys
from typing import TYPE_CHECKING

from orchestrator import control
from orchestrator.cli.render import usd
from orchestrator.cli.session import DONE, FAILED
from orchestrator.control import adoption
from orchestrator.core.printable import printable

if TYPE_CHECKING:
    from orchestrator.app import App


async def operate(app: App, verb: str, names: list[str], reason: str) -> int:
    """Do it and say what was asked of whom. No names: everyone in the run."""
    by, now, database = operator(), app.clock.now(), app.database
    if verb == "approve":
        run = await control.approve(database, by=by, now=now)
        return _say(f"run {run.id} approved at {usd(run.approved_usd)}")
    if verb == "waive":
        run = await control.waive_moderation(database, reason=reason, by=by, now=now)
        return _say(f"moderation of run {run.id} waived")
    if verb in {"hold", "release"}:
        names = names or [job.account for job in (await app.look()).jobs]
        if verb == "hold":
            await control.hold_accounts(database, names, reason=reason, by=by, now=now)
        else:
            moderated = await control.release_accounts(database, names, by=by, now=now)
            if moderated:
                return _say(f"release: {', '.join(names)}, and the chats are to be moderated")
        return _say(f"{verb}: {', '.join(names)}")
    asked = await (control.cancel if verb == "cancel" else control.retry)(database, names, by=by, now=now)
    if not asked:
        sys.stdout.write(f"nothing to {verb}\n")
        return FAILED
    return _say(f"{verb} asked: {', '.join(job.account for job in asked)}")


async def adopt(app: App, job_id: str, remote_job_id: str) -> int:
    """Let the service take a remote job for a job's."""
    job = await adoption.adopt(app.database, job_id, remote_job_id, by=operator(), now=app.clock.now())
    return _say(f"account {job.account}: job {job.id} is to be remote job {remote_job_id}, if it can be")


def _say(text: str) -> int:
    sys.stdout.write(printable(text) + "; the service sees to it, or the next `orchestrator run`\n")
    return DONE


def operator() -> str:
    """How the record names whoever is at this terminal."""
    try:
        return f"operator:{getpass.getuser()}"
    except (KeyError, OSError):
        return "operator:unknown"

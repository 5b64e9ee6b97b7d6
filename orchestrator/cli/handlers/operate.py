"""The verbs that ask something of the service. They work whether or not it runs."""

from __future__ import annotations

import getpass
import sys
from typing import TYPE_CHECKING

from orchestrator import control
from orchestrator.cli.session import EXIT_DONE, EXIT_FAILED
from orchestrator.control import adoption
from orchestrator.core.text import format_usd
from orchestrator.core.text_sanitizer import sanitize_line

if TYPE_CHECKING:
    from orchestrator.app import App


async def run_operator_action(app: App, verb: str, names: list[str], reason: str) -> int:
    """Do it and say what was asked of whom. No names: everyone in the run."""
    by, now, database = get_operator_name(), app.clock.now(), app.database
    if verb == "approve":
        run = await control.approve(database, by=by, now=now)
        return _print_accepted(f"run {run.id} approved at {format_usd(run.approved_usd)}")
    if verb == "waive":
        run = await control.waive_moderation(database, reason=reason, by=by, now=now)
        return _print_accepted(f"moderation of run {run.id} waived")
    if verb in {"hold", "release"}:
        names = names or [job.account for job in (await app.read_status()).jobs]
        if verb == "hold":
            await control.hold_accounts(database, names, reason=reason, by=by, now=now)
        else:
            moderated = await control.release_accounts(database, names, by=by, now=now)
            if moderated:
                return _print_accepted(f"release: {', '.join(names)}, and the chats are to be moderated")
        return _print_accepted(f"{verb}: {', '.join(names)}")
    asked = await (control.cancel if verb == "cancel" else control.retry)(database, names, by=by, now=now)
    if not asked:
        sys.stdout.write(f"nothing to {verb}\n")
        return EXIT_FAILED
    return _print_accepted(f"{verb} asked: {', '.join(job.account for job in asked)}")


async def adopt_remote_job(app: App, job_id: str, remote_job_id: str) -> int:
    """Let the service take a remote job for a job's."""
    job = await adoption.adopt_remote_job(
        app.database, job_id, remote_job_id, by=get_operator_name(), now=app.clock.now()
    )
    return _print_accepted(f"account {job.account}: job {job.id} is to be remote job {remote_job_id}, if it can be")


def _print_accepted(text: str) -> int:
    sys.stdout.write(sanitize_line(text) + "; the service sees to it, or the next `orchestrator run`\n")
    return EXIT_DONE


def get_operator_name() -> str:
    """How the record names whoever is at this terminal."""
    try:
        return f"operator:{getpass.getuser()}"
    except (KeyError, OSError):
        return "operator:unknown"

"""The verbs that ask something of the service. They work whether or not it runs."""

from __future__ import annotations

import getpass
import sys
from typing import TYPE_CHECKING

from orchestrator import control
from orchestrator.cli.output import format_usd
from orchestrator.cli.session import EXIT_DONE, EXIT_FAILED
from orchestrator.core.text_sanitizer import sanitize_line

if TYPE_CHECKING:
    from orchestrator.app import App


async def run_operator_action(app: App, verb: str, names: list[str] | None, reason: str) -> int:
    """Apply the action and print which accounts it reached. `None` means all accounts of the current run."""
    by, now, database = get_operator_name(), app.clock.now(), app.database
    if verb == "approve":
        run = await control.approve(database, by=by, now=now)
        return _print_accepted(f"run {run.id} approved at {format_usd(run.approved_usd)}")
    if verb == "waive":
        run = await control.waive_moderation(database, reason=reason, by=by, now=now)
        return _print_accepted(f"moderation of run {run.id} waived")
    if verb == "hold":
        held = await control.hold_accounts(database, names, reason=reason, by=by, now=now)
        return _print_accepted(f"hold: {', '.join(held)}")
    if verb == "release":
        released = await control.release_accounts(database, names, by=by, now=now)
        moderated = ", and the chats are to be moderated" if released.moderation_requested else ""
        return _print_accepted(f"release: {', '.join(released.accounts)}{moderated}")
    asked = await (control.cancel if verb == "cancel" else control.retry)(database, names, by=by, now=now)
    if not asked:
        sys.stdout.write(f"nothing to {verb}\n")
        return EXIT_FAILED
    return _print_accepted(f"{verb} asked: {', '.join(job.account for job in asked)}")


async def adopt_remote_job(app: App, job_id: str, remote_job_id: str) -> int:
    """Let the service take a remote job for a job's."""
    job = await control.adopt_remote_job(
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

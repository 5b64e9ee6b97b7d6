"""The verbs that only look. `tables` is imported where something is drawn: the status of thousands is not."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator import status as read
from orchestrator.cli.foreground import install_stop_signals
from orchestrator.cli.foreground import watch_status as watch_status
from orchestrator.cli.output import (
    format_failure,
    format_refusal,
    plan_to_json,
    print_json,
    print_status,
    translate_write_errors,
)
from orchestrator.cli.session import EXIT_DONE, EXIT_FAILED
from orchestrator.core.errors import Failure
from orchestrator.core.hold import HoldKind
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.plans.duplicate_accounts import list_shared_key_warnings, list_shared_project_warnings
from orchestrator.core.plans.plan import PlanStep
from orchestrator.core.text_sanitizer import sanitize_line
from orchestrator.exports import ExportFormat, export, left_out_reason, select_models

if TYPE_CHECKING:
    from orchestrator.app import App

NO_RUN_MESSAGE = "nothing has been run yet; `orchestrator run` or `orchestrator serve` starts"


async def print_plan(app: App, *, as_json: bool) -> int:
    """The plan; FAILED when the run or an account would be held."""
    desired, plan = await app.build_plan()
    if as_json:
        print_json(plan_to_json(plan, desired.warnings))
    else:
        from orchestrator.cli import tables

        tables.create_console().print(tables.build_plan_table(plan))
        for finding in desired.findings:
            sys.stdout.write(sanitize_line(f"{finding.file}: {finding.message}") + "\n")
        for warning in (*desired.warnings, *plan.warnings):
            sys.stdout.write(f"warning: {sanitize_line(warning)}\n")
        for hold in plan.holds:
            sys.stdout.write(f"the run would be held: {format_failure(hold.failure)}\n")
    return EXIT_FAILED if plan.holds or plan.count(PlanStep.HELD) else EXIT_DONE


async def print_run_status(app: App, *, as_json: bool, watch: bool) -> int:
    """The run as it is."""
    if watch and not as_json and sys.stdout.isatty() and not app.is_empty:
        stopping = install_stop_signals()
        from orchestrator.cli import tables

        with tables.live_status() as draw:
            await watch_status(app, draw, None, stopping)
        return EXIT_DONE
    seen = await app.read_status()
    if as_json:
        print_json(read.status_to_dict(seen))
        return EXIT_DONE
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for line in format_refusal(seen, width):
        sys.stdout.write(line + "\n")
    if seen.run is None:
        sys.stdout.write(NO_RUN_MESSAGE + "\n")
    else:
        for hold in seen.run.holds:
            if hold.kind == HoldKind.MODERATING and not (seen.run.moderation or {})["reason"]:
                continue  # the title says how far it is
            sys.stdout.write(f"the run is held: {format_failure(hold)}\n")
        for warning in seen.run.warnings:
            sys.stdout.write(f"warning: {sanitize_line(warning)}\n")
        print_status(seen)
    return EXIT_DONE


async def verify_accounts(app: App, *, as_json: bool) -> int:
    """Each account, verified now; FAILED when one is not fine."""
    file, keys = await app.read_accounts()
    fingerprints = {name: key.fingerprint for name, key in keys.by_account.items()}
    verified = await app.connections.verify_accounts(file.accounts)
    answers = {**verified, **{name: hold.failure for name, hold in keys.missing.items()}}
    identities = {name: answer for name, answer in answers.items() if not isinstance(answer, Failure)}
    twins = [
        *list_shared_key_warnings(file.accounts, fingerprints),
        *list_shared_project_warnings(file.accounts, identities, fingerprints),
    ]
    standings = await app.get_account_states()
    rows: list[dict[str, Any]] = []
    for account in file.accounts:
        answer, standing = answers[account.name], standings.get(account.name)
        held = standing.hold if standing else None
        if held and held.kind == HoldKind.KEY_MISSING:  # what was true when the service read the key
            held = None
        error = answer if isinstance(answer, Failure) else held and held.failure
        rows.append(
            {
                "account": account.name,
                "provider": account.provider,
                "organization": None if isinstance(answer, Failure) else answer.organization,
                "key": fingerprints.get(account.name),
                "fine": error is None,
                "error": asdict(error) if error else None,
            }
        )
    if as_json:
        print_json(rows)
    else:
        lines = [
            (
                row["account"],
                row["provider"],
                row["organization"] or "–",
                row["key"] or "–",
                "fine" if row["fine"] else format_failure(Failure(**row["error"])),
            )
            for row in rows
        ]
        from orchestrator.cli import tables

        tables.create_console().print(
            tables.build_simple_table(("account", "provider", "organisation", "key", "verdict"), lines)
        )
    for warning in twins:  # on stderr: the JSON is a list of accounts
        sys.stderr.write(f"warning: {sanitize_line(warning)}\n")
    return EXIT_DONE if all(row["fine"] for row in rows) else EXIT_FAILED


async def print_events(app: App, account: str, *, as_json: bool) -> int:
    """The account's events, oldest first."""
    entries = await app.list_events(account)
    if as_json:
        print_json([asdict(entry) | {"at": read.format_iso(entry.at)} for entry in entries])
        return EXIT_DONE
    rows = [
        (
            read.format_iso(entry.at) or "",
            entry.cause,
            entry.note,
            entry.state_after or "",
            entry.remote_job_id or "",
            entry.message or "",
        )
        for entry in entries
    ]
    from orchestrator.cli import tables

    tables.create_console().print(
        tables.build_simple_table(("when", "who", "what", "state", "remote job", "message"), rows)
    )
    return EXIT_DONE


if TYPE_CHECKING:
    from orchestrator.app import App


async def print_models(
    app: App,
    output_format: ExportFormat,
    *,
    output: Path | None,
    labels: Sequence[str],
    providers: Sequence[str],
    everything: bool,
    name: str | None,
) -> int:
    """Print or write them; FAILED while one of those asked for is missing."""
    seen = await app.read_status()
    if seen.run is None and output_format is ExportFormat.TABLE:
        sys.stdout.write(NO_RUN_MESSAGE + "\n")
        return EXIT_FAILED
    accounts = await app.read_listed_accounts() if output_format.needs_accounts else {}
    title = name or (seen.run.name if seen.run else "")
    wanted = select_models(title, seen.jobs, accounts, labels=labels, providers=providers)
    exported = export(output_format, wanted, include_unservable=everything)
    _write_text(exported.text, output)
    for job in exported.models.left_out:
        sys.stderr.write(sanitize_line(f"left out: {job.account}: {left_out_reason(job)}") + "\n")
    return EXIT_DONE if wanted.jobs and all(job.state == JobState.SUCCEEDED for job in wanted.jobs) else EXIT_FAILED


def _write_text(text: str, output: Path | None) -> None:
    if output is None:
        sys.stdout.write(text)
    else:
        with translate_write_errors(output):
            output.write_text(text, encoding="utf-8")

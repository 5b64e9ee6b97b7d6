"""The verbs that only look. `tables` is imported where something is drawn: the status of thousands is not."""

from __future__ import annotations

import shutil
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from orchestrator import status as read
from orchestrator.cli.follow import stop_signals
from orchestrator.cli.follow import watch as watch_status
from orchestrator.cli.render import plan_json, print_json, print_status, refusal_lines, trouble
from orchestrator.cli.session import DONE, FAILED
from orchestrator.core.errors import Failure
from orchestrator.core.hold import HoldKind
from orchestrator.core.plan import Step
from orchestrator.core.printable import printable
from orchestrator.core.twins import same_keys, same_places

if TYPE_CHECKING:
    from orchestrator.app import App

NOTHING = "nothing has been run yet; `orchestrator run` or `orchestrator serve` starts"


async def plan(app: App, *, as_json: bool) -> int:
    """The plan; FAILED when the run or an account would be held."""
    desired, plan = await app.plan()
    if as_json:
        print_json(plan_json(plan, desired.warnings))
    else:
        from orchestrator.cli import tables

        tables.console().print(tables.plan_table(plan))
        for finding in desired.findings:
            sys.stdout.write(printable(f"{finding.file}: {finding.message}") + "\n")
        for warning in (*desired.warnings, *plan.warnings):
            sys.stdout.write(f"warning: {printable(warning)}\n")
        for hold in plan.holds:
            sys.stdout.write(f"the run would be held: {trouble(hold.failure)}\n")
    return FAILED if plan.holds or plan.count(Step.HELD) else DONE


async def status(app: App, *, as_json: bool, watch: bool) -> int:
    """The run as it is."""
    if watch and not as_json and sys.stdout.isatty() and not app.is_empty:
        stopping = stop_signals()
        from orchestrator.cli import tables

        with tables.live() as draw:
            await watch_status(app, draw, None, stopping)
        return DONE
    seen = await app.look()
    if as_json:
        print_json(read.as_json(seen))
        return DONE
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for line in refusal_lines(seen, width):
        sys.stdout.write(line + "\n")
    if seen.run is None:
        sys.stdout.write(NOTHING + "\n")
    else:
        for hold in seen.run.holds:
            if hold.kind == HoldKind.MODERATING and not (seen.run.moderation or {})["reason"]:
                continue  # the title says how far it is
            sys.stdout.write(f"the run is held: {trouble(hold)}\n")
        for warning in seen.run.warnings:
            sys.stdout.write(f"warning: {printable(warning)}\n")
        print_status(seen)
    return DONE


async def accounts(app: App, *, as_json: bool) -> int:
    """Each account, verified now; FAILED when one is not fine."""
    file, keys = await app.read_accounts()
    fingerprints = {name: key.fingerprint for name, key in keys.found.items()}
    verified = await app.connections.verify(file.accounts)
    answers = {**verified, **{name: hold.failure for name, hold in keys.missing.items()}}
    identities = {name: answer for name, answer in answers.items() if not isinstance(answer, Failure)}
    twins = [
        *same_keys(file.accounts, fingerprints),
        *same_places(file.accounts, identities, fingerprints),
    ]
    standings = await app.standings()
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
                "fine" if row["fine"] else trouble(Failure(**row["error"])),
            )
            for row in rows
        ]
        from orchestrator.cli import tables

        tables.console().print(tables.simple_table(("account", "provider", "organisation", "key", "verdict"), lines))
    for warning in twins:  # on stderr: the JSON is a list of accounts
        sys.stderr.write(f"warning: {printable(warning)}\n")
    return DONE if all(row["fine"] for row in rows) else FAILED


async def history(app: App, account: str, *, as_json: bool) -> int:
    """The account's events, oldest first."""
    entries = await app.history(account)
    if as_json:
        print_json([asdict(entry) | {"at": read.iso(entry.at)} for entry in entries])
        return DONE
    rows = [
        (
            read.iso(entry.at) or "",
            entry.cause,
            entry.note,
            entry.state_after or "",
            entry.remote_job_id or "",
            entry.message or "",
        )
        for entry in entries
    ]
    from orchestrator.cli import tables

    tables.console().print(tables.simple_table(("when", "who", "what", "state", "remote job", "message"), rows))
    return DONE

"""Render: values of the read model as lines and JSON. What is drawn is in `tables`."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

from orchestrator.core.errors import ConfigError, Failure
from orchestrator.core.finding import Finding
from orchestrator.core.plans.plan import Plan
from orchestrator.core.text import format_duration, format_number, format_percent, format_time
from orchestrator.core.text_sanitizer import sanitize_json, sanitize_line
from orchestrator.status import JobView, StatusSnapshot, describe_moderation

MAX_TABLE_ROWS = 200
LATEST_EVENT_COLUMN, MODEL_COLUMN, ADVICE_COLUMN = "latest event", "fine-tuned model", "what to do"
STATUS_COLUMNS = ("account", "provider", "state", "for", "progress", LATEST_EVENT_COLUMN, MODEL_COLUMN, ADVICE_COLUMN)


def print_json(value: Any) -> None:
    """For machines."""
    text = sanitize_json(json.dumps(value, indent=2, ensure_ascii=False))
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:  # not UTF-8, or a file name that is not: JSON has escapes of its own
        text = json.dumps(value, indent=2)
    sys.stdout.write(text + "\n")


def format_finding(finding: Finding) -> str:
    """A finding in one line: where, what, what to do."""
    where = f"{finding.file}:{finding.line}" if finding.line else finding.file
    at = f" at {finding.path}" if finding.path else ""
    return sanitize_line(f"{where}: {finding.severity} [{finding.code}]{at}: {finding.message}. {finding.hint}")


def format_state(job: JobView) -> str:
    """The word for the state column: a held job says so."""
    return "held" if job.held else job.state


def print_status(status: StatusSnapshot) -> None:
    """One line an account. Thousands are aligned and no more: a drawn table takes a millisecond a line."""
    if len(status.jobs) <= MAX_TABLE_ROWS:
        from orchestrator.cli import tables  # 2 MB and 25 ms that thousands of lines can do without

        drawing = tables.create_console()
        drawing.print(tables.build_status_table(status, drawing.width))
        return
    widths = list(map(len, STATUS_COLUMNS))
    for job in status.jobs:
        widths = list(map(max, widths, map(len, format_row(job, status.at))))
    if heading := format_title(status):
        sys.stdout.write(f"{heading}\n")
    for row in chain([STATUS_COLUMNS], (format_row(job, status.at) for job in status.jobs)):
        sys.stdout.write("  ".join(map(str.ljust, row, widths)).rstrip() + "\n")
    sys.stdout.write(f"{format_counts(status)}\n")


def format_row(job: JobView, now: float) -> tuple[str, ...]:
    """What stands in the columns of an account's line at this moment, fit for a terminal."""
    progress = "" if job.progress is None else format_percent(job.progress)
    model, latest = job.fine_tuned_model or "", job.latest_event or ""
    since = format_duration(now - job.state_since)
    row = (job.account, job.provider, format_state(job), since, progress, latest, model, format_advice(job))
    return tuple(map(sanitize_line, row))


def format_advice(job: JobView) -> str:
    """What keeps the job, what a person should know of it, or what it waits for."""
    parts = [format_failure(job.error), format_failure(job.warning), format_wait(job), job.serving_hint or ""]
    return " ".join(part for part in parts if part)


def format_wait(job: JobView) -> str:
    """What the job waits for, and when it is looked at again."""
    if not job.waits_for:
        return ""
    again = f"; next look at {format_time(job.wake_at)}" if job.wake_at is not None else ""
    return sanitize_line(f"Waits for {job.waits_for}{again}.")


def format_title(status: StatusSnapshot) -> str | None:
    """Which run it is, and how far its moderation is while that is under way."""
    if status.run is None:
        return None
    heading = f"{status.run.name} · run {status.run.id}"
    moderation = describe_moderation(status.run.moderation)
    return "\n".join(map(sanitize_line, filter(None, (heading, moderation))))


def format_counts(status: StatusSnapshot) -> str:
    """How many accounts are in each state."""
    return ", ".join(f"{count} {state}" for state, count in status.counts.items())


def format_failure(error: Failure | None) -> str:
    """An error as one line, fit for a terminal."""
    return sanitize_line(f"{error.kind}: {error.message.removesuffix('.')}. {error.hint}") if error else ""


def format_refusal(status: StatusSnapshot, width: int | None) -> list[str]:
    """The edit that is not in force: when, why, each finding, what to do. Lines fit into `width` characters.

    With None, as in a pipe, every finding is one line. A word that is longer, such as a path, is not cut.
    """
    if not (refusal := status.refusal):
        return []
    cause = refusal.cause
    lines = [
        f"an edit was refused at {format_time(refusal.at)}; what was in force stays so",
        f"{cause.kind}: {cause.message}",
        *(f"  {finding}" for finding in refusal.findings),
        *([f"  and {format_number(refusal.more)} more"] if refusal.more else []),
        cause.hint,
    ]
    lines = [sanitize_line(line) for line in lines if line]
    if width is None:
        return lines
    wrap = textwrap.TextWrapper(width, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)
    return [part for line in lines for part in wrap.wrap(line)]


def plan_to_json(plan: Plan, warnings: Sequence[str] = ()) -> dict[str, Any]:
    """The plan for machines. `warnings` are those of the accounts file."""
    training = plan.dataset.training
    return {
        "run": plan.run_id,
        "name": plan.name,
        "dataset": {
            "sha256": plan.dataset.sha256,
            "examples": training.examples,
            "bytes": training.bytes,
            "tokens": training.tokens,
        },
        "holds": [_hold_to_json(hold) for hold in plan.holds],
        "warnings": [*warnings, *plan.warnings],
        "total_usd": plan.total_usd,
        "new_usd": plan.new_usd,
        "accounts": [
            {
                "account": line.account,
                "provider": line.provider,
                "base_model": line.base_model,
                "step": line.step,
                "usd": line.usd,
                "price_source": line.price_source,
                "hold": _hold_to_json(line.hold),
            }
            for line in plan.lines
        ],
    }


def _hold_to_json(hold: Any) -> dict[str, str] | None:
    return {"kind": hold.kind, "reason": hold.reason, "hint": hold.hint} if hold else None


@contextmanager
def translate_write_errors(target: Path) -> Iterator[None]:
    """Write a file that was asked for; what prevents it is a usage error."""
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"{target} cannot be written: {error.strerror}", hint="Choose a file in a folder that exists."
        ) from None

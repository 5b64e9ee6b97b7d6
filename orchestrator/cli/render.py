"""Render: values of the read model as tables and lines."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.core.errors import Failure
from orchestrator.core.finding import Finding
from orchestrator.core.plan import Plan, Step
from orchestrator.status import JobView, Status

PIPE_WIDTH = 240  # a pipe has no width; never cut a model id for it
MOST_DRAWN = 200
COLUMNS = ("account", "provider", "state", "progress", "latest event", "fine-tuned model", "what to do")
COLOURS = {
    "succeeded": "green",
    "failed": "red",
    "held": "yellow",
    "cancelled": "dim",
    "running": "cyan",
    "queued": "blue",
}


def console() -> Console:
    """Where results go. A provider's words are no markup: `[key 1a2b3c4d]` is printed as it is."""
    width = None if sys.stdout.isatty() else PIPE_WIDTH
    return Console(width=width, highlight=False, markup=False, emoji=False)


def print_json(value: Any) -> None:
    """For machines."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def finding_line(finding: Finding) -> str:
    """A finding in one line: where, what, what to do."""
    where = f"{finding.file}:{finding.line}" if finding.line else finding.file
    at = f" at {finding.path}" if finding.path else ""
    return f"{where}: {finding.severity} [{finding.code}]{at}: {finding.message}. {finding.hint}"


def state_of(job: JobView) -> str:
    """The word for the state column: a held job says so."""
    return "held" if job.held else job.state


def print_status(status: Status) -> None:
    """One line an account. Thousands are aligned and no more: a drawn table takes a millisecond a line."""
    if len(status.jobs) <= MOST_DRAWN:
        console().print(status_table(status))
        return
    rows = [COLUMNS, *(_cells(job) for job in status.jobs)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, cells, widths)).rstrip() + "\n" for cells in rows)
    if title := _title(status):
        sys.stdout.write(f"{title}\n")
    sys.stdout.writelines(lines)
    sys.stdout.write(f"{_counts(status)}\n")


def status_table(status: Status) -> Table:
    """One line an account, drawn."""
    table = Table(title=_title(status), caption=_counts(status), title_justify="left", caption_justify="left")
    for heading in COLUMNS[:-2]:
        table.add_column(heading, no_wrap=True)
    table.add_column(COLUMNS[-2], overflow="fold")
    table.add_column(COLUMNS[-1], overflow="fold", ratio=1)
    for job in status.jobs:
        account, provider, state, *rest = _cells(job)
        table.add_row(account, provider, Text(state, style=COLOURS.get(state, "")), *rest)
    return table


def _cells(job: JobView) -> tuple[str, ...]:
    progress = "" if job.progress is None else f"{job.progress:.0%}"
    model, latest = job.fine_tuned_model or "", job.latest_event or ""
    what_to_do = trouble(job.error) or job.serving_hint or ""
    return job.account, job.provider, state_of(job), progress, latest, model, what_to_do


def _title(status: Status) -> str | None:
    return f"{status.run.name} · run {status.run.id}" if status.run else None


def _counts(status: Status) -> str:
    return ", ".join(f"{count} {state}" for state, count in status.counts.items())


def trouble(error: Failure | None) -> str:
    """An error as one line."""
    return f"{error.kind}: {error.message.removesuffix('.')}. {error.hint}" if error else ""


def plan_table(plan: Plan) -> Table:
    """One line an account, and the totals."""
    dataset = plan.dataset.training
    tokens = "unknown" if dataset.tokens is None else f"{dataset.tokens:,}"
    table = Table(
        title=f"plan for run {plan.run_id} ({plan.name})\n"
        f"dataset {plan.dataset.sha256[:16]}: {dataset.examples} examples, {dataset.bytes:,} bytes, {tokens} tokens",
        caption=f"{_steps(plan)}; estimated price of the run: {usd(plan.total_usd)}, "
        f"of which still to be spent: {usd(plan.new_usd)}",
        title_justify="left",
        caption_justify="left",
    )
    for heading in ("account", "provider", "base model", "what happens", "price", "price from"):
        table.add_column(heading, no_wrap=True)
    table.add_column("why", overflow="fold", ratio=1)
    for line in plan.lines:
        why = f"{line.hold.kind}: {line.hold.reason}. {line.hold.hint}" if line.hold else ""
        price = (usd(line.usd), line.price_source)
        table.add_row(line.account, line.provider, line.base_model, line.step, *price, why)
    return table


def plan_json(plan: Plan) -> dict[str, Any]:
    """The plan for machines."""
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
        "holds": [_hold(hold) for hold in plan.holds],
        "warnings": list(plan.warnings),
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
                "hold": _hold(line.hold),
            }
            for line in plan.lines
        ],
    }


def simple_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A plain table; the last column folds."""
    table = Table()
    for heading in headings[:-1]:
        table.add_column(heading, no_wrap=True)
    table.add_column(headings[-1], overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def usd(amount: float | None) -> str:
    """US dollars for a person; small amounts keep their digits."""
    if amount is None:
        return "unknown"
    return f"${amount:.2f}" if amount >= 1 or amount == 0 else f"${amount:.4f}"


def _steps(plan: Plan) -> str:
    counts: Mapping[Step, int] = {step: plan.count(step) for step in Step}
    return ", ".join(f"{count} {step}" for step, count in counts.items() if count)


def _hold(hold: Any) -> dict[str, str] | None:
    return {"kind": hold.kind, "reason": hold.reason, "hint": hold.hint} if hold else None

"""The table of a plan."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from orchestrator.cli.tables import Column, Output, fit_table, get_table_width, print_output
from orchestrator.core.plans.plan import Plan, PlanLine, PlanStep
from orchestrator.core.text import format_count, format_usd
from orchestrator.core.text_sanitizer import sanitize_line

SOURCE_COLUMN, REASON_COLUMN = "price source", "reason"
# Price source and reason are left out first: they then stand below the table.
COLUMNS = (
    Column(heading="account"),
    Column(heading="provider", importance=3),
    Column(heading="base model"),
    Column(heading="action"),
    Column(heading="price"),
    Column(heading=SOURCE_COLUMN, importance=1, has_notes=True),
    Column(heading=REASON_COLUMN, importance=2, wraps=True, min_width=40, has_notes=True),
)


def print_plan_table(plan: Plan, *, wide: bool = False) -> None:
    """Print the plan in a form that fits the terminal."""
    print_output(build_plan_table(plan, get_table_width(wide=wide), borders=sys.stdout.isatty()))


def build_plan_table(plan: Plan, width: int | None, *, borders: bool = True) -> Output:
    """Build a table of the plan. On a narrow terminal, price sources and holds stand below the table, uncut."""
    dataset = plan.dataset.training
    tokens = "unknown number of tokens" if dataset.tokens is None else format_count(dataset.tokens, "token")
    # Not the title and the caption of the table, which would be wrapped at the width of the table.
    title = (
        f"Plan for {plan.name}, run {plan.run_id}",
        f"Dataset {plan.dataset.sha256[:16]}: {format_count(dataset.examples, 'example')}, "
        f"{format_count(dataset.bytes, 'byte')}, {tokens}",
    )
    total = [
        f"Actions: {_format_step_counts(plan)}",
        f"Estimated price of the run: {format_usd(plan.total_usd)}, of which {_format_parts(plan)}",
    ]
    total += (each.describe() for each in plan.deployments)
    table = fit_table(COLUMNS, map(_build_row, plan.lines), width, borders=borders)
    if SOURCE_COLUMN in table.noted:
        total += dict.fromkeys(f"Price of {line.base_model}: {line.price_source}" for line in plan.lines)
    if REASON_COLUMN in table.noted:
        total += (f"{line.account}: {_format_hold(line)}" for line in plan.lines if line.hold)
    return table.place_between(map(sanitize_line, title), map(sanitize_line, total))


def _format_parts(plan: Plan) -> str:
    earlier = f" and {format_usd(plan.earlier_usd)} for earlier rounds of jobs" if plan.earlier_usd else ""
    return f"{format_usd(plan.new_usd)} for new jobs{earlier}"


def _build_row(line: PlanLine) -> tuple[str, ...]:
    price = format_usd(line.usd)
    return (
        line.account,
        line.provider,
        line.base_model,
        line.step,
        price,
        line.price_source,
        _format_hold(line),
    )


def _format_hold(line: PlanLine) -> str:
    return f"{line.hold.kind}: {line.hold.reason}. {line.hold.hint}" if line.hold else ""


def _format_step_counts(plan: Plan) -> str:
    counts: Mapping[PlanStep, int] = {step: plan.count(step) for step in PlanStep}
    return ", ".join(f"{step}: {count}" for step, count in counts.items() if count)

"""Body of `compare`: announces what it costs, asks the models, and prints the verdicts."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from orchestrator.app.comparisons import ComparisonDesk, PreparedComparison
from orchestrator.cli.comparison_table import build_comparison_table
from orchestrator.cli.exit_code import ExitCode
from orchestrator.cli.handlers.operate import get_operator_name
from orchestrator.cli.output import print_json
from orchestrator.cli.progress import comparison_progress
from orchestrator.cli.tables import get_table_width, print_output
from orchestrator.core.comparison.comparison import Comparison
from orchestrator.core.text import format_count, format_usd
from orchestrator.core.text_sanitizer import sanitize_line

if TYPE_CHECKING:
    from orchestrator.app import App


async def compare(
    app: App, run: str | None, options: Mapping[str, Any], *, is_confirmed: bool, as_json: bool, wide: bool
) -> ExitCode:
    """Compare the models of a run, or continue its interrupted comparison. Raises ConfigError."""
    desk = ComparisonDesk(app)
    prepared = await desk.prepare(run, options, cause=get_operator_name())
    stream = sys.stderr if as_json else sys.stdout
    stream.write(f"{sanitize_line(_announce(prepared))}\n")
    stream.flush()
    if not is_confirmed and not prepared.is_continued and not _confirm(prepared):
        return ExitCode.FAILED
    with comparison_progress() as report:
        ended = await desk.run(prepared, on_progress=report)
    return _print(ended, as_json=as_json, wide=wide)


async def print_latest(app: App, run: str | None, *, as_json: bool, wide: bool) -> ExitCode:
    """Print the latest result of a run. Raises NothingToDo if there is none."""
    return _print(await ComparisonDesk(app).find_latest(run), as_json=as_json, wide=wide)


def _announce(prepared: PreparedComparison) -> str:
    comparison, plan = prepared.comparison, prepared.plan
    tuned = sum(not model.is_base for model in comparison.models)
    what = f"{format_count(tuned, 'model')}, {format_count(len(comparison.probe_ids), 'probe')}"
    if prepared.is_continued:
        return f"Continuing the comparison of {what}: {prepared.answered} of {plan.requests} answers are stored."
    usd = "an unknown price" if plan.usd is None else f"at most {format_usd(plan.usd)}"
    return f"Comparing {what}: {format_count(plan.requests, 'request')}, {usd}."


def _confirm(prepared: PreparedComparison) -> bool:
    usd = prepared.plan.usd
    if not sys.stdin.isatty():
        limit = "--max-usd USD" if usd is None else f"--max-usd {usd:.2f}"
        sys.stdout.write(f"No model was called. Confirm the price with {limit}, or with --yes.\n")
        return False
    sys.stdout.write("Continue? [y/N] ")
    sys.stdout.flush()
    if sys.stdin.readline().strip().lower() in {"y", "yes"}:
        return True
    sys.stdout.write("No model was called.\n")
    return False


def _print(comparison: Comparison, *, as_json: bool, wide: bool) -> ExitCode:
    document = comparison.result
    if document is None:
        sys.stderr.write(f"The comparison was stopped: {sanitize_line(comparison.message or '')}.\n")
        return ExitCode.FAILED
    if as_json:
        print_json(document)
    else:
        print_output(build_comparison_table(document, get_table_width(wide=wide), borders=sys.stdout.isatty()))
    return ExitCode.DONE if document["passed"] else ExitCode.FAILED

"""Bodies of `compare` and `ask`: call the models, and print their verdicts or their answers."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator import status
from orchestrator.app.comparisons import ComparisonDesk, PreparedComparison
from orchestrator.app.probe_reader import ProbeReader
from orchestrator.cli.comparison_table import build_comparison_table
from orchestrator.cli.exit_code import ExitCode
from orchestrator.cli.handlers.operate import get_operator_name
from orchestrator.cli.output import print_json, write_text
from orchestrator.cli.progress import comparison_progress
from orchestrator.cli.tables import get_table_width, print_output
from orchestrator.core.comparison.answer import AnswerOutcome
from orchestrator.core.comparison.comparison import Comparison
from orchestrator.core.comparison.model_reply import ModelReply
from orchestrator.core.errors import ConfigError
from orchestrator.core.inference import ChatQuestion
from orchestrator.core.text import format_count, format_usd, format_usd_limit
from orchestrator.core.text_sanitizer import sanitize_line

if TYPE_CHECKING:
    from orchestrator.app import App


async def compare(
    app: App,
    run: str | None,
    options: Mapping[str, Any],
    *,
    is_confirmed: bool,
    as_json: bool,
    wide: bool,
    report: Path | None = None,
) -> ExitCode:
    """Compare the models of a run, or continue its interrupted comparison. Raises ConfigError.

    An option with the value None is that of the accounts file.
    """
    if report is not None:
        _check_report_file(report)
    desk = ComparisonDesk(app)
    given = {name: value for name, value in options.items() if value is not None}
    prepared = await desk.prepare(run, given, cause=get_operator_name())
    stream = sys.stderr if as_json else sys.stdout
    stream.write(f"{sanitize_line(_announce(prepared))}\n")
    stream.flush()
    if not is_confirmed and not prepared.is_continued and not _confirm(prepared):
        return ExitCode.FAILED
    with comparison_progress() as on_progress:
        ended = await desk.run(prepared, on_progress=on_progress)
    if report is not None:
        await _write_report(app, ended, report)
    return _print(ended, as_json=as_json, wide=wide)


async def print_latest(
    app: App, run: str | None, *, as_json: bool, wide: bool, report: Path | None = None
) -> ExitCode:
    """Print the latest result of a run. Raises NothingToDo if there is none."""
    latest = await ComparisonDesk(app).find_latest(run)
    if report is not None:
        _check_report_file(report)
        await _write_report(app, latest, report)
    return _print(latest, as_json=as_json, wide=wide)


def _check_report_file(path: Path) -> None:
    """Raise ConfigError if the file cannot be created, before a model is called for it."""
    if not path.parent.is_dir():
        raise ConfigError(
            f"the report cannot be written to {path}: the folder {path.parent} does not exist",
            hint="Create the folder, or choose another file with --report.",
        )


async def _write_report(app: App, comparison: Comparison, path: Path) -> None:
    """Write the report, or say why there is none. Raises ConfigError if the file cannot be written."""
    if comparison.result is None:
        sys.stderr.write("No report was written, because the comparison has no result.\n")
        return
    from orchestrator.web.dashboard.comparisons.report import list_reported_probes, render_report  # Jinja2: lazy

    found = await status.find_run_comparisons(app.database, run_id=comparison.run_id, comparison_id=comparison.id)
    answers = await status.list_comparison_answers(app.database, comparison.id, list_reported_probes(comparison))
    probes = await ProbeReader(app.database, app.dataset_folder).find_probes(comparison)
    name = found.run_name if found else comparison.run_id
    text = await asyncio.to_thread(render_report, comparison, name, probes, answers, app.clock.now())
    try:
        await asyncio.to_thread(write_text, text, path)
    except (ConfigError, OSError) as error:
        raise ConfigError(
            f"the report was not written: {getattr(error, 'strerror', '') or error}",
            hint="Choose another file; `orchestrator compare --latest --report FILE` needs no model.",
        ) from error
    sys.stderr.write(f"{sanitize_line(f'Report written to {path}.')}\n")


def _announce(prepared: PreparedComparison) -> str:
    comparison, plan = prepared.comparison, prepared.plan
    tuned = sum(not model.is_base for model in comparison.models)
    what = f"{format_count(tuned, 'model')}, {format_count(len(comparison.probe_ids), 'probe')}"
    if prepared.is_continued:
        return f"Continuing the comparison of {what}: {prepared.answered} of {plan.requests} answers are stored."
    usd = "an unknown price" if plan.usd is None else f"at most {format_usd(plan.usd)}"
    started = sum(model.starts_deployment for model in comparison.models)
    deployed = f"{format_count(started, 'deployment')}, " if started else ""
    return f"Comparing {what}: {format_count(plan.requests, 'request')}, {deployed}{usd}."


def _confirm(prepared: PreparedComparison) -> bool:
    usd = prepared.plan.usd
    if not sys.stdin.isatty():
        limit = "--max-usd USD" if usd is None else f"--max-usd {format_usd_limit(usd)}"
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


async def ask(
    app: App,
    run: str | None,
    accounts: Sequence[str] | None,
    question: ChatQuestion,
    *,
    max_usd: float | None,
    as_json: bool,
) -> ExitCode:
    """Ask the models one question, and print the answers below each other. Returns FAILED if one did not answer."""
    replies = await ComparisonDesk(app).ask(run, accounts, question, max_usd, get_operator_name())
    if as_json:
        print_json([_reply_to_dict(each) for each in replies])
    else:
        sys.stdout.write("\n".join(line for each in replies for line in _format_reply(each)))
    return ExitCode.FAILED if any(each.error is not None for each in replies) else ExitCode.DONE


def _format_reply(reply: ModelReply) -> list[str]:
    facts = [reply.model.model]
    if reply.reply is not None:
        outcome = reply.reply.outcome
        facts += [] if outcome is AnswerOutcome.ANSWERED else [outcome.replace("_", " ")]
        facts += [format_count(count, "token") for count in (reply.reply.output_tokens,) if count is not None]
    facts += [f"{reply.seconds:.1f} s"] if reply.seconds is not None else []
    facts += [f"${reply.usd:.6f}"] if reply.usd is not None else []
    text = reply.error if reply.reply is None else reply.reply.text
    lines = [f"  {sanitize_line(line)}" for line in (text or "").splitlines()]
    return [sanitize_line(f"{reply.model.account} ({', '.join(facts)})"), *lines, ""]


def _reply_to_dict(reply: ModelReply) -> dict[str, Any]:
    answer = reply.reply
    return {
        "account": reply.model.account,
        "model": reply.model.model,
        "outcome": answer.outcome.value if answer else AnswerOutcome.ERROR.value,
        "text": answer.text if answer else None,
        "error": reply.error,
        "prompt_tokens": answer.prompt_tokens if answer else None,
        "output_tokens": answer.output_tokens if answer else None,
        "seconds": reply.seconds,
        "usd": reply.usd,
        "left_out": sorted(answer.left_out) if answer else [],
    }

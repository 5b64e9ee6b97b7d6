"""Output of commands as plain lines and JSON. Tables are in `tables`."""

from __future__ import annotations

import codecs
import errno
import json
import os
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TextIO

from orchestrator.cli.session import SYSTEM_FAILURE_ERRNOS
from orchestrator.core.deployment.lifecycle import TERMINAL_DEPLOYMENT_STATES
from orchestrator.core.errors import ConfigError, Failure
from orchestrator.core.finding import Finding
from orchestrator.core.text import format_duration, format_number, format_percent, format_time
from orchestrator.core.text_sanitizer import sanitize_json, sanitize_line
from orchestrator.system.atomic_file import write_replacement

if TYPE_CHECKING:
    from orchestrator.core.plans.plan import Plan
    from orchestrator.status import JobView, StatusSnapshot

LATEST_EVENT_COLUMN, MODEL_COLUMN, ADVICE_COLUMN = "latest event", "fine-tuned model", "what to do"
IRREPLACEABLE_ERRNOS: Final = frozenset({errno.EACCES, errno.EPERM, errno.EBUSY})
STATUS_COLUMNS = ("account", "provider", "state", "for", "progress", LATEST_EVENT_COLUMN, MODEL_COLUMN, ADVICE_COLUMN)


def print_json(value: Any) -> None:
    """Print a value as indented JSON, without control characters that a terminal would execute."""
    text = sanitize_json(json.dumps(value, indent=2, ensure_ascii=False))
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:  # stdout is not UTF-8, or the text is not: use JSON's \uXXXX
        text = json.dumps(value, indent=2)
    sys.stdout.write(text + "\n")


def format_finding(finding: Finding) -> str:
    """Format a finding as one line: place, severity, code, message and hint."""
    place = f"{finding.file}:{finding.line}" if finding.line else finding.file
    at = f" at {finding.path}" if finding.path else ""
    return sanitize_line(f"{place}: {finding.severity} [{finding.code}]{at}: {finding.message}. {finding.hint}")


def format_state(job: JobView) -> str:
    """Return the text of the state column; `held` takes precedence over the state."""
    return "held" if job.held else job.state


def format_row(job: JobView, now: float) -> tuple[str, ...]:
    """Return the cells of a job's row at the time `now` (epoch seconds). The table sanitizes them."""
    progress = "" if job.progress is None else format_percent(job.progress)
    model, latest = job.fine_tuned_model or "", job.latest_event or ""
    duration = format_duration(now - job.state_since)
    return job.account, job.provider, format_state(job), duration, progress, latest, model, format_advice(job)


def format_advice(job: JobView) -> str:
    """Describe what blocks the job, what it waits for, and what to do. Empty if there is nothing to report."""
    parts = [format_failure(job.error), format_failure(job.warning), format_wait(job), format_serving(job)]
    return " ".join(part for part in parts if part)


def format_serving(job: JobView) -> str:
    """Describe until when a deployed model is callable, or what it needs to become callable."""
    from orchestrator.status import BY_ITSELF, NOT_DEPLOYED  # lazy: `check` prints findings and needs no database

    serving = job.serving
    if serving is None or serving.state == BY_ITSELF:
        return job.serving_hint or ""
    if serving.callable and serving.expires_at is not None:
        return f"Callable until {format_time(serving.expires_at)}."
    if serving.state == NOT_DEPLOYED or serving.state in TERMINAL_DEPLOYMENT_STATES:
        return f"Its model {job.serving_hint}; `orchestrator deploy` makes it callable." if job.serving_hint else ""
    return f"Its deployment is {serving.state}."


def format_wait(job: JobView) -> str:
    """Describe what the job waits for and when it is checked next."""
    if not job.waits_for:
        return ""
    next_check = f"; next check at {format_time(job.wake_at)}" if job.wake_at is not None else ""
    return sanitize_line(f"Waiting for {job.waits_for}{next_check}.")


def format_title(status: StatusSnapshot) -> str | None:
    """Return the name and id of the run, and the progress of its moderation while that is running."""
    from orchestrator.status import describe_moderation  # lazy: `check` prints findings and needs no database

    if status.run is None:
        return None
    priority = f" · priority {status.run.priority}" if status.run.priority else ""
    title = f"{status.run.name} · run {status.run.id}{priority}"
    moderation = describe_moderation(status.run.moderation)
    return "\n".join(map(sanitize_line, filter(None, (title, moderation))))


def format_counts(status: StatusSnapshot) -> str:
    """Format the number of accounts in each state, for example `1 failed, 4 succeeded`."""
    return ", ".join(f"{format_number(count)} {state}" for state, count in status.counts.items())


def format_failure(error: Failure | None) -> str:
    """Format an error as one line, without control characters."""
    return sanitize_line(f"{error.kind}: {error.message.removesuffix('.')}. {error.hint}") if error else ""


def format_refusal(status: StatusSnapshot, width: int | None) -> list[str]:
    """Describe a refused edit of the accounts file or the chats: time, cause, findings and hint.

    Lines are wrapped at `width` characters, but a longer word, such as a path, is not cut. With None, as in a pipe,
    each finding stays on one line. Empty if no edit was refused.
    """
    if not (refusal := status.refusal):
        return []
    cause = refusal.cause
    lines = [
        f"An edit was refused at {format_time(refusal.at)}; the previous version stays in force.",
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
    """Convert the plan to the document of `plan --json`. `warnings` are those of the accounts file."""
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
        "deployments": [
            {
                "provider": each.provider,
                "kind": each.spec.kind,
                "keep_hours": each.spec.keep_hours,
                "usd_per_hour": each.price.usd_per_hour,
                "usd": each.usd,
                "servable": None if each.options is None else bool(each.options),
            }
            for each in plan.deployments
        ],
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


def is_utf8(stream: TextIO) -> bool:
    """Return whether a text stream is written in UTF-8, as TOML, YAML and JSON require it."""
    return codecs.lookup(stream.encoding or "utf-8").name == "utf-8"


@contextmanager
def translate_write_errors(target: Path) -> Iterator[None]:
    """Raise ConfigError if the output file cannot be written: its path is an argument of the user.

    Errors of the machine, such as a full disk, are raised as OSError: another path may not help.
    """
    try:
        yield
    except OSError as error:
        if error.errno in SYSTEM_FAILURE_ERRNOS:
            raise OSError(error.errno, error.strerror, str(target)) from None
        raise ConfigError(
            f"{target} cannot be written: {error.strerror or error}",
            hint="Choose a writable file in an existing folder.",
        ) from None


def write_text(text: str, target: Path | None) -> None:
    """Write text to a file in UTF-8, or to stdout if `target` is None, see `write_output`.

    Characters that are not valid Unicode, as in the names of some files, are written as escapes.
    """
    if target is None:
        sys.stdout.write(text)
        return
    content = text.encode(errors="backslashreplace")
    write_output(target, lambda file: file.write(content))


def write_output(target: Path, write: Callable[[BinaryIO], object]) -> None:
    """Replace the file as a whole by what `write` writes, so that no error leaves half of it.

    A device or a pipe, a file that is mounted, and a file in a folder that is not writable are written in place; then
    `write` may be called again. Raises ConfigError and OSError as `translate_write_errors` does.
    """
    with translate_write_errors(target):
        is_file = target.is_file()
        if is_file and not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))  # a rename would not notice it
        is_special = target.exists() and not is_file
        if is_special or not _replace(target, write, must_succeed=not is_file):
            with target.open("wb") as file:
                write(file)


def _replace(target: Path, write: Callable[[BinaryIO], object], *, must_succeed: bool) -> bool:
    """Return whether the file could be replaced. With `must_succeed` any obstacle is raised as OSError."""
    try:
        write_replacement(target, write)
    except OSError as error:
        if must_succeed or error.errno not in IRREPLACEABLE_ERRNOS:
            raise
        return False
    return True

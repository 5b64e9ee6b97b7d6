"""Session: what every command that touches accounts or the database shares. Settings in, exit code out."""

from __future__ import annotations

import asyncio
import errno
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, TextIO, cast

import typer

from orchestrator.core.errors import ConfigError, DatabaseLocked, DatasetError, NothingToDo, OrchestratorError
from orchestrator.core.secret import Redactor
from orchestrator.core.text import format_number
from orchestrator.core.text_sanitizer import sanitize_line

if TYPE_CHECKING:
    from orchestrator.app import App
    from orchestrator.settings import Settings

EXIT_DONE, EXIT_FAILED, EXIT_USAGE = 0, 1, 2
MAX_FINDINGS_SHOWN = 50  # findings that an error shows
SYSTEM_HINT = "See that it is there, is what it should be, and that the user may read or write it."
SYSTEM_FAILURE_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM})


@dataclass(frozen=True, slots=True)
class CommandSession:
    """The settings in force and the redactor that knows every key met so far."""

    settings: Settings
    redact: Redactor


@contextmanager
def command_session(*, log_level: str | None = None, **changes: Any) -> Iterator[CommandSession]:
    """Settings read, logs set up, errors of ours turned into one message and an exit code.

    `changes` are command line options that go before the environment; None is no change.
    """
    redact = Redactor()
    with print_errors(redact):
        from orchestrator import log
        from orchestrator.settings import load_settings

        settings = load_settings(build_environment(**changes))
        log.configure(settings.log_format, log_level or settings.log_level, redact, cast(TextIO, _CurrentStderr()))
        yield CommandSession(settings, redact)


def build_environment(**changes: Any) -> dict[str, str]:
    """The environment of the process with the options of the command line before it."""
    from orchestrator.settings import PREFIX

    given = {f"{PREFIX}{name.upper()}": str(value) for name, value in changes.items() if value is not None}
    return {**os.environ, **given}


def run_with_app(
    run_command: Callable[[App], Awaitable[int | None]],
    *,
    quiet: bool = True,
    for_reading: bool = False,
    wait_for_threads: bool = True,
    **changes: Any,
) -> None:
    """Run `work` with everything built, and exit with what it returns. `quiet` logs warnings only.

    With `reads` no database is made where there is none yet. Without `wait_for_threads` the process ends as soon as
    everything is closed: a thread that imports modules or reads from a file system that hangs cannot be cancelled,
    and Python would wait for it. A full pipe on stderr does not stop it then either: see `log.lines_queued`.
    """
    with command_session(log_level="warning" if quiet else None, **changes) as given:
        from orchestrator import log
        from orchestrator.app import open_app, open_app_for_reading

        opened = open_app_for_reading if for_reading else open_app

        async def run() -> int | None:
            # Before anything is opened: opening logs as well.
            with nullcontext() if wait_for_threads else log.queue_output():
                async with opened(given.settings, given.redact) as app:
                    code = await run_command(app)
            if not wait_for_threads:
                _exit_now(code or EXIT_DONE)
            return code

        code = asyncio.run(run())
    raise typer.Exit(code or EXIT_DONE)


def _exit_now(code: int) -> NoReturn:
    from orchestrator import log

    for stream in (sys.stdout,) if log.is_blocked() else (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


@contextmanager
def print_errors(redact: Redactor) -> Iterator[None]:
    """End the program with a message for errors of ours and for files that the system refuses.

    Anything else is a bug and keeps its traceback.
    """
    try:
        yield
    except OrchestratorError as error:
        typer.echo(redact(format_error(error)), err=True)
        raise typer.Exit(exit_code_from_error(error)) from None
    except OSError as error:
        if error.filename is None:
            raise
        message = f"error: {sanitize_line(str(error.filename))}: {error.strerror}\nhint: {SYSTEM_HINT}"
        typer.echo(redact(message), err=True)
        raise typer.Exit(EXIT_FAILED if error.errno in SYSTEM_FAILURE_ERRNOS else EXIT_USAGE) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def exit_code_from_error(error: OrchestratorError) -> int:
    """USAGE for what must be written differently, FAILED for everything else."""
    if isinstance(error, NothingToDo):
        return EXIT_FAILED
    return EXIT_USAGE if isinstance(error, ConfigError | DatabaseLocked) else EXIT_FAILED


def format_error(error: OrchestratorError) -> str:
    """The message for a person: what, every place, what next. Each is one line, whatever a file or provider says."""
    lines = [f"error: {sanitize_line(error.message)}"]
    if isinstance(error, ConfigError):
        lines += [f"  {sanitize_line(problem)}" for problem in error.problems]
    if isinstance(error, DatasetError):
        from orchestrator.cli.output import format_finding

        lines += [f"  {format_finding(finding)}" for finding in error.findings[:MAX_FINDINGS_SHOWN]]
        if (more := len(error.findings) - MAX_FINDINGS_SHOWN) > 0:
            lines.append(f"  and {format_number(more)} more: `orchestrator check` lists them all")
    if error.hint:
        lines.append(f"hint: {sanitize_line(error.hint)}")
    return "\n".join(lines)


class _CurrentStderr:
    """Whatever stderr is at the moment: a live table takes its place while it is shown."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()

    def isatty(self) -> bool:
        return sys.stderr.isatty()

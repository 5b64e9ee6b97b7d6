"""Command sessions: settings, logging, error messages and exit codes, which all commands share."""

# Theory of operation
#
# Every command that needs the settings or the database runs inside `command_session` or `run_with_app`:
#
#   run_with_app -> command_session -> print_errors -> asyncio.run(open_app ... the command)
#
# * `print_errors` is outermost, so that a faulty setting is reported like any other error: one message of the form
#   "error: ... / hint: ...", one exit code, no traceback. Only a bug keeps its traceback.
# * Options of the command line become environment variables (`build_environment`), so that there is one way only in
#   which a setting is read and validated.
# * `typer.Exit` is raised after `asyncio.run` has returned. Raised inside, it would pass through the event loop's
#   shutdown as an error of the command.
# * `serve` sets wait_for_threads=False. Python waits for all threads at exit, and a thread that hangs (an import, a
#   read from a network file system) cannot be cancelled. So the process ends with os._exit once everything is closed.
#   Until then a thread writes the log, because a pipe that is full would block the shutdown.

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any, NoReturn, TextIO, cast

import typer

from orchestrator.cli.exit_code import ExitCode
from orchestrator.core.errors import ConfigError, DatabaseLocked, DatasetError, NothingToDo, OrchestratorError
from orchestrator.core.secret import Redactor
from orchestrator.core.structs import Struct
from orchestrator.core.text import format_number
from orchestrator.core.text_sanitizer import sanitize_line

if TYPE_CHECKING:
    from orchestrator.app import App
    from orchestrator.settings import Settings

MAX_FINDINGS_SHOWN = 50  # in an error message
SYSTEM_HINT = "Check that the path exists, has the right type, and may be read or written by this user."
SYSTEM_FAILURE_HINT = "Free disk space, memory or open files on this machine, then repeat the command."
SYSTEM_FAILURE_ERRNOS = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
)
"""Errors of the machine and not of the configuration: the exit code is FAILED, because trying again may help."""


class CommandSession(Struct, frozen=True):
    """The settings in force, and the redactor that knows every key read so far."""

    settings: Settings
    redact: Redactor


@contextmanager
def command_session(*, log_level: str | None = None, **options: Any) -> Iterator[CommandSession]:
    """Read the settings, configure logging, and end the program with one message on an error.

    `options` are command-line options by setting name; they take precedence over the environment. None is ignored.
    """
    redact = Redactor()
    with print_errors(redact):
        from orchestrator import log
        from orchestrator.settings import load_settings

        settings = load_settings(build_environment(**options))
        log.configure(settings.log_format, log_level or settings.log_level, redact, cast(TextIO, _CurrentStderr()))
        yield CommandSession(settings, redact)


def build_environment(**options: Any) -> dict[str, str]:
    """Return the environment of the process, with command-line options in place of its variables."""
    from orchestrator.settings import PREFIX

    variables = {f"{PREFIX}{name.upper()}": str(value) for name, value in options.items() if value is not None}
    return {**os.environ, **variables}


def run_with_app(
    run_command: Callable[[App], Awaitable[int | None]],
    *,
    quiet: bool = True,
    for_reading: bool = False,
    wait_for_threads: bool = True,
    **options: Any,
) -> None:
    """Open the app, run a command, and exit with the code it returns (None is DONE).

    `quiet` logs warnings and errors only. `for_reading` creates no database where there is none. Without
    `wait_for_threads` the process ends as soon as everything is closed, even if a thread hangs or stderr is blocked.
    """
    with command_session(log_level="warning" if quiet else None, **options) as session:
        import asyncio  # lazy, as the others: `--help` and the completion of names need none of them

        from orchestrator import log
        from orchestrator.app import open_app, open_app_for_reading

        open_for_command = open_app_for_reading if for_reading else open_app

        async def run() -> int | None:
            # The log queue comes first: opening the app writes log lines as well.
            with nullcontext() if wait_for_threads else log.queue_output():
                async with open_for_command(session.settings, session.redact) as app:
                    code = await run_command(app)
            if not wait_for_threads:
                _exit_now(code or ExitCode.DONE)
            return code

        code = asyncio.run(run())
    raise typer.Exit(code or ExitCode.DONE)


def _exit_now(code: int) -> NoReturn:
    from orchestrator import log

    for stream in (sys.stdout,) if log.is_blocked() else (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


@contextmanager
def print_errors(redact: Redactor) -> Iterator[None]:
    """End the program with a message and an exit code for expected errors and for errors of the file system.

    Any other exception is a bug and keeps its traceback.
    """
    try:
        yield
    except OrchestratorError as error:
        typer.echo(redact(format_error(error)), err=True)
        raise typer.Exit(exit_code_from_error(error)) from None
    except OSError as error:
        if error.filename is None:
            raise
        is_failure = error.errno in SYSTEM_FAILURE_ERRNOS
        hint = SYSTEM_FAILURE_HINT if is_failure else SYSTEM_HINT
        message = f"error: {sanitize_line(str(error.filename))}: {error.strerror}\nhint: {hint}"
        typer.echo(redact(message), err=True)
        code = ExitCode.FAILED if is_failure else ExitCode.USAGE
        raise typer.Exit(code) from None
    except KeyboardInterrupt:
        raise typer.Exit(ExitCode.INTERRUPTED) from None


def exit_code_from_error(error: OrchestratorError) -> ExitCode:
    """Return USAGE for errors that need a correction of the configuration, FAILED for all others."""
    if isinstance(error, NothingToDo):
        return ExitCode.FAILED
    return ExitCode.USAGE if isinstance(error, ConfigError | DatabaseLocked) else ExitCode.FAILED


def format_error(error: OrchestratorError) -> str:
    """Format an error as message, problems, findings and hint.

    Each part is one line, whatever text a file or a provider supplied.
    """
    lines = [f"error: {sanitize_line(error.message)}"]
    if isinstance(error, ConfigError):
        lines += [f"  {sanitize_line(problem)}" for problem in error.problems]
    if isinstance(error, DatasetError) and len(error.findings) == 1 and error.findings[0].message in error.message:
        [finding] = error.findings  # the message and the hint are its own; the code leads to the documentation
        at = f" at {finding.path}" if finding.path else ""
        lines[0] += sanitize_line(f" [{finding.code}]{at}")
    elif isinstance(error, DatasetError):
        from orchestrator.cli.output import format_finding

        lines += [f"  {format_finding(finding)}" for finding in error.findings[:MAX_FINDINGS_SHOWN]]
        if (more := len(error.findings) - MAX_FINDINGS_SHOWN) > 0:
            lines.append(f"  and {format_number(more)} more: `orchestrator check` lists them all")
    if error.hint:
        lines.append(f"hint: {sanitize_line(error.hint)}")
    return "\n".join(lines)


def format_base_url(host: str, port: int) -> str:
    """Format the URL of a local server.

    An IPv6 address stands in brackets, otherwise its colons would end the host.
    """
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _CurrentStderr:
    """Forwards to the stderr of the moment, because a live table replaces `sys.stderr` while it is shown."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()

    def isatty(self) -> bool:
        return sys.stderr.isatty()

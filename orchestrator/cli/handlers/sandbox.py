"""Body of `sandbox`: serves the simulated provider until a signal. It does not import the app."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import signal
import sys
from pathlib import Path
from typing import Final

from orchestrator.cli.exit_code import ExitCode
from orchestrator.cli.session import SYSTEM_HINT, format_base_url
from orchestrator.core.text_sanitizer import sanitize_line
from orchestrator.sandbox import (
    FaultError,
    NotLoopback,
    SandboxSettings,
    StateFileError,
    load_simulation,
    serve,
)

INTRODUCTION: Final = """\
sandbox: {url}
Any key sandbox-NAME, for example sandbox-acme, is an account of the organization org-NAME.
To try it, in another terminal:
  export SANDBOX_KEY=sandbox-acme
  orchestrator init --provider openai --api-key env:SANDBOX_KEY \\
      --base-url {url}
"""
FAULTS_HINT: Final = "Correct the file of --faults; docs/how-to/sandbox.md describes its rules."
STATE_HINT: Final = "--state is a SQLite file, which the sandbox creates: choose a new file in a writable folder."
BIND_ERRORS: Final = {
    errno.EADDRINUSE: (
        "is already in use",
        "Stop the program that listens on it, or choose another port with --port (0 picks a free port).",
    ),
    errno.EACCES: ("is not allowed for this user", "Choose a port above 1023 with --port."),
    errno.EADDRNOTAVAIL: ("is not an address of this machine", "Use --host 127.0.0.1 or --host ::1."),
}


def run_sandbox(
    host: str,
    port: int,
    *,
    state: Path | None,
    faults: Path | None,
    webhooks: str | None,
    seconds: float,
    seed: int,
) -> int:
    """Serve until SIGINT or SIGTERM. `seconds` is the training time of a job."""
    try:
        rules, answers = load_simulation(faults) if faults else ((), ())
        settings = SandboxSettings(
            state=state,
            file_seconds=seconds / 10,
            validating_seconds=seconds / 10,
            queue_seconds=seconds / 10,
            training_seconds=seconds,
            webhooks=webhooks,
            seed=seed,
            faults=rules,
            answers=answers,
        )
        asyncio.run(_serve_until_stopped(host, port, settings))
    except FaultError as error:
        return _print_error(str(error), FAULTS_HINT)
    except NotLoopback as error:
        return _print_error(str(error))  # the message includes the next step
    except StateFileError as error:
        return _print_error(sanitize_line(str(error)), STATE_HINT)
    except OSError as error:
        if error.filename is not None:
            return _print_error(f"{sanitize_line(str(error.filename))}: {error.strerror}", SYSTEM_HINT)
        if error.errno in BIND_ERRORS:
            reason, hint = BIND_ERRORS[error.errno]
            return _print_error(f"{host} port {port} {reason}", hint)
        return _print_error(str(error), SYSTEM_HINT)
    return ExitCode.DONE


def _print_error(message: str, hint: str = "") -> ExitCode:
    sys.stderr.write(f"error: {message}\n" + (f"hint: {hint}\n" if hint else ""))
    return ExitCode.USAGE


async def _serve_until_stopped(host: str, port: int, settings: SandboxSettings) -> None:
    def print_url(bound_port: int) -> None:
        sys.stdout.write(INTRODUCTION.format(url=f"{format_base_url(host, bound_port)}/v1"))
        sys.stdout.flush()

    serving = asyncio.create_task(serve(host, port, settings, print_url))
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, serving.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await serving

"""Body of `sandbox`: serves the simulated provider until a signal. It does not import the app."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from pathlib import Path
from typing import Final

from orchestrator.cli.exit_code import ExitCode
from orchestrator.cli.session import format_base_url
from orchestrator.sandbox import FaultError, NotLoopback, SandboxSettings, load_simulation, serve

INTRODUCTION: Final = """\
sandbox: {url}
Any key sandbox-NAME, for example sandbox-acme, is an account of the organization org-NAME.
To try it, in another terminal:
  export SANDBOX_KEY=sandbox-acme
  orchestrator init --provider openai --api-key env:SANDBOX_KEY \\
      --base-url {url}
"""


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
    except (FaultError, NotLoopback, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return ExitCode.USAGE
    return ExitCode.DONE


async def _serve_until_stopped(host: str, port: int, settings: SandboxSettings) -> None:
    def print_url(bound_port: int) -> None:
        sys.stdout.write(INTRODUCTION.format(url=f"{format_base_url(host, bound_port)}/v1"))
        sys.stdout.flush()

    serving = asyncio.create_task(serve(host, port, settings, print_url))
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, serving.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await serving

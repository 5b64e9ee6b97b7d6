"""The sandbox as a process."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from pathlib import Path

from orchestrator.cli.base_url import format_base_url
from orchestrator.cli.session import EXIT_DONE, EXIT_USAGE
from orchestrator.sandbox import FaultError, NotLoopback, SandboxSettings, load_faults, serve


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
    """Serve until a signal."""
    try:
        settings = SandboxSettings(
            state=state,
            file_seconds=seconds / 10,
            validating_seconds=seconds / 10,
            queue_seconds=seconds / 10,
            training_seconds=seconds,
            webhooks=webhooks,
            seed=seed,
            faults=load_faults(faults) if faults else (),
        )
        asyncio.run(_serve_until_stopped(host, port, settings))
    except (FaultError, NotLoopback, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return EXIT_USAGE
    return EXIT_DONE


async def _serve_until_stopped(host: str, port: int, settings: SandboxSettings) -> None:
    def ready(real_port: int) -> None:
        sys.stdout.write(
            f"sandbox: {format_base_url(host, real_port)}/v1\n"
            "any key of the form sandbox-NAME is the account of organisation org-NAME\n"
        )
        sys.stdout.flush()

    serving = asyncio.create_task(serve(host, port, settings, ready))
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, serving.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await serving

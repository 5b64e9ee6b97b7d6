"""Commands for a first try: the demo, and the sandbox provider."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.commands.help_layout import Panel
from orchestrator.cli.commands.root import command

MAX_TRAINING_SECONDS = 31_536_000  # a year; "inf" would be a job without an end


@command(
    panel=Panel.TRY,
    examples="""
        orchestrator demo               # about ten seconds; prints five model ids
        orchestrator demo --keep        # keep the dashboard open until Ctrl-C
    """,
)
def demo(keep: Annotated[bool, typer.Option(help="Keep the dashboard running until Ctrl-C.")] = False) -> None:
    """Run a free demonstration with five sandbox accounts."""
    from orchestrator.cli.handlers.demo import run_demo

    raise typer.Exit(run_demo(keep=keep))


@command(
    panel=Panel.TRY,
    examples="""
        orchestrator sandbox                      # http://127.0.0.1:8090, any key
        orchestrator sandbox --port 0 --seconds 60
        orchestrator sandbox --faults faults.toml --state sandbox.db
    """,
)
def sandbox(
    host: Annotated[str, typer.Option(help="Loopback address to listen on, for example ::1.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 picks a free port.")] = 8090,
    state: Annotated[
        Path | None, typer.Option(help="SQLite file that keeps the state across restarts; default: memory only.")
    ] = None,
    faults: Annotated[
        Path | None, typer.Option(help="TOML file with the faults, and the differences between models, to simulate.")
    ] = None,
    webhooks: Annotated[
        str | None,
        typer.Option(help="Loopback URL that receives job webhooks, with {account} in place of the account name."),
    ] = None,
    seconds: Annotated[
        float,
        typer.Option(
            min=0,
            max=MAX_TRAINING_SECONDS,
            help="Training time of a job, in seconds. Checking the file and queueing each take a tenth of that time.",
        ),
    ] = 10.0,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
) -> None:
    """Run a simulated provider on this machine. It serves OpenAI's API for any OpenAI client; nothing is charged."""
    from orchestrator.cli.handlers.sandbox import run_sandbox

    raise typer.Exit(
        run_sandbox(host, port, state=state, faults=faults, webhooks=webhooks, seconds=seconds, seed=seed)
    )

"""Commands a newcomer meets first: the demo, and a provider to play with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.commands.root import command


@command()
def demo(keep: Annotated[bool, typer.Option(help="Keep the dashboard until Ctrl-C.")] = False) -> None:
    """Run five accounts over the sample chats against the sandbox."""
    from orchestrator.cli.handlers.demo import run_demo as play

    raise typer.Exit(play(keep=keep))


@command()
def sandbox(
    host: Annotated[str, typer.Option(help="Loopback address.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = 8090,
    state: Annotated[Path | None, typer.Option(help="Keep the state in this file.")] = None,
    faults: Annotated[Path | None, typer.Option(help="A TOML file of faults.")] = None,
    webhooks: Annotated[
        str | None, typer.Option(help="Address on this machine that is told of ends; {account} is replaced.")
    ] = None,
    seconds: Annotated[float, typer.Option(help="How long a job trains; checks and queues take a tenth.")] = 10.0,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
) -> None:
    """Run a provider on loopback that speaks OpenAI's API; point any OpenAI client at it."""
    from orchestrator.cli.handlers import sandbox as command

    raise typer.Exit(
        command.run_sandbox(host, port, state=state, faults=faults, webhooks=webhooks, seconds=seconds, seed=seed)
    )

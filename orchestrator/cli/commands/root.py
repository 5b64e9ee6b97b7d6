"""Root: the program itself, and the options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.session import EXIT_DONE

app = typer.Typer(
    help="One dataset, many accounts, one fine-tuned model in each.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
command = app.command

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
AccountsArgument = Annotated[list[str] | None, typer.Argument(help="Account names.")]
AccountsFileOption = Annotated[Path | None, typer.Option("--accounts", "-a", help="The accounts file.")]
AllAccountsOption = Annotated[bool, typer.Option("--all", help="Every account of the run.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"orchestrator {version('orchestrator')}")
        raise typer.Exit(EXIT_DONE)


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """One dataset, many accounts, one fine-tuned model in each."""

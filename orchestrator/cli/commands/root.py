"""The root command, and the options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from orchestrator.cli.exit_code import ExitCode

SUMMARY: Final = "Fine-tune one dataset in many provider accounts, one model per account."

app = typer.Typer(
    help=SUMMARY,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
command = app.command

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
WideOption = Annotated[bool, typer.Option("--wide", help="Show every column, at any width of the terminal.")]
AccountsArgument = Annotated[list[str] | None, typer.Argument(help="Account names, for example acme-eu acme-us.")]
AccountsFileOption = Annotated[
    Path | None,
    typer.Option("--accounts", "-a", help="Accounts file; default: ORCHESTRATOR_ACCOUNTS_FILE or accounts.toml."),
]
AllAccountsOption = Annotated[bool, typer.Option("--all", help="Apply to every account of the run.")]


def _print_version(requested: bool) -> None:
    if requested:
        from importlib.metadata import version

        typer.echo(f"orchestrator {version('orchestrator')}")
        raise typer.Exit(ExitCode.DONE)


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Print the version, or run one of the commands."""

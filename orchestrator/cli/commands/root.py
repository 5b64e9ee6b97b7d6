"""The root command, and the options that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar, get_type_hints

import typer

from orchestrator.cli.commands.help_layout import ExampleCommand, Panel, PanelGroup
from orchestrator.cli.commands.name_completion import complete_accounts
from orchestrator.cli.exit_code import ExitCode

CommandBody = TypeVar("CommandBody", bound=Callable[..., Any])

SUMMARY: Final = "Fine-tune one dataset in many provider accounts, one model per account."

FIRST_STEPS: Final = """
    orchestrator demo                 # free of charge; no key, no settings
    orchestrator init                 # write an accounts file, verify its key
    orchestrator plan                 # what would happen, and its price
    orchestrator run                  # train, and print the model ids
    orchestrator COMMAND --help       # options and examples of a command
"""

app = typer.Typer(
    cls=PanelGroup,
    help=SUMMARY,
    epilog=FIRST_STEPS,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def command(
    name: str | None = None,
    *,
    examples: str,
    panel: Panel | None = None,
    group: typer.Typer = app,
    summary: str | None = None,
) -> Callable[[CommandBody], CommandBody]:
    """Declare a command of `group`. Its help ends with the `examples`; `--help` lists it in the panel.

    `summary` replaces the docstring of the body.
    """
    declare = group.command(name, cls=ExampleCommand, help=summary, epilog=examples, rich_help_panel=panel)

    def declare_command(body: CommandBody) -> CommandBody:
        # Typer evaluates the texts of the annotations four times, for all commands at every start. As types they cost
        # less: 40 of 60 ms of CPU on a slow machine.
        body.__annotations__ = get_type_hints(body, include_extras=True)
        return declare(body)

    return declare_command


def create_group(name: str, *, panel: Panel, summary: str, examples: str) -> typer.Typer:
    """Create a group of commands, such as `token`, below the root command."""
    group = typer.Typer(cls=PanelGroup, no_args_is_help=True, rich_markup_mode=None)
    app.add_typer(group, name=name, help=summary, epilog=examples, rich_help_panel=panel)
    return group


JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
WideOption = Annotated[bool, typer.Option("--wide", help="Show every column, at any width of the terminal.")]
AccountsArgument = Annotated[
    list[str] | None,
    typer.Argument(help="Account names, for example acme-eu acme-us.", autocompletion=complete_accounts),
]
AccountsFileOption = Annotated[
    Path | None,
    typer.Option("--accounts", "-a", help="Accounts file; default: ORCHESTRATOR_ACCOUNTS_FILE or accounts.toml."),
]
AllAccountsOption = Annotated[bool, typer.Option("--all", help="Apply to every account of the run.")]


def check_selection(
    names: Sequence[object] | None, *, all_selected: bool, choice: str, hint: str = "accounts"
) -> None:
    """Raise BadParameter if nothing is selected, or if it is unclear whether --all or the names apply.

    `choice` says how to select something; `hint` is the argument with the names.
    """
    if not names and not all_selected:
        raise typer.BadParameter(choice, param_hint=hint)
    if names and all_selected:
        raise typer.BadParameter("pass either names or --all, not both.", param_hint="--all")


def refuse_ignored(options: Mapping[str, object], other: str) -> None:
    """Raise BadParameter for an option that has no effect together with `other`: it would select more than meant."""
    if ignored := [name for name, value in options.items() if value]:
        raise typer.BadParameter(f"is not used together with {other}.", param_hint=", ".join(ignored))


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

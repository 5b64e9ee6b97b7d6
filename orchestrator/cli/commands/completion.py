"""The command completion, which prints the script that completes commands, options and names in a shell."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

import typer
from typer.completion import completion_init, get_completion_script  # type: ignore[attr-defined]

from orchestrator.cli.commands.help_layout import Panel
from orchestrator.cli.commands.root import command

PROGRAM: Final = "orchestrator"
REQUEST_VARIABLE: Final = "_ORCHESTRATOR_COMPLETE"  # Typer's name: the script sets it to request suggestions

# Typer registers its shells only with its own options, which edit the user's start files.
completion_init()


class Shell(StrEnum):
    """A shell with a completion script."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


@command(
    panel=Panel.INSTALLATION,
    examples="""
        eval "$(orchestrator completion bash)"        # this shell; or in ~/.bashrc
        eval "$(orchestrator completion zsh)"         # in ~/.zshrc, after compinit
        orchestrator completion fish > ~/.config/fish/completions/orchestrator.fish
    """,
)
def completion(shell: Annotated[Shell, typer.Argument(help="Name of the shell.", show_default=False)]) -> None:
    """Print the completion script of a shell. It completes commands, options and names of the accounts file."""
    typer.echo(get_completion_script(prog_name=PROGRAM, complete_var=REQUEST_VARIABLE, shell=shell))

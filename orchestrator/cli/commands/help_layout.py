"""The layout of `--help`: commands in panels, and examples below the options of each command.

Typer's own panels need Rich, which takes longer to import than everything else that `--help` needs.
"""

from __future__ import annotations

import inspect
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from typer.core import TyperCommand, TyperGroup

if TYPE_CHECKING:
    from typer._click import Context, HelpFormatter

# Click's list of commands needs two spaces before the name, two after it, and two at the end of the line.
COMMAND_LIST_SPACES: Final = 6


class Panel(StrEnum):
    """A group of commands in `--help`. The order is that of a new user's first day."""

    TRY = "Try it"
    SET_UP = "Set up"
    DATA = "Data"
    RUN = "Run"
    RESULTS = "Results"
    OPERATE = "Operate"
    NOTIFICATIONS = "Notifications"
    INSTALLATION = "Installation"


class ExampleCommand(TyperCommand):
    """A command whose help ends with its examples."""

    def format_epilog(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write the examples with their own line breaks: they are copied into a shell."""
        _write_examples(self.epilog, formatter)


class PanelGroup(TyperGroup):
    """A group whose commands are listed in panels, and whose help ends with its examples."""

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write one list per panel, all with the same width of the first column."""
        commands = {name: command for name, command in self.commands.items() if not command.hidden}
        width = max(map(len, commands))
        for panel in (*Panel, None):
            rows = [
                (name.ljust(width), command.get_short_help_str(formatter.width - COMMAND_LIST_SPACES - width))
                for name, command in commands.items()
                if getattr(command, "rich_help_panel", None) == panel
            ]
            if rows:
                with formatter.section(panel or "Commands"):
                    formatter.write_dl(rows)

    def format_epilog(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write the examples with their own line breaks."""
        _write_examples(self.epilog, formatter)


def _write_examples(examples: str | None, formatter: HelpFormatter) -> None:
    if not examples:
        return
    with formatter.section("Examples"):
        for line in inspect.cleandoc(examples).splitlines():
            formatter.write(" " * formatter.current_indent + line + "\n")

"""Every verb: one module a group, in the order a newcomer meets them. What a verb does is beside this folder."""

from collections.abc import Sequence

from typer import Typer
from typer.models import CommandInfo

# isort: off
from orchestrator.cli.commands import demo, dataset, run, status, operate, deliveries, tokens, admin  # noqa: F401 - help's order

# isort: on
from orchestrator.cli.commands.root import app

__all__ = ["app", "select_command"]


def select_command(arguments: Sequence[str]) -> Typer:
    """The program with no other command than the first argument names: Typer would build all, 12 ms and 0.6 MB."""
    if named := [each for each in app.registered_commands if _command_name(each) in arguments[:1]]:
        app.registered_commands, app.registered_groups = named, []
    return app


def _command_name(command: CommandInfo) -> str:
    assert command.callback is not None
    return command.name or command.callback.__name__

"""Every verb: one module a group, in the order a newcomer meets them. What a verb does is beside this folder."""

from orchestrator.cli.commands import first, chats, work, look, ask, deliveries, tokens, upkeep  # noqa: F401, I001 - help's order
from orchestrator.cli.commands.root import app

__all__ = ["app"]

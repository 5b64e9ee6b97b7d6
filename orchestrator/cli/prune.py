"""Prune: shows what is left of finished runs, and deletes it when told to."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from orchestrator.cli.operate import get_operator_name
from orchestrator.cli.render import print_json
from orchestrator.cli.session import EXIT_DONE, EXIT_FAILED
from orchestrator.cli.tables import build_simple_table, create_console
from orchestrator.core.leftover import UnusedResource

if TYPE_CHECKING:
    from orchestrator.app import App


async def delete_unused_resources(app: App, *, yes: bool, as_json: bool) -> int:
    """List the leftovers; with `yes` delete them. FAILED when one that should have gone is still there."""
    pruning = await app.create_resource_cleaner()
    found: Sequence[UnusedResource] = await pruning.list_unused()
    wanted = [leftover for leftover in found if not leftover.problem]
    if yes:
        by, now = get_operator_name(), app.clock.now()
        found = await asyncio.gather(*(pruning.delete(leftover, by=by, now=now) for leftover in found))
    if as_json:
        print_json([asdict(leftover) for leftover in found])
    else:
        _print_unused_resources(found, yes=yes)
    return EXIT_FAILED if yes and sum(leftover.deleted for leftover in found) < len(wanted) else EXIT_DONE


def _print_unused_resources(found: Sequence[UnusedResource], *, yes: bool) -> None:
    if not found:
        sys.stdout.write("nothing is left of finished runs\n")
        return
    rows = [(left.kind, left.account or "–", left.id, left.name, _describe_resource(left)) for left in found]
    create_console().print(build_simple_table(("what", "account", "id", "name", "verdict"), rows))
    if not yes:
        sys.stdout.write("nothing has been deleted; `orchestrator prune --yes` deletes what can be\n")


def _describe_resource(leftover: UnusedResource) -> str:
    if leftover.problem:
        return f"left alone: {leftover.problem}"
    return "deleted" if leftover.deleted else "can be deleted"

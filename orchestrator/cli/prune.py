"""Prune: shows what is left of finished runs, and deletes it when told to."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from orchestrator.cli.operate import operator
from orchestrator.cli.render import print_json
from orchestrator.cli.session import DONE, FAILED
from orchestrator.cli.tables import console, simple_table
from orchestrator.core.leftover import Leftover

if TYPE_CHECKING:
    from orchestrator.app import App


async def prune(app: App, *, yes: bool, as_json: bool) -> int:
    """List the leftovers; with `yes` delete them. FAILED when one that should have gone is still there."""
    pruning = await app.pruning()
    found: Sequence[Leftover] = await pruning.look()
    wanted = [leftover for leftover in found if not leftover.problem]
    if yes:
        by, now = operator(), app.clock.now()
        found = await asyncio.gather(*(pruning.delete(leftover, by=by, now=now) for leftover in found))
    if as_json:
        print_json([asdict(leftover) for leftover in found])
    else:
        _show(found, yes=yes)
    return FAILED if yes and sum(leftover.deleted for leftover in found) < len(wanted) else DONE


def _show(found: Sequence[Leftover], *, yes: bool) -> None:
    if not found:
        sys.stdout.write("nothing is left of finished runs\n")
        return
    rows = [(left.kind, left.account or "–", left.id, left.name, _verdict(left)) for left in found]
    console().print(simple_table(("what", "account", "id", "name", "verdict"), rows))
    if not yes:
        sys.stdout.write("nothing has been deleted; `orchestrator prune --yes` deletes what can be\n")


def _verdict(leftover: Leftover) -> str:
    if leftover.problem:
        return f"left alone: {leftover.problem}"
    return "deleted" if leftover.deleted else "can be deleted"

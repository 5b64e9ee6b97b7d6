"""The verbs for what is told to webhooks and alerts."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from orchestrator import control, status
from orchestrator.cli.operate import operator
from orchestrator.cli.render import print_json
from orchestrator.cli.session import DONE, FAILED
from orchestrator.cli.tables import console, simple_table
from orchestrator.core.delivery import Delivery, Fate

if TYPE_CHECKING:
    from orchestrator.app import App

FIELDS = ("id", "message", "target", "attempts", "error")


async def show(app: App, *, dead: bool, as_json: bool) -> int:
    """The newest first; FAILED when there are dead ones among them."""
    found = await status.deliveries(app.database, Fate.DEAD if dead else None)
    if as_json:
        print_json([_plain(delivery) for delivery in found])
    elif not found:
        sys.stdout.write("nothing was given up\n" if dead else "nothing was told to anyone yet\n")
    else:
        rows = [
            (
                str(delivery.id),
                status.iso(delivery.created_at) or "",
                delivery.topic,
                delivery.payload["data"]["account"] or "–",
                delivery.target,
                _how_it_is(delivery),
                delivery.error or "",
            )
            for delivery in found
        ]
        console().print(simple_table(("id", "when", "event", "account", "target", "state", "error"), rows))
    return FAILED if any(delivery.dead for delivery in found) else DONE


async def retry(app: App, ids: list[int] | None) -> int:
    """Begin again, and say with which."""
    begun = await control.redeliver(app.database, ids, by=operator(), now=app.clock.now())
    if not begun:
        sys.stdout.write("nothing was given up\n")
        return FAILED
    numbers = ", ".join(str(delivery.id) for delivery in begun)
    sys.stdout.write(f"begun again: {numbers}; the service sees to it, or the next `orchestrator run`\n")
    return DONE


def _plain(delivery: Delivery) -> dict[str, object]:
    return {
        **{name: getattr(delivery, name) for name in FIELDS},
        "state": delivery.fate,
        "due_at": status.iso(delivery.due_at),
        "delivered_at": status.iso(delivery.delivered_at),
        "payload": delivery.payload,
    }


def _how_it_is(delivery: Delivery) -> str:
    times = f"{delivery.attempts} attempt{'' if delivery.attempts == 1 else 's'}"
    return f"{delivery.fate}, {times}" if delivery.attempts else delivery.fate

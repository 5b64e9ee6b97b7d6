"""The verbs for what is told to webhooks and alerts."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from orchestrator import control, status
from orchestrator.cli.handlers.operate import get_operator_name
from orchestrator.cli.output import print_json
from orchestrator.cli.session import EXIT_DONE, EXIT_FAILED
from orchestrator.cli.tables import build_simple_table, create_console
from orchestrator.core.notifications.delivery import Delivery, DeliveryStatus
from orchestrator.core.text import format_count

if TYPE_CHECKING:
    from orchestrator.app import App

DELIVERY_FIELDS = ("id", "message", "target", "attempts", "error")


async def print_deliveries(app: App, *, dead: bool, as_json: bool) -> int:
    """The newest first; FAILED when there are dead ones among them."""
    found = await status.list_deliveries(app.database, DeliveryStatus.FAILED if dead else None)
    if as_json:
        print_json([_delivery_to_json(delivery) for delivery in found])
    elif not found:
        sys.stdout.write("nothing was given up\n" if dead else "nothing was told to anyone yet\n")
    else:
        rows = [
            (
                str(delivery.id),
                status.format_iso(delivery.created_at) or "",
                delivery.topic,
                delivery.payload["data"]["account"] or "–",
                delivery.target,
                _format_state(delivery),
                delivery.error or "",
            )
            for delivery in found
        ]
        create_console().print(
            build_simple_table(("id", "when", "event", "account", "target", "state", "error"), rows)
        )
    return EXIT_FAILED if any(delivery.is_failed for delivery in found) else EXIT_DONE


async def retry_deliveries(app: App, ids: list[int] | None) -> int:
    """Begin again, and say with which."""
    begun = await control.redeliver(app.database, ids, by=get_operator_name(), now=app.clock.now())
    if not begun:
        sys.stdout.write("nothing was given up\n")
        return EXIT_FAILED
    numbers = ", ".join(str(delivery.id) for delivery in begun)
    sys.stdout.write(f"begun again: {numbers}; the service sees to it, or the next `orchestrator run`\n")
    return EXIT_DONE


def _delivery_to_json(delivery: Delivery) -> dict[str, object]:
    return {
        **{name: getattr(delivery, name) for name in DELIVERY_FIELDS},
        "state": delivery.status,
        "due_at": status.format_iso(delivery.due_at),
        "delivered_at": status.format_iso(delivery.delivered_at),
        "payload": delivery.payload,
    }


def _format_state(delivery: Delivery) -> str:
    times = format_count(delivery.attempts, "attempt")
    return f"{delivery.status}, {times}" if delivery.attempts else delivery.status

"""Bodies of the `deliveries` commands: list and retry."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from orchestrator import control, status
from orchestrator.cli.exit_code import ExitCode
from orchestrator.cli.handlers.operate import get_operator_name
from orchestrator.cli.output import print_json
from orchestrator.cli.tables import build_simple_table, create_console
from orchestrator.core.notifications.delivery import Delivery, DeliveryStatus
from orchestrator.core.text import format_count

if TYPE_CHECKING:
    from orchestrator.app import App

DELIVERY_FIELDS = ("id", "message", "target", "attempts", "error")
DELIVERY_COLUMNS = ("id", "time", "event", "account", "target", "state", "error")
NO_FAILED_MESSAGE = "No failed deliveries."


async def print_deliveries(app: App, *, dead: bool, as_json: bool) -> ExitCode:
    """Print the newest deliveries first. Returns FAILED if any of them failed after all retries."""
    deliveries = await status.list_deliveries(app.database, DeliveryStatus.FAILED if dead else None)
    if as_json:
        print_json([_delivery_to_json(delivery) for delivery in deliveries])
    elif not deliveries:
        sys.stdout.write((NO_FAILED_MESSAGE if dead else "No deliveries yet.") + "\n")
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
            for delivery in deliveries
        ]
        create_console().print(build_simple_table(DELIVERY_COLUMNS, rows))
    return ExitCode.FAILED if any(delivery.is_failed for delivery in deliveries) else ExitCode.DONE


async def retry_deliveries(app: App, ids: list[int] | None) -> ExitCode:
    """Schedule failed deliveries again and print their ids. None selects all failed deliveries."""
    retried = await control.redeliver(app.database, ids, by=get_operator_name(), now=app.clock.now())
    if not retried:
        sys.stdout.write(NO_FAILED_MESSAGE + "\n")
        return ExitCode.FAILED
    numbers = ", ".join(str(delivery.id) for delivery in retried)
    noun = "delivery" if len(retried) == 1 else "deliveries"
    sys.stdout.write(f"Retrying {noun} {numbers}. The service, or the next `orchestrator run`, sends them.\n")
    return ExitCode.DONE


def _delivery_to_json(delivery: Delivery) -> dict[str, object]:
    return {
        **{name: getattr(delivery, name) for name in DELIVERY_FIELDS},
        "state": delivery.status,
        "due_at": status.format_iso(delivery.due_at),
        "delivered_at": status.format_iso(delivery.delivered_at),
        "payload": delivery.payload,
    }


def _format_state(delivery: Delivery) -> str:
    attempts = format_count(delivery.attempts, "attempt")
    return f"{delivery.status}, {attempts}" if delivery.attempts else delivery.status

"""Bodies of the `deliveries` commands: list and retry."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from orchestrator import status
from orchestrator.cli.exit_code import ExitCode
from orchestrator.cli.handlers.operate import run_operator_action
from orchestrator.cli.output import print_json
from orchestrator.cli.tables import Column, print_table
from orchestrator.control.operator import ActionTarget
from orchestrator.core.jobs.operator_action import OperatorAction
from orchestrator.core.notifications.delivery import Delivery, DeliveryStatus
from orchestrator.core.text import format_count, format_timestamp

if TYPE_CHECKING:
    from orchestrator.app import App

DELIVERY_FIELDS = ("id", "message", "target", "attempts", "error")
DELIVERY_COLUMNS = (
    Column(heading="id"),
    Column(heading="time", importance=1),
    Column(heading="event", importance=2),
    Column(heading="account"),
    Column(heading="target"),
    Column(heading="state"),
    Column(heading="error", wraps=True),
)


async def print_deliveries(app: App, *, dead: bool, as_json: bool, wide: bool = False) -> ExitCode:
    """Print the newest deliveries first. Returns FAILED if any of them failed after all retries."""
    deliveries = await status.list_deliveries(app.database, DeliveryStatus.FAILED if dead else None)
    if as_json:
        print_json([_delivery_to_json(delivery) for delivery in deliveries])
    elif not deliveries:
        sys.stdout.write(("No failed deliveries." if dead else "No deliveries yet.") + "\n")
    else:
        rows = [
            (
                str(delivery.id),
                format_timestamp(delivery.created_at),
                delivery.topic,
                delivery.payload["data"]["account"] or "–",
                delivery.target,
                _format_state(delivery),
                delivery.error or "",
            )
            for delivery in deliveries
        ]
        print_table(DELIVERY_COLUMNS, rows, wide=wide)
    return ExitCode.FAILED if any(delivery.is_failed for delivery in deliveries) else ExitCode.DONE


async def retry_deliveries(app: App, ids: list[int] | None) -> ExitCode:
    """Schedule failed deliveries again and print their ids. None selects all failed deliveries."""
    return await run_operator_action(app, OperatorAction.REDELIVER, ActionTarget(deliveries=ids))


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
    return f"{delivery.status.label}, {attempts}" if delivery.attempts else delivery.status.label

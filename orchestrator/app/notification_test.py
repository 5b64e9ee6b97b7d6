"""Sends a test message to webhooks and alerts, without a run or a database."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.app.clock import SystemClock
from orchestrator.app.notification_targets import NotificationTargets
from orchestrator.app.outbound_network import OutboundNetwork
from orchestrator.core.errors import ConfigError
from orchestrator.core.notifications.delivery import NotificationTarget
from orchestrator.core.notifications.notification import build_test_payload
from orchestrator.core.secret import Redactor
from orchestrator.core.structs import Struct
from orchestrator.daemon.delivery_worker import DeliveryEndpoint
from orchestrator.inputs.accounts_file.loader import AccountsFile
from orchestrator.inputs.accounts_file.targets import list_secret_references
from orchestrator.inputs.secrets.references import resolve_secrets
from orchestrator.settings import Settings
from orchestrator.system.child_processes import ChildProcesses

SEND_FAILURE_HINT = "Check the address, the secret and the receiver's log, then send it again."


class UnstoredMessage(Struct, frozen=True, kw_only=True):
    """A message that is sent once, without an entry in the outbox."""

    message: str
    payload: Mapping[str, Any]


class TargetResult(Struct, frozen=True, kw_only=True):
    """Whether a target accepted the test message. `error` and `hint` contain no secret."""

    target: NotificationTarget
    seconds: float | None = None  # from the first to the last byte; None: nothing was sent
    error: str | None = None
    hint: str | None = None


async def send_test_message(
    file: AccountsFile, targets: Sequence[NotificationTarget], settings: Settings, redact: Redactor
) -> list[TargetResult]:
    """Send one test message to each target, all at the same time. A target without its secret fails alone."""
    network = OutboundNetwork(os.environ, settings.ca_file, redact)
    children = ChildProcesses()
    notification_targets = NotificationTargets(redact, network)
    try:
        endpoints = {
            target.url: await _create_endpoint(file, target, notification_targets, redact, children)
            for target in targets
        }
        return list(await asyncio.gather(*(_send(target, endpoints[target.url]) for target in targets)))
    finally:
        children.kill_all()
        await notification_targets.close()
        network.close()


async def _create_endpoint(
    file: AccountsFile,
    target: NotificationTarget,
    notification_targets: NotificationTargets,
    redact: Redactor,
    children: ChildProcesses,
) -> DeliveryEndpoint | ConfigError:
    """Resolve the secrets of one target and create its sender, or return what is wrong with them."""
    try:
        secrets = await asyncio.to_thread(
            resolve_secrets,
            list(list_secret_references((), [target])),
            base_folder=file.folder,
            redact=redact,
            hidden_variables=file.key_variables,
            children=children,
        )
        await notification_targets.configure([target], secrets)
    except ConfigError as error:
        return error
    return notification_targets.by_name[target.url]


async def _send(target: NotificationTarget, endpoint: DeliveryEndpoint | ConfigError) -> TargetResult:
    if isinstance(endpoint, ConfigError):
        return TargetResult(target=target, error="; ".join(endpoint.problems) or endpoint.message, hint=endpoint.hint)
    clock = SystemClock()
    begin, now = clock.boottime(), clock.now()
    message = UnstoredMessage(message=f"test_{uuid.uuid4().hex}", payload=build_test_payload(now))
    error = await endpoint.send(message, now)
    return TargetResult(
        target=target, seconds=clock.boottime() - begin, error=error, hint=SEND_FAILURE_HINT if error else None
    )

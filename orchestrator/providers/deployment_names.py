"""The name and the note by which a remote deployment is recognised as one of this program without a database."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from orchestrator.core.deployment.deployment import NAME_PREFIX
from orchestrator.providers.base import DeploymentOrder
from orchestrator.providers.http.rest_client import epoch_from_iso

_NAME_PATTERN: Final = re.compile(rf"{NAME_PREFIX}([0-9a-f]{{16}})-([0-9]{{1,6}})")
_STOP_PATTERN: Final = re.compile(r"stopped at (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)")


def parse_deployment_name(name: str) -> str | None:
    """Return the tag that the name carries; None for a name that this program would not choose."""
    match = _NAME_PATTERN.fullmatch(name)
    return f"{match[1]}.{match[2]}" if match else None


def format_deployment_note(order: DeploymentOrder) -> str:
    """Format the description of a deployment: what it is, and when it is stopped."""
    stop = datetime.fromtimestamp(int(order.expires_at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"Created by orchestrator, tag {order.tag}, stopped at {stop}"


def parse_stop_time(note: object) -> float | None:
    """Return when the deployment was to be stopped according to its description; None if that does not say so."""
    match = _STOP_PATTERN.search(note) if isinstance(note, str) else None
    return epoch_from_iso(match[1]) if match else None

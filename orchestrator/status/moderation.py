"""A run's moderation record as plain values, and as a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from orchestrator.core.moderation import Moderation
from orchestrator.core.structs import asdict
from orchestrator.core.text import format_percent


def moderation_to_dict(record: Moderation) -> dict[str, Any]:
    """Return the record as plain values, times in ISO 8601. `progress` is None unless the service is moderating."""
    values = asdict(record) | {"at": format_iso(record.at)}
    if (progress := values["progress"]) is not None:
        values["progress"] = progress | {name: format_iso(progress[name]) for name in ("finish_at", "retry_at")}
    return values


def describe_moderation(view: Mapping[str, Any] | None) -> str | None:
    """Describe the progress of the moderation in one sentence; None when none is in progress."""
    progress = view and view.get("progress")
    if not view or not progress:
        return None
    judged, total = progress["judged"], progress["total"]
    far = (
        f"{judged:,} of {total:,} texts are moderated ({format_percent(judged / total)})"
        if total
        else "moderation begins"
    )
    if progress["retry_at"]:
        return f"{far}; attempt {progress['attempts'] + 1} is at {_format_time(progress['retry_at'])}"
    if total and progress["finish_at"]:
        return f"{far} by account {view['by']}; done at about {_format_time(progress['finish_at'])}"
    return far


def format_iso(seconds: float | None) -> str | None:
    """Format epoch seconds as ISO 8601 in UTC."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _format_time(at: str) -> str:
    return datetime.fromisoformat(at).strftime("%Y-%m-%d %H:%M:%S UTC")

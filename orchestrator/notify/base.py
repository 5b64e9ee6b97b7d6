"""The interface of a sender, and the texts that alerts share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from orchestrator.core.notifications.delivery import MAX_ERROR_LENGTH, Delivery
from orchestrator.core.notifications.notification import Topic

ATTEMPT_TIMEOUT_SECONDS: Final = 10.0

Sender = Callable[[Delivery, float], Awaitable[str | None]]
"""Sends a delivery at the time `now` (epoch seconds). Returns None on success, else an error message.

It never raises for a failure of the target.
"""


def clean_reply(text: str) -> str:
    """Return a target's reply on one line, shortened, and with only characters that every database can store."""
    line = " ".join(text.encode(errors="replace").decode().replace("\0", " ").split())
    return line[:MAX_ERROR_LENGTH]


TITLE_TEMPLATES: Final[dict[Topic, str]] = {
    Topic.MODEL_READY: "{account}: the model is ready",
    Topic.JOB_FAILED: "{account}: the job has failed",
    Topic.JOB_WARNING: "{account}: the job needs attention",
    Topic.ACCOUNT_HELD: "{account} is held",
    Topic.RUN_FINISHED: "run {run} has finished",
    Topic.MODEL_RETIRING: "{account}: the model will be shut down",
}


def format_title(topic: Topic, payload: Mapping[str, Any]) -> str:
    """Return the title of an alert: one line with the account or run and what happened."""
    return TITLE_TEMPLATES[topic].format_map(payload["data"])


def format_body(payload: Mapping[str, Any]) -> str:
    """Return the body of an alert: the model id, or the error and what to do next."""
    data = payload["data"]
    error = data["error"] or {}
    lines = [data["fine_tuned_model"], error.get("message"), error.get("hint")]
    if data["fine_tuned_model"] and data["servable"] is False:
        lines.append("It cannot be called before it is deployed.")
    return "\n".join(line for line in lines if line) or "Every account has its model."

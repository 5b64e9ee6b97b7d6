"""The port: one attempt to tell one target."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from orchestrator.core.notifications.delivery import MAX_ERROR_LENGTH, Delivery
from orchestrator.core.notifications.notification import Topic

ATTEMPT_TIMEOUT_SECONDS: Final = 10.0

Sender = Callable[[Delivery, float], Awaitable[str | None]]
"""Tell the target now (epoch seconds): None when it took it, else why not. Never raises for what a target does."""


def clean_reply(text: str) -> str:
    """What a target said, short and on one line, fit for a database."""
    line = " ".join(text.encode(errors="replace").decode().replace("\0", " ").split())
    return line[:MAX_ERROR_LENGTH]


TITLE_TEMPLATES: Final[dict[Topic, str]] = {
    Topic.MODEL_READY: "{account}: the model is ready",
    Topic.JOB_FAILED: "{account}: the job has failed",
    Topic.JOB_WARNING: "{account}: the job needs a look",
    Topic.ACCOUNT_HELD: "{account} is held",
    Topic.RUN_FINISHED: "run {run} has finished",
    Topic.MODEL_RETIRING: "{account}: the model will be shut down",
}


def format_title(topic: Topic, payload: Mapping[str, Any]) -> str:
    """One line: who and what."""
    return TITLE_TEMPLATES[topic].format_map(payload["data"])


def format_body(payload: Mapping[str, Any]) -> str:
    """What is known beyond that, and what to do."""
    data = payload["data"]
    error = data["error"] or {}
    lines = [data["fine_tuned_model"], error.get("message"), error.get("hint")]
    if data["fine_tuned_model"] and data["servable"] is False:
        lines.append("It cannot be called before it is deployed.")
    return "\n".join(line for line in lines if line) or "Every account has its model."

"""Words: an announcement as a person reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from orchestrator.core.announcement import Topic

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

"""The interface of a sender, and the texts that alerts share."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol

from orchestrator.core.notifications.delivery import MAX_ERROR_LENGTH
from orchestrator.core.notifications.notification import TEST_TYPE, Topic
from orchestrator.core.text_sanitizer import sanitize_line

ATTEMPT_TIMEOUT_SECONDS: Final = 10.0


class OutgoingMessage(Protocol):
    """What a sender needs of a delivery or of a test message."""

    @property
    def message(self) -> str:
        """Message id, the same for every attempt."""

    @property
    def payload(self) -> Mapping[str, Any]:
        """The body of a webhook."""


Sender = Callable[[OutgoingMessage, float], Awaitable[str | None]]
"""Sends a message at the time `now` (epoch seconds). Returns None on success, else an error message.

It never raises for a failure of the target.
"""


def clean_reply(text: str) -> str:
    """Return a target's reply on one line, shortened, and with only characters that every database can store."""
    line = " ".join(text.encode(errors="replace").decode().replace("\0", " ").split())
    return line[:MAX_ERROR_LENGTH]


TITLE_TEMPLATES: Final[Mapping[str, str]] = {  # by the type of the payload
    TEST_TYPE: "test message, nothing has happened",
    Topic.MODEL_READY: "{account}: the model is ready",
    Topic.JOB_FAILED: "{account}: the job has failed",
    Topic.JOB_WARNING: "{account}: the job needs attention",
    Topic.ACCOUNT_HELD: "{account} is held",
    Topic.RUN_FINISHED: "run {run} has finished",
    Topic.MODEL_RETIRING: "{account}: the model will be shut down",
    Topic.DEPLOYMENT_READY: "{account}: the deployment is ready",
    Topic.DEPLOYMENT_EXPIRING: "{account}: the deployment is stopped soon",
    Topic.DEPLOYMENT_FAILED: "{account}: the deployment has failed",
    Topic.DEPLOYMENT_GONE: "{account}: the provider removed the deployment",
    Topic.COMPARISON_FINISHED: "run {run}: the comparison of its models has ended",
}


_ACTIVE_IN_MESSENGERS: Final = re.compile(r"(?<!\w)@(?=\w)|\](?=\()")
"""What messengers execute even in plain text: `@everyone` notifies a channel, `[text](address)` hides an address."""


def format_title(payload: Mapping[str, Any]) -> str:
    """Return the title of an alert: one line with the account or run and what happened."""
    return _disarm(TITLE_TEMPLATES[payload["type"]].format_map(payload["data"]))


def format_body(payload: Mapping[str, Any]) -> str:
    """Return the body of an alert: the model id, the result, or the error and what to do next."""
    data = payload["data"]
    error = data["error"] or {}
    called_as = data.get("model_string") or data["fine_tuned_model"]  # the first only of deployments
    result = (data.get("summary"), data.get("drift"))  # of comparisons only
    lines = [called_as, data.get("base_url"), *result, error.get("message"), error.get("hint")]
    if data["fine_tuned_model"] and data["servable"] is False:
        lines.append("It cannot be called before it is deployed.")
    return "\n".join(_disarm(line) for line in lines if line) or "Every account has its model."


def _disarm(text: str) -> str:
    """Keep a text of a provider on one line, and separate the characters that a messenger would execute."""
    return _ACTIVE_IN_MESSENGERS.sub(lambda match: f"{match[0]}\u200b", sanitize_line(text))

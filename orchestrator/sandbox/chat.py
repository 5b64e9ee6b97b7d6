"""The chat completion endpoint. The same training and the same question give the same answer, in any account."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

from orchestrator.sandbox.answer import Answer, invalid
from orchestrator.sandbox.call import Call
from orchestrator.sandbox.catalogue import base_model
from orchestrator.sandbox.faults import chance
from orchestrator.sandbox.models import find_fine_tuned, no_model

ROLES = {"system", "developer", "user", "assistant", "tool", "function"}
OPENINGS = ("Of course.", "Gladly.", "Good question.", "Let us look at it together.", "Thank you for asking.")
MIDDLES = (
    "The short answer is that it depends on one thing:",
    "Start with the simplest step:",
    "What helps most here is this:",
    "There are two ways, and the first is easier:",
)
ENDINGS = (
    "try it once and tell me what you see.",
    "read it aloud, then change one word.",
    "begin with a small part.",
)


async def create_chat(call: Call) -> Answer:
    """POST /v1/chat/completions."""
    body = await call.json()
    name, messages = body.get("model"), body.get("messages")
    if not isinstance(name, str):
        raise invalid("you must provide a model parameter", "model", "missing_required_parameter")
    origin = _origin(call, name)
    if not isinstance(messages, list) or not messages or not all(map(_is_message, messages)):
        raise invalid("Invalid 'messages': expected a list of messages with role and content.", "messages")
    if body.get("stream"):
        raise invalid("Invalid 'stream': this provider answers in one piece.", "stream", "unsupported_value")
    return Answer(_completion(name, messages, reply(origin, messages), call.now))


def reply(origin: str, messages: list[dict[str, Any]]) -> str:
    """The answer to a conversation by the model of that origin."""
    asked = json.dumps(messages, sort_keys=True)
    parts = (OPENINGS, MIDDLES, ENDINGS)
    return " ".join(part[int(chance(origin, asked, n) * len(part))] for n, part in enumerate(parts))


def _origin(call: Call, name: str) -> str:
    """What makes a model what it is. Raises Refusal (404)."""
    if (base := base_model(name)) is not None and base.chats:
        return base.id
    if (job := find_fine_tuned(call, name)) is not None:
        return f"{job.model.split(':')[0]} {job.training_sha256} {sorted(job.resolved.items())}"
    raise no_model(name)


def _is_message(message: Any) -> bool:
    return isinstance(message, dict) and message.get("role") in ROLES


def _completion(name: str, messages: list[dict[str, Any]], text: str, now: float) -> dict[str, Any]:
    asked, answered = len(json.dumps(messages)) // 4, len(text) // 4
    message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
    return {
        "id": f"chatcmpl-{uuid4().hex[:24]}",
        "object": "chat.completion",
        "created": int(now),
        "model": name,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered},
        "service_tier": "default",
        "system_fingerprint": None,
    }

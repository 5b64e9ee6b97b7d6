"""OpenAI's chat format: one object with `messages`; and a whole request, as copied from a browser's network panel."""

from __future__ import annotations

from orchestrator.dataset.formats.shape import Shape, other_keys

KEYS = ("messages", "tools", "parallel_tool_calls")
REQUEST_KEYS = (
    "model",
    "stream",
    "temperature",
    "max_tokens",
    "max_completion_tokens",
    "top_p",
    "chat_completion_source",
)


def chat(value: object) -> Shape | None:
    """`{"messages": […]}`, with `tools` and `parallel_tool_calls`. A request's other settings are left out."""
    if not isinstance(value, dict) or "messages" not in value:
        return None
    if not any(key in value for key in REQUEST_KEYS):
        return Shape("chat", value)
    user = value.get("user_name")
    return Shape(
        "request",
        {key: value[key] for key in KEYS if key in value},
        left_out=other_keys(value, KEYS),
        user=user if isinstance(user, str) else "",
    )

"""OpenAI's chat format: one object with `messages`; and a whole request, as copied from a browser's network panel."""

from __future__ import annotations

from typing import Any

from orchestrator.dataset.example import Steps
from orchestrator.dataset.formats.shape import Format, Shape, Turns, other_keys, same
from orchestrator.dataset.formats.system import SYSTEM_KEYS, add_system

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
    """`{"messages": […]}`, with `tools` and `parallel_tool_calls`; a `system` beside them is the first message."""
    if not isinstance(value, dict) or "messages" not in value or any(key in value for key in REQUEST_KEYS):
        return None
    return _with_system("chat", value, value)


def request(value: object) -> Shape | None:
    """The same with a request's other settings, which are left out."""
    if not isinstance(value, dict) or "messages" not in value:
        return None
    if not any(key in value for key in REQUEST_KEYS):
        return None
    return _with_system("request", value, {key: value[key] for key in KEYS if key in value})


def _with_system(name: str, value: dict[str, Any], body: dict[str, Any]) -> Shape:
    messages, turns = value["messages"], Turns()
    keys = add_system(turns, value) if isinstance(messages, list) else ()
    added = len(turns.messages)
    if keys:
        body = {key: item for key, item in body.items() if key not in SYSTEM_KEYS}
        body["messages"] = [*turns.messages, *messages]

    def back(steps: Steps) -> Steps:
        match steps:
            case ("messages", int(index), *inner):
                return turns.placed[index].origin if index < added else ("messages", index - added, *inner)
            case _:
                return steps

    left = other_keys(value, (*KEYS, *keys)) if name == "request" else ()
    user = value.get("user_name")
    named = user if name == "request" and isinstance(user, str) else ""
    return Shape(name, body, back if added else same, left_out=left, user=named)


CHAT = Format(
    "chat",
    "OpenAI's chat format, which is also what the dataset is written in: an object with `messages`, and `tools` and "
    "`parallel_tool_calls` where tools are used. A `system` text beside `messages`, as in Anthropic's requests, "
    "becomes the first message. An answer with `weight` 0 is not learned.",
    '{"messages": [{"role": "system", "content": "Be short."}, {"role": "user", "content": "When do you open?"}, '
    '{"role": "assistant", "content": "At ten."}]}\n'
    '{"system": "Be short.", "messages": [{"role": "user", "content": "And close?"}, '
    '{"role": "assistant", "content": "At four."}]}\n',
    chat,
)
REQUEST = Format(
    "request",
    "A request to a chat API, with the answer as its last message. The settings beside `messages` are left out.",
    '{"model": "any", "temperature": 0.7, "messages": [{"role": "user", "content": "When do you open?"}, '
    '{"role": "assistant", "content": "At ten."}]}\n',
    request,
)

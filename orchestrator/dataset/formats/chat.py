"""OpenAI's chat format, a bare array of messages, and an API request as copied from a browser's network panel."""

from __future__ import annotations

from typing import Any

from orchestrator.dataset.example import KeyPath
from orchestrator.dataset.formats.base import ChatFormat, MessageBuilder, ParsedChat, identity_path, list_other_keys
from orchestrator.dataset.formats.system_message import SYSTEM_KEYS, add_system_messages

OPENAI_CHAT_KEYS = ("messages", "tools", "parallel_tool_calls")
REQUEST_KEYS = (
    "model",
    "stream",
    "temperature",
    "max_tokens",
    "max_completion_tokens",
    "top_p",
    "chat_completion_source",
)


def parse_openai_chat(value: object) -> ParsedChat | None:
    """Parse `{"messages": […]}` with `tools` and `parallel_tool_calls`; a `system` key becomes the first message."""
    if not isinstance(value, dict) or "messages" not in value or any(key in value for key in REQUEST_KEYS):
        return None
    return _parse_with_system("chat", value, value)


def parse_openai_request(value: object) -> ParsedChat | None:
    """Parse a chat with the other settings of an API request, which are left out."""
    if not isinstance(value, dict) or "messages" not in value:
        return None
    if not any(key in value for key in REQUEST_KEYS):
        return None
    return _parse_with_system("request", value, {key: value[key] for key in OPENAI_CHAT_KEYS if key in value})


def _parse_with_system(name: str, value: dict[str, Any], body: dict[str, Any]) -> ParsedChat:
    messages, turns = value["messages"], MessageBuilder()
    keys = add_system_messages(turns, value) if isinstance(messages, list) else ()
    added = len(turns.messages)
    if keys:
        body = {key: item for key, item in body.items() if key not in SYSTEM_KEYS}
        body["messages"] = [*turns.messages, *messages]

    def to_source(key_path: KeyPath) -> KeyPath:
        match key_path:
            case ("messages", int(index), *inner):
                return turns.placed[index].origin if index < added else ("messages", index - added, *inner)
            case _:
                return key_path

    left_out = list_other_keys(value, (*OPENAI_CHAT_KEYS, *keys)) if name == "request" else ()
    user = value.get("user_name")
    user_name = user if name == "request" and isinstance(user, str) else ""
    return ParsedChat(name, body, to_source if added else identity_path, left_out=left_out, user_name=user_name)


CHAT = ChatFormat(
    "chat",
    "OpenAI's chat format, which the dataset is also written in: an object with `messages`, and with `tools` and "
    "`parallel_tool_calls` if tools are used. A `system` text beside `messages`, as in Anthropic's requests, "
    "becomes the first message. The model does not learn an answer with `weight` 0.",
    '{"messages": [{"role": "system", "content": "Be short."}, {"role": "user", "content": "When do you open?"}, '
    '{"role": "assistant", "content": "At ten."}]}\n'
    '{"system": "Be short.", "messages": [{"role": "user", "content": "And close?"}, '
    '{"role": "assistant", "content": "At four."}]}\n',
    parse_openai_chat,
)
REQUEST = ChatFormat(
    "request",
    "A request to a chat API, with the answer as its last message. All settings beside `messages` are left out.",
    '{"model": "any", "temperature": 0.7, "messages": [{"role": "user", "content": "When do you open?"}, '
    '{"role": "assistant", "content": "At ten."}]}\n',
    parse_openai_request,
)


def parse_message_array(value: object) -> ParsedChat | None:
    """Parse a bare array of messages: `[{"role": …, "content": …}, …]`."""
    if isinstance(value, list) and any(
        isinstance(item, dict) and ("role" in item or "content" in item) for item in value
    ):
        return ParsedChat("messages", {"messages": value}, _to_array_path)
    return None


def _to_array_path(key_path: KeyPath) -> KeyPath:
    return key_path[1:]


MESSAGES = ChatFormat(
    "messages",
    "One chat as an array of messages: a whole file, or one line.",
    '[\n  {"role": "user", "content": "When do you open?"},\n  {"role": "assistant", "content": "At ten."}\n]\n',
    parse_message_array,
)

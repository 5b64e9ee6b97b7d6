"""The rules for one row of a training file, by method. Each function returns the first problem, or None.

Supervised: `messages` that end with the assistant. Preferences (dpo): `input.messages`, one preferred and one
non-preferred answer. Reinforcement: `messages` that end with the user, and any other keys for the grader.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Problem = str | None

ROW_KEYS = {"messages", "tools", "parallel_tool_calls", "functions"}
MESSAGE_KEYS = {
    "system": {"role", "content", "name"},
    "developer": {"role", "content", "name"},
    "user": {"role", "content", "name"},
    "assistant": {"role", "content", "name", "weight", "refusal", "tool_calls", "function_call"},
    "tool": {"role", "content", "tool_call_id"},
    "function": {"role", "content", "name"},
}
CONTENT_PART_TYPES = {"user": {"text", "image_url"}, "assistant": {"text", "refusal"}}


def find_conversation_problem(row: Any) -> Problem:
    """Return the first problem of a supervised example."""
    if not isinstance(row, dict):
        return "expected a JSON object"
    if unknown := sorted(set(row) - ROW_KEYS):
        return f"unexpected key(s) {', '.join(map(repr, unknown))}"
    return (
        _find_messages_problem(row.get("messages"), "messages")
        or _find_end_problem(row["messages"], "assistant")
        or _find_weights_problem(row["messages"])
        or _find_tools_problem(row)
    )


def find_preference_problem(row: Any) -> Problem:
    """Return the first problem of an example for direct preference optimisation."""
    if not isinstance(row, dict) or set(row) != {"input", "preferred_output", "non_preferred_output"}:
        return "expected exactly the keys 'input', 'preferred_output' and 'non_preferred_output'"
    prompt = row["input"]
    if not isinstance(prompt, dict) or not set(prompt) <= ROW_KEYS:
        return "input: expected an object with 'messages'"
    return (
        _find_messages_problem(prompt.get("messages"), "input.messages")
        or _find_answers_problem(row, "preferred_output")
        or _find_answers_problem(row, "non_preferred_output")
    )


def find_prompt_problem(row: Any) -> Problem:
    """Return the first problem of an example for reinforcement fine-tuning."""
    if not isinstance(row, dict):
        return "expected a JSON object"
    return _find_messages_problem(row.get("messages"), "messages") or _find_end_problem(row["messages"], "user")


def _find_messages_problem(messages: Any, where: str) -> Problem:
    if not isinstance(messages, list) or not messages:
        return f"{where} must be a list of at least one message"
    calls: set[str] = set()
    for number, message in enumerate(messages):
        if problem := _find_message_problem(message, calls):
            return f"{where}[{number}]{problem}"
    return None


def _find_message_problem(message: Any, calls: set[str]) -> Problem:
    if not isinstance(message, dict):
        return " must be an object"
    role = message.get("role")
    if not isinstance(role, str) or role not in MESSAGE_KEYS:
        return f".role must be one of {', '.join(MESSAGE_KEYS)}, not {role!r}"
    if unknown := sorted(set(message) - MESSAGE_KEYS[role]):
        return f": unexpected key(s) {', '.join(map(repr, unknown))} for role {role!r}"
    if "name" in message and not _is_nonempty_text(message["name"]):
        return ".name must be a string of at least one character"
    if role == "function" and "name" not in message:
        return ".name is missing"
    return _find_calls_problem(message, calls) or _find_content_problem(message, role)


def _find_content_problem(message: dict[str, Any], role: str) -> Problem:
    content = message.get("content")
    if content is None and role == "assistant" and message.keys() & {"tool_calls", "function_call", "refusal"}:
        return None
    if isinstance(content, list) and content:
        kinds = CONTENT_PART_TYPES.get(role, {"text"})
        invalid = next((n for n, part in enumerate(content) if not _is_valid_part(part, kinds)), None)
        return None if invalid is None else f".content[{invalid}] must be a part of type {' or '.join(sorted(kinds))}"
    if not _is_nonempty_text(content):
        return ".content must be a string of at least one character"
    return None


def _is_valid_part(part: Any, kinds: set[str]) -> bool:
    if not isinstance(part, dict) or part.get("type") not in kinds:
        return False
    kind = part["type"]
    if kind == "image_url":
        image = part.get("image_url")
        return isinstance(image, dict) and _is_nonempty_text(image.get("url"))
    return _is_nonempty_text(part.get(kind))


def _find_calls_problem(message: dict[str, Any], calls: set[str]) -> Problem:
    """Return a problem of tool calls: they must be well formed, and a tool message must answer an earlier call."""
    if message["role"] == "tool":
        known = message.get("tool_call_id") in calls
        return None if known else ".tool_call_id must name an earlier call of the assistant"
    if "tool_calls" in message:
        new_calls = message["tool_calls"]
        if not isinstance(new_calls, list) or not new_calls or not all(map(_is_valid_call, new_calls)):
            return (
                ".tool_calls must be a list of calls with an id, type 'function', and a function's name and arguments"
            )
        calls.update(call["id"] for call in new_calls)
    if "function_call" in message and not _is_valid_function_call(message["function_call"]):
        return ".function_call must have a name and arguments"
    return None


def _is_valid_call(call: Any) -> bool:
    if not isinstance(call, dict) or not _is_nonempty_text(call.get("id")) or call.get("type") != "function":
        return False
    return _is_valid_function_call(call.get("function"))


def _is_valid_function_call(function: Any) -> bool:
    return (
        isinstance(function, dict)
        and _is_nonempty_text(function.get("name"))
        and isinstance(function.get("arguments"), str)
    )


def _find_end_problem(messages: list[dict[str, Any]], role: str) -> Problem:
    last = messages[-1]["role"]
    return None if last == role else f"the last message must be from the {role}, not the {last}"


def _find_weights_problem(messages: list[dict[str, Any]]) -> Problem:
    weights = [message.get("weight", 1) for message in messages if message["role"] == "assistant"]
    if any(type(weight) is not int or weight not in (0, 1) for weight in weights):
        return "weight must be 0 or 1"
    return None if any(weights) else "at least one message of the assistant must have a weight of 1"


def _find_tools_problem(row: dict[str, Any]) -> Problem:
    for name, fits in _TOOL_CHECKS.items():
        if name in row and not (isinstance(row[name], list) and row[name] and all(map(fits, row[name]))):
            return f"{name} must be a list of functions with a name"
    return None


def _is_valid_tool(tool: Any) -> bool:
    return isinstance(tool, dict) and tool.get("type") == "function" and _has_name(tool.get("function"))


def _has_name(function: Any) -> bool:
    return isinstance(function, dict) and _is_nonempty_text(function.get("name"))


_TOOL_CHECKS: dict[str, Callable[[Any], bool]] = {"tools": _is_valid_tool, "functions": _has_name}


def _find_answers_problem(row: dict[str, Any], key: str) -> Problem:
    answers = row[key]
    if not isinstance(answers, list) or len(answers) != 1:
        return f"{key} must be a list of one message"
    return _find_messages_problem(answers, key) or _find_end_problem(answers, "assistant")


def _is_nonempty_text(text: Any) -> bool:
    """Return whether a value is a string of at least one character that can be encoded as UTF-8."""
    if not isinstance(text, str) or not text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True

"""Errors of tools: their definitions, the tool calls, and the tool messages with their results."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from orchestrator.dataset.checks.object_keys import check_keys, describe_type
from orchestrator.dataset.example import ExampleBody, ExampleIssue, KeyPath
from orchestrator.dataset.finding_codes import FindingCode

TOOL_KEYS = {"type": str, "function": dict}
FUNCTION_KEYS = {"name": str, "description": str, "parameters": dict, "strict": object}
TOOL_CALL_KEYS = {"id": str, "type": str, "function": dict}
CALLED_FUNCTION_KEYS = {"name": str, "arguments": str}
OTHER_SCHEMA_KEYS = ("input_schema", "inputSchema")  # the names of `parameters` in the APIs of Anthropic and MCP
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def has_tools(body: ExampleBody) -> bool:
    """Whether the example has tool definitions, tool calls or tool messages."""
    if "tools" in body:
        return True
    messages = body.get("messages")
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict) and ("tool_calls" in message or message.get("role") == "tool"):
            return True
    return False


def check_tool_definitions(tools: object, key_path: KeyPath) -> Iterator[ExampleIssue]:
    """Yield every error of the tool definitions."""
    for index, tool in enumerate(tools if isinstance(tools, list) else ()):
        place = (*key_path, index)
        if not isinstance(tool, dict):
            yield ExampleIssue(FindingCode.BAD_TOOL, place, f"a tool must be an object, not {describe_type(tool)}")
            continue
        if _is_unwrapped_function(tool):
            yield ExampleIssue(
                FindingCode.BAD_TOOL,
                place,
                "the function is not wrapped in an object with type and function",
                _wrap_hint(tool),
            )
            continue
        yield from check_keys(tool, TOOL_KEYS, tuple(TOOL_KEYS), place)
        yield from _check_tool_type(tool, place)
        if isinstance(function := tool.get("function"), dict):
            yield from check_keys(function, FUNCTION_KEYS, ("name",), (*place, "function"))
            yield from _check_function_name(function, (*place, "function"))


def _is_unwrapped_function(tool: dict[str, Any]) -> bool:
    """Whether the tool is a function in the format of other APIs, without the object around it."""
    return (
        "function" not in tool and "name" in tool and any(key in tool for key in ("parameters", *OTHER_SCHEMA_KEYS))
    )


def _wrap_hint(tool: dict[str, Any]) -> str:
    schema = next((key for key in OTHER_SCHEMA_KEYS if key in tool), "")
    renamed = f", and rename {schema} to parameters" if schema else ""
    return f'Wrap it: {{"type": "function", "function": {{"name": …, "parameters": …}}}}{renamed}.'


def _check_tool_type(value: dict[str, Any], key_path: KeyPath) -> Iterator[ExampleIssue]:
    if isinstance(kind := value.get("type"), str) and kind != "function":
        yield ExampleIssue(FindingCode.BAD_TOOL, (*key_path, "type"), f"the type is {kind[:40]!r}", "Use function.")


def _check_function_name(function: dict[str, Any], key_path: KeyPath) -> Iterator[ExampleIssue]:
    if isinstance(name := function.get("name"), str) and not _NAME.fullmatch(name):
        hint = "Use 1 to 64 letters, digits, _ and -."
        yield ExampleIssue(FindingCode.BAD_TOOL, (*key_path, "name"), f"the name {name[:70]!r} is not valid", hint)


def check_tool_calls(messages: list[Any], tools: object, key_path: KeyPath) -> Iterator[ExampleIssue]:
    """Yield every error of the tool calls and their tool messages. Calls in the last message need no result."""
    known = _list_tool_names(tools)
    open_calls: dict[str, KeyPath] = {}
    for index, message in enumerate(messages):
        place = (*key_path, index)
        if not isinstance(message, dict):
            continue
        if message.get("role") == "tool":
            yield from _check_tool_answer(message, open_calls, place)
            continue
        yield from _check_unanswered_calls(open_calls)
        open_calls = {}
        if message.get("tool_calls") == []:
            yield ExampleIssue(
                FindingCode.BAD_TOOL,
                (*place, "tool_calls"),
                "`tool_calls` is empty",
                "Remove `tool_calls`.",
            )
        for number, call in enumerate(_list_calls(message)):
            yield from _check_call(call, known, (*place, "tool_calls", number), open_calls)
    if messages and isinstance(messages[-1], dict) and messages[-1].get("role") == "tool":
        yield from _check_unanswered_calls(open_calls)


def _list_tool_names(tools: object) -> set[object]:
    names: set[object] = set()
    for tool in tools if isinstance(tools, list) else ():
        function = tool.get("function", tool) if isinstance(tool, dict) else None
        if isinstance(function, dict) and isinstance(function.get("name"), str):
            names.add(function["name"])
    return names


def _list_calls(message: dict[str, Any]) -> list[Any]:
    calls = message.get("tool_calls")
    return calls if isinstance(calls, list) else []


def _check_tool_answer(
    message: dict[str, Any], open_calls: dict[str, KeyPath], key_path: KeyPath
) -> Iterator[ExampleIssue]:
    called = message.get("tool_call_id")
    if isinstance(called, str) and open_calls.pop(called, None) is None:
        yield ExampleIssue(
            FindingCode.UNASKED_ANSWER,
            (*key_path, "tool_call_id"),
            f"no preceding tool call has the id {called[:40]!r}",
        )


def _check_unanswered_calls(open_calls: dict[str, KeyPath]) -> Iterator[ExampleIssue]:
    for called, key_path in open_calls.items():
        yield ExampleIssue(
            FindingCode.UNANSWERED_CALL, key_path, f"the tool call {called[:40]!r} has no tool message"
        )


def _check_call(
    call: object, known: set[object], key_path: KeyPath, open_calls: dict[str, KeyPath]
) -> Iterator[ExampleIssue]:
    if not isinstance(call, dict):
        yield ExampleIssue(
            FindingCode.BAD_TOOL, key_path, f"a tool call must be an object, not {describe_type(call)}"
        )
        return
    yield from check_keys(call, TOOL_CALL_KEYS, tuple(TOOL_CALL_KEYS), key_path)
    yield from _check_tool_type(call, key_path)
    if isinstance(called := call.get("id"), str):
        if called in open_calls or not called:
            message = f"the id {called[:40]!r} is used twice" if called else "the id is empty"
            yield ExampleIssue(FindingCode.BAD_TOOL, (*key_path, "id"), message, "Give every call a unique id.")
        open_calls[called] = key_path
    if isinstance(function := call.get("function"), dict):
        yield from _check_called_function(function, known, (*key_path, "function"))


def _check_called_function(function: dict[str, Any], known: set[object], key_path: KeyPath) -> Iterator[ExampleIssue]:
    yield from check_keys(function, CALLED_FUNCTION_KEYS, tuple(CALLED_FUNCTION_KEYS), key_path)
    if isinstance(name := function.get("name"), str) and name not in known:
        yield ExampleIssue(
            FindingCode.UNKNOWN_TOOL, (*key_path, "name"), f"the tool {name[:70]!r} is not defined in tools"
        )
    if isinstance(arguments := function.get("arguments"), str) and not _is_json_object(arguments):
        yield ExampleIssue(FindingCode.BAD_ARGUMENTS, (*key_path, "arguments"), "the arguments are not a JSON object")


def _is_json_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False

"""Tools: their definitions, the calls, and the answers to the calls."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from orchestrator.dataset.checks.keys import typed, wrong_keys
from orchestrator.dataset.codes import Code
from orchestrator.dataset.example import Body, Fault, Steps

TOOL_KEYS = {"type": str, "function": dict}
FUNCTION_KEYS = {"name": str, "description": str, "parameters": dict, "strict": object}
CALL_KEYS = {"id": str, "type": str, "function": dict}
CALLED_KEYS = {"name": str, "arguments": str}
SCHEMA_KEYS = ("input_schema", "inputSchema")  # how Anthropic and MCP call the parameters
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def has_tools(body: Body) -> bool:
    """Whether tools play any part in the example."""
    if "tools" in body:
        return True
    messages = body.get("messages")
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict) and ("tool_calls" in message or message.get("role") == "tool"):
            return True
    return False


def definition_errors(tools: object, steps: Steps) -> Iterator[Fault]:
    """Every error of the `tools`."""
    for index, tool in enumerate(tools if isinstance(tools, list) else ()):
        place = (*steps, index)
        if not isinstance(tool, dict):
            yield Fault(Code.BAD_TOOL, place, f"a tool must be an object, not {typed(tool)}")
            continue
        if _is_bare(tool):
            yield Fault(
                Code.BAD_TOOL, place, "the function is not inside an object with type and function", _wrap_hint(tool)
            )
            continue
        yield from wrong_keys(tool, TOOL_KEYS, tuple(TOOL_KEYS), place)
        yield from _only_functions(tool, place)
        if isinstance(function := tool.get("function"), dict):
            yield from wrong_keys(function, FUNCTION_KEYS, ("name",), (*place, "function"))
            yield from _name_errors(function, (*place, "function"))


def _is_bare(tool: dict[str, Any]) -> bool:
    """Whether it is a function as other APIs write it: its keys stand where the wrapper's should."""
    return "function" not in tool and "name" in tool and any(key in tool for key in ("parameters", *SCHEMA_KEYS))


def _wrap_hint(tool: dict[str, Any]) -> str:
    schema = next((key for key in SCHEMA_KEYS if key in tool), "")
    renamed = f", and rename {schema} to parameters" if schema else ""
    return f'Wrap it: {{"type": "function", "function": {{"name": …, "parameters": …}}}}{renamed}.'


def _only_functions(value: dict[str, Any], steps: Steps) -> Iterator[Fault]:
    if isinstance(kind := value.get("type"), str) and kind != "function":
        yield Fault(Code.BAD_TOOL, (*steps, "type"), f"the type is {kind[:40]!r}", "Use function.")


def _name_errors(function: dict[str, Any], steps: Steps) -> Iterator[Fault]:
    if isinstance(name := function.get("name"), str) and not _NAME.fullmatch(name):
        hint = "Use 1 to 64 letters, digits, _ and -."
        yield Fault(Code.BAD_TOOL, (*steps, "name"), f"the name {name[:70]!r} is not accepted", hint)


def call_errors(messages: list[Any], tools: object, steps: Steps) -> Iterator[Fault]:
    """Every error of the calls and their answers; the last message's calls need no answer."""
    known = _names(tools)
    waiting: dict[str, Steps] = {}
    for index, message in enumerate(messages):
        place = (*steps, index)
        if not isinstance(message, dict):
            continue
        if message.get("role") == "tool":
            yield from _answer(message, waiting, place)
            continue
        yield from _unanswered(waiting)
        waiting = {}
        if message.get("tool_calls") == []:
            yield Fault(Code.BAD_TOOL, (*place, "tool_calls"), "there are no calls in it", "Leave `tool_calls` out.")
        for number, call in enumerate(_calls(message)):
            yield from _call(call, known, (*place, "tool_calls", number), waiting)
    if messages and isinstance(messages[-1], dict) and messages[-1].get("role") == "tool":
        yield from _unanswered(waiting)


def _names(tools: object) -> set[object]:
    found: set[object] = set()
    for tool in tools if isinstance(tools, list) else ():
        function = tool.get("function", tool) if isinstance(tool, dict) else None
        if isinstance(function, dict) and isinstance(function.get("name"), str):
            found.add(function["name"])
    return found


def _calls(message: dict[str, Any]) -> list[Any]:
    calls = message.get("tool_calls")
    return calls if isinstance(calls, list) else []


def _answer(message: dict[str, Any], waiting: dict[str, Steps], steps: Steps) -> Iterator[Fault]:
    called = message.get("tool_call_id")
    if isinstance(called, str) and waiting.pop(called, None) is None:
        yield Fault(Code.UNASKED_ANSWER, (*steps, "tool_call_id"), f"no call {called[:40]!r} was made just before")


def _unanswered(waiting: dict[str, Steps]) -> Iterator[Fault]:
    for called, steps in waiting.items():
        yield Fault(Code.UNANSWERED_CALL, steps, f"the call {called[:40]!r} has no answer")


def _call(call: object, known: set[object], steps: Steps, waiting: dict[str, Steps]) -> Iterator[Fault]:
    if not isinstance(call, dict):
        yield Fault(Code.BAD_TOOL, steps, f"a tool call must be an object, not {typed(call)}")
        return
    yield from wrong_keys(call, CALL_KEYS, tuple(CALL_KEYS), steps)
    yield from _only_functions(call, steps)
    if isinstance(called := call.get("id"), str):
        if called in waiting or not called:
            message = f"the id {called[:40]!r} is used twice" if called else "the id is empty"
            yield Fault(Code.BAD_TOOL, (*steps, "id"), message, "Give every call its own id.")
        waiting[called] = steps
    if isinstance(function := call.get("function"), dict):
        yield from _called(function, known, (*steps, "function"))


def _called(function: dict[str, Any], known: set[object], steps: Steps) -> Iterator[Fault]:
    yield from wrong_keys(function, CALLED_KEYS, tuple(CALLED_KEYS), steps)
    if isinstance(name := function.get("name"), str) and name not in known:
        yield Fault(Code.UNKNOWN_TOOL, (*steps, "name"), f"the tool {name[:70]!r} is not among the tools")
    if isinstance(arguments := function.get("arguments"), str) and not _is_object(arguments):
        yield Fault(Code.BAD_ARGUMENTS, (*steps, "arguments"), "the arguments are not a JSON object")


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False

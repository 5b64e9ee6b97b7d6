"""Converts a canonical chat to a line for supervised tuning of Gemini on Vertex AI.

Source: Google's documentation of the tuning data, and `Content`, `Part` and `Tool` of google.cloud.aiplatform.v1,
whose JSON is read strictly. A call has no id there: a result belongs to the call at the same place, so results must
have the order of their calls.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

from orchestrator.core.structs import Struct, field
from orchestrator.dataset.convert.gemini_schema import (
    TARGET,
    check_function_name,
    convert_tools,
    parse_arguments,
)
from orchestrator.dataset.convert.refusal import (
    ConversionRefused,
    check_convertible_keys,
    check_turn_order,
    get_part_text,
    list_content_texts,
    split_system_message,
)
from orchestrator.dataset.example import ExampleBody, KeyPath

IMAGE_TYPES: Final = ("png", "jpeg", "webp")
_DATA_URL = re.compile(r"data:(image/([a-z]+));base64,(.*)", re.DOTALL)
_MESSAGE_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "system": ("role", "content"),
    "user": ("role", "content"),
    "assistant": ("role", "content", "tool_calls"),
    "tool": ("role", "content", "tool_call_id"),
}


def convert_chat(example: ExampleBody) -> dict[str, Any]:
    """Convert a chat to `contents`, with `systemInstruction` and `tools` if it has them.

    Expects a chat that passed the checks of the dataset. Raises ConversionRefused for the first value that has no
    place.
    """
    system, messages = split_system_message(example, ("tools",), TARGET)
    line: dict[str, Any] = {}
    if system is not None:
        check_convertible_keys(system, _MESSAGE_KEYS["system"], ("messages", 0), TARGET)
        texts = list_content_texts(system["content"], ("messages", 0, "content"), TARGET)
        line["systemInstruction"] = {"role": "system", "parts": [{"text": text} for text in texts]}
    line["contents"] = _convert_turns(messages)
    if "tools" in example:
        line["tools"] = convert_tools(example["tools"])
    return line


class _Turn(Struct):
    index: int  # of its first message
    role: str  # user or assistant; the results of tools are a user's turn
    parts: list[dict[str, Any]]
    calls: list[Mapping[str, Any]] = field(default_factory=list)  # those of the turn, in order
    results: int = 0


def _convert_turns(messages: Sequence[tuple[int, Mapping[str, Any]]]) -> list[dict[str, Any]]:
    turns: list[_Turn] = []
    for index, message in messages:
        role = message["role"]
        key_path: KeyPath = ("messages", index)
        check_convertible_keys(message, _MESSAGE_KEYS[role], key_path, TARGET)
        if role == "tool":
            _add_result(turns, message, key_path)
        else:
            parts = _convert_content(message.get("content"), (*key_path, "content"))
            calls = message.get("tool_calls", [])
            parts += [_convert_call(call, (*key_path, "tool_calls", number)) for number, call in enumerate(calls)]
            turns.append(_Turn(index, role, parts, calls))
    check_turn_order([(turn.index, turn.role) for turn in turns], TARGET)
    for calling, answering in pairwise(turns):
        if len(calling.calls) != answering.results:
            reason = f"{len(calling.calls)} tool calls have {answering.results} results"
            raise ConversionRefused(("messages", calling.index, "tool_calls"), reason, "Give every call a result.")
    return [{"role": "model" if turn.role == "assistant" else "user", "parts": turn.parts} for turn in turns]


def _add_result(turns: list[_Turn], message: Mapping[str, Any], key_path: KeyPath) -> None:
    """Add the result of a tool to the turn of results, which the first result after the calls starts."""
    if not turns or not turns[-1].results:
        turns.append(_Turn(int(key_path[1]), "user", []))
    calls = turns[-2].calls if len(turns) > 1 else []
    position = turns[-1].results
    if position >= len(calls) or calls[position]["id"] != message["tool_call_id"]:
        reason = f"{TARGET} has no ids of calls: the results must have the order of their calls"
        raise ConversionRefused((*key_path, "tool_call_id"), reason, "Move the tool message, or add the one missing.")
    texts = list_content_texts(message["content"], (*key_path, "content"), TARGET)
    if len(texts) != 1:
        reason = f"the result of a tool for {TARGET} must be one text"
        raise ConversionRefused((*key_path, "content"), reason, "Join its parts to one text.")
    # "output" is Gemini's name for a result that is not an object of its own.
    result = {"name": calls[position]["function"]["name"], "response": {"output": texts[0]}}
    turns[-1].parts.append({"functionResponse": result})
    turns[-1].results += 1


def _convert_call(call: Mapping[str, Any], key_path: KeyPath) -> dict[str, Any]:
    function, place = call["function"], (*key_path, "function")
    name = check_function_name(function["name"], (*place, "name"))
    return {"functionCall": {"name": name, "args": parse_arguments(function["arguments"], (*place, "arguments"))}}


def _convert_content(content: Any, key_path: KeyPath) -> list[dict[str, Any]]:
    if content is None:
        return []  # only calls
    if isinstance(content, str):
        return [{"text": content}]
    return [_convert_part(part, (*key_path, index)) for index, part in enumerate(content)]


def _convert_part(part: Mapping[str, Any], key_path: KeyPath) -> dict[str, Any]:
    if part["type"] != "image_url":
        return {"text": get_part_text(part, key_path, TARGET)}
    image, place = part["image_url"], (*key_path, "image_url")
    check_convertible_keys(image, ("url",), place, TARGET)
    embedded = _DATA_URL.fullmatch(image["url"])
    if embedded is None:
        reason = f"{TARGET} does not fetch an image from a URL"
        raise ConversionRefused((*place, "url"), reason, "Embed the image as a data: URL.")
    if embedded[2] not in IMAGE_TYPES:
        reason = f"{TARGET} does not read images of type {embedded[2]}"
        raise ConversionRefused((*place, "url"), reason, f"Convert the image to {' or '.join(IMAGE_TYPES)}.")
    return {"inlineData": {"mimeType": embedded[1], "data": embedded[3]}}

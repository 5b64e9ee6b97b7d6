"""Converts a canonical chat to a line for the customization of Amazon Nova on Bedrock: texts only.

Source: AWS's documentation of the conversation format. Images of a training file are objects in S3 and tools have no
place, so both are refused. Some words at the start of a line belong to the model's own template, and Bedrock refuses
the file.
"""

from __future__ import annotations

import re
from typing import Any, Final

from orchestrator.dataset.convert.refusal import (
    ConversionRefused,
    check_convertible_keys,
    check_turn_order,
    list_content_texts,
    split_system_message,
)
from orchestrator.dataset.example import ExampleBody, KeyPath

TARGET: Final = "Nova customization"
SCHEMA_VERSION: Final = "bedrock-conversation-2024"
_RESERVED = re.compile(r"^[ \t]*(User:|Bot:|Assistant:|System:|\[EOS\])", re.IGNORECASE | re.MULTILINE)


def convert_chat(example: ExampleBody) -> dict[str, Any]:
    """Convert a chat to `messages` of blocks, with `system` if it has a system message.

    Expects a chat that passed the checks of the dataset. Raises ConversionRefused for the first value that has no
    place.
    """
    system, messages = split_system_message(example, (), TARGET)
    line: dict[str, Any] = {"schemaVersion": SCHEMA_VERSION}
    if system is not None:
        line["system"] = _convert_message(system, ("messages", 0))
    turns = []
    for index, message in messages:
        if message["role"] == "tool":
            raise ConversionRefused(("messages", index, "role"), f"{TARGET} has no place for the result of a tool")
        turns.append({"role": message["role"], "content": _convert_message(message, ("messages", index))})
    check_turn_order([(index, message["role"]) for index, message in messages], TARGET)
    return line | {"messages": turns}


def _convert_message(message: dict[str, Any], key_path: KeyPath) -> list[dict[str, str]]:
    check_convertible_keys(message, ("role", "content"), key_path, TARGET)
    place = (*key_path, "content")
    blocks = []
    for index, text in enumerate(list_content_texts(message["content"], place, TARGET)):
        if found := _RESERVED.search(text):
            inner = () if isinstance(message["content"], str) else (index, "text")
            reason = f"a line starts with {found[1]!r}, which Nova's template reserves"
            raise ConversionRefused((*place, *inner), reason, "Change the start of the line.")
        blocks.append({"text": text})
    return blocks

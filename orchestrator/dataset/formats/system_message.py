"""Reads a system message beside the chat: many formats have it under a key of its own. It is never left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from orchestrator.dataset.formats.base import MessageBuilder

SYSTEM_KEYS: Final = (
    "system",
    "system_prompt",
    "system_message",
    "systemPrompt",
    "system_instruction",
    "systemInstruction",
)


def add_system_messages(turns: MessageBuilder, value: Mapping[str, Any]) -> tuple[str, ...]:
    """Add each system text that is beside the chat, and return the keys that were read."""
    keys = tuple(key for key in SYSTEM_KEYS if key in value)
    for key in keys:
        if value[key]:
            turns.add("system", join_text_blocks(value[key]), (key,))
    return keys


def join_text_blocks(content: object) -> object:
    """Join a list of text blocks, or an object with such `parts`, to one text; return other values unchanged."""
    if isinstance(content, dict) and set(content) <= {"parts", "role"}:
        content = content.get("parts")
    if not isinstance(content, list):
        return content
    texts = [block.get("text") if is_text_block(block) else None for block in content]
    return "\n\n".join(text for text in texts if text is not None) if content and None not in texts else content


def is_text_block(block: object) -> bool:
    """Whether the block is a text and nothing else. A cache marker does not change the text."""
    if not isinstance(block, dict) or not isinstance(block.get("text"), str):
        return False
    return block.get("type", "text") == "text" and set(block) <= {"type", "text", "cache_control"}

"""Examples for the provider rules: for each rule about a single example, one that breaks it and one that keeps it.

docs/findings.md shows the short ones; a test checks each one against all rules of its provider.
"""

from __future__ import annotations

import base64
from typing import Any, NamedTuple

from orchestrator.dataset.example import ExampleBody
from orchestrator.dataset.provider_rules import ProviderRule, RuleKind

_SYSTEM = {"role": "system", "content": "Be brief."}
_USER = {"role": "user", "content": "Any medium bikes?"}
_ANSWER = {"role": "assistant", "content": "Three of them."}
_CALL = {"id": "call_1", "type": "function", "function": {"name": "stock", "arguments": "{}"}}
_TOOL_CALL_MESSAGE = {"role": "assistant", "tool_calls": [_CALL]}
_TOOL_MESSAGE = {"role": "tool", "tool_call_id": "call_1", "content": "3"}
_TOOLS = [{"type": "function", "function": {"name": "stock"}}]
_FIRST_BYTES = {"png": b"\x89PNG\r\n\x1a\n", "jpeg": b"\xff\xd8\xff\xe0", "gif": b"GIF89a", "webp": b"RIFF....WEBP"}


class RuleExamples(NamedTuple):
    """The two examples for one rule."""

    refused: ExampleBody
    accepted: ExampleBody


def find_rule_examples(rule: ProviderRule) -> RuleExamples | None:
    """Find the two examples for a rule; None for a rule about the number of examples."""
    match rule.kind:
        case RuleKind.ROLES_ALTERNATE:
            return RuleExamples(_chat(_USER, _USER, _ANSWER), _chat(_SYSTEM, _USER, _ANSWER))
        case RuleKind.SYSTEM_FIRST:
            return RuleExamples(_chat(_USER, _SYSTEM, _ANSWER), _chat(_SYSTEM, _USER, _ANSWER))
        case RuleKind.TEXT_ANSWER_LAST:
            accepted = _chat(_USER, _TOOL_CALL_MESSAGE, _TOOL_MESSAGE, _ANSWER, tools=_TOOLS)
            return RuleExamples(_chat(_USER, _TOOL_CALL_MESSAGE, tools=_TOOLS), accepted)
        case RuleKind.TEXT_CONTENT:
            parts = [{"type": "text", "text": "3"}]
            refused = _chat(_USER, _TOOL_CALL_MESSAGE, _TOOL_MESSAGE | {"content": parts}, _ANSWER, tools=_TOOLS)
            return RuleExamples(refused, _chat(_USER, _TOOL_CALL_MESSAGE, _TOOL_MESSAGE, _ANSWER, tools=_TOOLS))
        case RuleKind.KEYS_NOT_ACCEPTED:
            return RuleExamples(_chat(_USER, _ANSWER, **dict.fromkeys(rule.values, True)), _chat(_USER, _ANSWER))
        case RuleKind.MESSAGE_KEYS_NOT_ACCEPTED:
            named = _USER | {"name": "Robin"}
            return RuleExamples(_chat(named, _ANSWER), _chat(_USER, _ANSWER))
        case _:
            return _find_image_examples(rule)


def _find_image_examples(rule: ProviderRule) -> RuleExamples | None:
    address = "https://example.org/bike.png"
    match rule.kind:
        case RuleKind.IMAGE_TYPES:
            return RuleExamples(_chat_with_images(_data_url("gif")), _chat_with_images(_data_url(rule.values[0])))
        case RuleKind.IMAGE_BYTES:
            refused = _chat_with_images(_data_url("png", rule.limit + 1))
            return RuleExamples(refused, _chat_with_images(_data_url("png", rule.limit)))
        case RuleKind.IMAGES_PER_EXAMPLE:
            image = _data_url("png")
            accepted = _chat_with_images(*[image] * rule.limit) if rule.limit else _chat(_USER, _ANSWER)
            return RuleExamples(_chat_with_images(*[image] * (rule.limit + 1)), accepted)
        case RuleKind.PUBLIC_IMAGES:
            return RuleExamples(_chat_with_images("http://127.0.0.1/bike.png"), _chat_with_images(address))
        case RuleKind.EMBEDDED_IMAGES:
            return RuleExamples(_chat_with_images(address), _chat_with_images(_data_url("png")))
        case _:
            return None


def _chat(*messages: dict[str, Any], **more: Any) -> ExampleBody:
    return {"messages": list(messages), **more}


def _chat_with_images(*urls: str) -> ExampleBody:
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return _chat({"role": "user", "content": [{"type": "text", "text": "Which bike?"}, *parts]}, _ANSWER)


def _data_url(name: str, size: int = 60) -> str:
    return f"data:image/{name};base64," + base64.b64encode(_FIRST_BYTES[name].ljust(size, b"\0")).decode()

"""Rule examples: for each provider rule about a single example, one that breaks it and one that keeps it.

docs/findings.md shows the short ones; a test checks every one against every rule of its provider.
"""

from __future__ import annotations

import base64
from typing import Any, NamedTuple

from orchestrator.dataset.example import Body
from orchestrator.dataset.provider_rules import ProviderRule, RuleKind

_SYSTEM = {"role": "system", "content": "Be brief."}
_USER = {"role": "user", "content": "Any medium bikes?"}
_ANSWER = {"role": "assistant", "content": "Three of them."}
_CALL = {"id": "call_1", "type": "function", "function": {"name": "stock", "arguments": "{}"}}
_CALLING = {"role": "assistant", "tool_calls": [_CALL]}
_TOOL = {"role": "tool", "tool_call_id": "call_1", "content": "3"}
_TOOLS = [{"type": "function", "function": {"name": "stock"}}]
_FIRST_BYTES = {"png": b"\x89PNG\r\n\x1a\n", "jpeg": b"\xff\xd8\xff\xe0", "gif": b"GIF89a", "webp": b"RIFF....WEBP"}


class RuleExamples(NamedTuple):
    """Two examples for one rule."""

    refused: Body
    accepted: Body


def examples_of_rule(rule: ProviderRule) -> RuleExamples | None:
    """Return the two examples; None for a rule about the number of examples."""
    match rule.kind:
        case RuleKind.ROLES_ALTERNATE:
            return RuleExamples(_chat(_USER, _USER, _ANSWER), _chat(_SYSTEM, _USER, _ANSWER))
        case RuleKind.SYSTEM_FIRST:
            return RuleExamples(_chat(_USER, _SYSTEM, _ANSWER), _chat(_SYSTEM, _USER, _ANSWER))
        case RuleKind.TEXT_ANSWER_LAST:
            accepted = _chat(_USER, _CALLING, _TOOL, _ANSWER, tools=_TOOLS)
            return RuleExamples(_chat(_USER, _CALLING, tools=_TOOLS), accepted)
        case RuleKind.TEXT_CONTENT:
            parts = [{"type": "text", "text": "3"}]
            refused = _chat(_USER, _CALLING, _TOOL | {"content": parts}, _ANSWER, tools=_TOOLS)
            return RuleExamples(refused, _chat(_USER, _CALLING, _TOOL, _ANSWER, tools=_TOOLS))
        case RuleKind.KEYS_NOT_ACCEPTED:
            return RuleExamples(_chat(_USER, _ANSWER, **dict.fromkeys(rule.values, True)), _chat(_USER, _ANSWER))
        case _:
            return _picture_examples(rule)


def _picture_examples(rule: ProviderRule) -> RuleExamples | None:
    address = "https://example.org/bike.png"
    match rule.kind:
        case RuleKind.PICTURE_TYPES:
            return RuleExamples(_with_pictures(_embedded("gif")), _with_pictures(_embedded(rule.values[0])))
        case RuleKind.PICTURE_BYTES:
            refused = _with_pictures(_embedded("png", rule.limit + 1))
            return RuleExamples(refused, _with_pictures(_embedded("png", rule.limit)))
        case RuleKind.PICTURES_PER_EXAMPLE:
            picture = _embedded("png")
            return RuleExamples(
                _with_pictures(*[picture] * (rule.limit + 1)), _with_pictures(*[picture] * rule.limit)
            )
        case RuleKind.PUBLIC_PICTURES:
            return RuleExamples(_with_pictures("http://127.0.0.1/bike.png"), _with_pictures(address))
        case RuleKind.EMBEDDED_PICTURES:
            return RuleExamples(_with_pictures(address), _with_pictures(_embedded("png")))
        case _:
            return None


def _chat(*messages: dict[str, Any], **more: Any) -> Body:
    return {"messages": list(messages), **more}


def _with_pictures(*urls: str) -> Body:
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return _chat({"role": "user", "content": [{"type": "text", "text": "Which bike?"}, *parts]}, _ANSWER)


def _embedded(name: str, size: int = 60) -> str:
    return f"data:image/{name};base64," + base64.b64encode(_FIRST_BYTES[name].ljust(size, b"\0")).decode()

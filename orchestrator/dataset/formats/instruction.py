"""Formats with one question and one answer per row: Alpaca, Dolly, and pairs such as prompt and completion."""

from __future__ import annotations

from typing import Any

from orchestrator.dataset.example import ExampleIssue
from orchestrator.dataset.finding_codes import FindingCode
from orchestrator.dataset.formats.base import ChatFormat, MessageBuilder, ParsedChat, PlacedMessage, list_other_keys
from orchestrator.dataset.formats.system_message import add_system_messages

ALPACA_KEYS = ("instruction", "input", "output", "history")
DOLLY_KEYS = ("instruction", "context", "response")
COMPLETION_KEY_PAIRS = (
    ("prompt", "completion"),
    ("prompt", "response"),
    ("question", "answer"),
    ("query", "response"),
    ("input", "output"),
)


def parse_alpaca(value: object) -> ParsedChat | None:
    """Parse `instruction` with `input` below it, and `output`; `system` and `history` come first."""
    if not isinstance(value, dict) or "instruction" not in value or "output" not in value:
        return None
    turns, issues = MessageBuilder(), _validate_history(value.get("history") or [])
    keys = add_system_messages(turns, value)
    if not issues:
        for index, (question, answer) in enumerate(value.get("history") or []):
            turns.add("user", question, ("history", index, 0))
            turns.add("assistant", answer, ("history", index, 1))
    turns.add("user", build_question(value, "input"), ("instruction",))
    turns.add("assistant", value["output"], ("output",))
    left_out = list_other_keys(value, (*ALPACA_KEYS, *keys))
    return ParsedChat("alpaca", {"messages": turns.messages}, turns.to_source, tuple(issues), left_out)


def parse_dolly(value: object) -> ParsedChat | None:
    """Parse `instruction` with `context` below it, and `response`."""
    if not isinstance(value, dict) or "instruction" not in value or "response" not in value:
        return None
    turns = MessageBuilder()
    keys = add_system_messages(turns, value)
    turns.add("user", build_question(value, "context"), ("instruction",))
    turns.add("assistant", value["response"], ("response",))
    left_out = list_other_keys(value, (*DOLLY_KEYS, *keys))
    return ParsedChat("dolly", {"messages": turns.messages}, turns.to_source, left_out=left_out)


def build_question(value: dict[str, Any], below: str) -> object:
    """Build the question: the instruction and, if the row has it, the text of the key `below` after it."""
    instruction, context = value["instruction"], value.get(below)
    if isinstance(instruction, str) and isinstance(context, str) and context.strip():
        return f"{instruction}\n\n{context}" if instruction.strip() else context
    return instruction


def _validate_history(history: object) -> list[ExampleIssue]:
    if not isinstance(history, list):
        return [
            ExampleIssue(FindingCode.WRONG_TYPE, ("history",), "history must be an array of [question, answer] pairs")
        ]
    return [
        ExampleIssue(
            FindingCode.WRONG_TYPE, ("history", index), "an entry of history must be a [question, answer] pair"
        )
        for index, pair in enumerate(history)
        if not isinstance(pair, list) or len(pair) != 2
    ]


def parse_completion(value: object) -> ParsedChat | None:
    """Parse `{"prompt": …, "completion": …}` and similar pairs; white space around the texts is removed."""
    if not isinstance(value, dict):
        return None
    pair = next((pair for pair in COMPLETION_KEY_PAIRS if pair[0] in value and pair[1] in value), None)
    if pair is None:
        return None
    turns = MessageBuilder()
    keys = add_system_messages(turns, value)
    for role, key in zip(("user", "assistant"), pair, strict=True):
        content = value[key]
        if isinstance(content, list):  # as TRL writes it: each side is a list of messages
            turns.placed += [PlacedMessage(message, (key, index), {}) for index, message in enumerate(content)]
        else:
            turns.add(role, content.strip() if isinstance(content, str) else content, (key,))
    left_out = list_other_keys(value, (*pair, *keys))
    return ParsedChat("completion", {"messages": turns.messages}, turns.to_source, left_out=left_out)


ALPACA = ChatFormat(
    "alpaca",
    "Alpaca's rows. `input` is appended to the instruction; `system` and `history`, if present, come first.",
    '{"instruction": "Translate into Norwegian.", "input": "Good morning", "output": "God morgen"}\n',
    parse_alpaca,
)
DOLLY = ChatFormat(
    "dolly",
    "Dolly's rows. `context` is appended to the instruction.",
    '{"instruction": "When do they open?", "context": "Open from ten to four.", "response": "At ten."}\n',
    parse_dolly,
)
COMPLETION = ChatFormat(
    "completion",
    "A question and its answer: "
    + ", ".join(f"`{question}` and `{answer}`" for question, answer in COMPLETION_KEY_PAIRS)
    + ". White space around the texts is removed. Each side may also be a list of messages.",
    '{"prompt": "When do you open?", "completion": "At ten."}\n{"question": "And close?", "answer": "At four."}\n',
    parse_completion,
)

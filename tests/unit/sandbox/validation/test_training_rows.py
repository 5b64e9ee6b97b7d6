"""The sandbox's own validation of training files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.sandbox.records import SandboxVerdict
from orchestrator.sandbox.validation.training_file import validate_training_file
from orchestrator.sandbox.validation.training_rows import (
    find_conversation_problem,
    find_preference_problem,
    find_prompt_problem,
)

USER = {"role": "user", "content": "a"}
ASSISTANT = {"role": "assistant", "content": "b"}
GOOD = {"messages": [USER, ASSISTANT]}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def read(folder: Path, content: bytes) -> SandboxVerdict:
    path = folder / "file.jsonl"
    path.write_bytes(content)
    return validate_training_file(path, "digest")


def lines(*rows: Any) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def test_valid_file_is_accepted(tmp_path: Path) -> None:
    verdict = read(tmp_path, lines(*[GOOD] * 10))
    assert (verdict.examples, verdict.unreadable, verdict.problems["supervised"]) == (10, None, None)
    assert verdict.tokens > 0
    assert verdict.problems["dpo"] is not None


def test_last_line_may_have_no_line_break(tmp_path: Path) -> None:
    assert read(tmp_path, lines(*[GOOD] * 10).rstrip(b"\n")).examples == 10


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"{", "Line 3 is not valid JSON"),
        (b"", "Line 3 is not valid JSON"),
        (b'{"messages": NaN}', "NaN is not JSON"),
        (b'{"a": "\xff"}', "Line 3 is not valid UTF-8 (byte 8)"),
        (b"\xef\xbb\xbf{}", "Line 3 is not valid JSON"),
        (b"[" * 100_000, "Line 3 is not valid JSON"),
    ],
)
def test_unreadable_file_is_refused(tmp_path: Path, content: bytes, expected: str) -> None:
    verdict = read(tmp_path, lines(GOOD, GOOD) + content + b"\n" + lines(GOOD))
    assert expected in str(verdict.unreadable)


def test_examples_are_counted_and_the_first_wrong_line_is_reported(tmp_path: Path) -> None:
    assert read(tmp_path, lines(*[GOOD] * 9)).examples == 9
    verdict = read(tmp_path, lines(GOOD, {"messages": []}, *[GOOD] * 9, 7))
    assert verdict.problems["supervised"] == "Line 2: messages must be a list of at least one message"


@pytest.mark.parametrize(
    "row",
    [
        GOOD,
        {"messages": [{"role": "system", "content": "s"}, USER, ASSISTANT | {"weight": 0}, USER, ASSISTANT]},
        {"messages": [USER | {"content": [{"type": "text", "text": "x"}]}, ASSISTANT]},
        {
            "messages": [
                USER,
                {"role": "assistant", "content": None, "tool_calls": [CALL]},
                {"role": "tool", "content": "1", "tool_call_id": "c1"},
                ASSISTANT,
            ],
            "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
            "parallel_tool_calls": False,
        },
    ],
)
def test_valid_conversations_are_accepted(row: Any) -> None:
    assert find_conversation_problem(row) is None


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ([], "expected a JSON object"),
        ({"prompt": "a", "completion": "b"}, "unexpected key(s) 'completion', 'prompt'"),
        ({"messages": "hello"}, "messages must be a list"),
        ({"messages": [USER, 7]}, "messages[1] must be an object"),
        ({"messages": [{"role": "bot", "content": "a"}]}, "messages[0].role must be one of"),
        ({"messages": [{"role": ["user"], "content": "a"}]}, "messages[0].role must be one of"),
        ({"messages": [USER | {"content": ""}, ASSISTANT]}, "messages[0].content must be a string"),
        ({"messages": [USER | {"content": "\ud800"}, ASSISTANT]}, "messages[0].content must be a string"),
        ({"messages": [USER, {"role": "assistant"}]}, "messages[1].content must be a string"),
        ({"messages": [USER | {"weight": 1}, ASSISTANT]}, "messages[0]: unexpected key(s) 'weight'"),
        ({"messages": [USER | {"id": 1}, ASSISTANT]}, "messages[0]: unexpected key(s) 'id'"),
        ({"messages": [USER | {"content": [{"type": "refusal"}]}, ASSISTANT]}, "messages[0].content[0] must be"),
        ({"messages": [USER]}, "the last message must be from the assistant, not the user"),
        ({"messages": [USER, ASSISTANT | {"weight": 0.5}]}, "weight must be 0 or 1"),
        ({"messages": [USER, ASSISTANT | {"weight": True}]}, "weight must be 0 or 1"),
        ({"messages": [USER, ASSISTANT | {"weight": 0}]}, "at least one message"),
        ({"messages": [USER, ASSISTANT | {"tool_calls": []}]}, "messages[1].tool_calls must be"),
        ({"messages": [USER, {"role": "tool", "content": "1", "tool_call_id": "c9"}]}, "messages[1].tool_call_id"),
        ({"messages": [USER, ASSISTANT], "tools": [{}]}, "tools must be a list"),
    ],
)
def test_invalid_conversations_are_refused(row: Any, expected: str) -> None:
    assert expected in str(find_conversation_problem(row))


def test_preference_pairs_are_validated() -> None:
    row: dict[str, Any] = {
        "input": {"messages": [USER]},
        "preferred_output": [ASSISTANT],
        "non_preferred_output": [ASSISTANT],
    }
    assert find_preference_problem(row) is None
    assert "expected exactly the keys" in str(find_preference_problem(GOOD))
    assert "input.messages" in str(find_preference_problem(row | {"input": {"messages": []}}))
    assert "preferred_output must" in str(find_preference_problem(row | {"preferred_output": [ASSISTANT] * 2}))
    assert "from the assistant" in str(find_preference_problem(row | {"non_preferred_output": [USER]}))


def test_reinforcement_prompts_are_validated() -> None:
    assert find_prompt_problem({"messages": [USER], "answer": 42}) is None
    assert "from the user" in str(find_prompt_problem(GOOD))

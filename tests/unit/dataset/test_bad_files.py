"""Small bad files, each with all of its findings: code, line and JSON path."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from orchestrator.core.finding import Severity
from orchestrator.core.spec import Method
from orchestrator.dataset.checker import check_dataset
from orchestrator.dataset.rules import DatasetRules

Expected = tuple[str, int | None, str | None]


class BadFile(NamedTuple):
    name: str
    file: str
    content: bytes
    expected: list[Expected]
    method: Method = "supervised"


USER = {"role": "user", "content": "What is one and one?"}
ANSWER = {"role": "assistant", "content": "Two."}
CALL = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
CALLING = {"role": "assistant", "tool_calls": [CALL]}
TOOL_ANSWER = {"role": "tool", "tool_call_id": "call_1", "content": "2"}
TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]


def line(*messages: Any, **more: Any) -> bytes:
    return json.dumps({"messages": messages, **more}).encode()


def chat(name: str, messages: Any, *expected: Expected, **how: Any) -> BadFile:
    """A bare array, pretty-printed: each message takes four lines, the first begins in line 2."""
    return BadFile(name, "chat.json", json.dumps(messages, indent=1).encode(), list(expected), **how)


def row(name: str, value: Any, *expected: Expected, **how: Any) -> BadFile:
    """The second line of a JSONL file, after a good one."""
    content = line(USER, ANSWER) + b"\n" + (value if isinstance(value, bytes) else json.dumps(value).encode())
    return BadFile(name, "rows.jsonl", content, list(expected), **how)


def text(name: str, content: bytes, *expected: Expected, file: str = "chat.json") -> BadFile:
    return BadFile(name, file, content, list(expected))


def pair(**changes: Any) -> dict[str, Any]:
    base = {"input": {"messages": [USER]}, "preferred_output": [ANSWER], "non_preferred_output": [ANSWER]}
    return {key: value for key, value in (base | changes).items() if value is not None}


TEXTS = [
    text("empty file", b"", ("empty-file", 1, None)),
    text("only white space", b" \n\n\t\n", ("empty-file", 1, None)),
    text("cut off", b'[\n {"role": "user",\n  "content": "Hi', ("invalid-json", 3, "$[0].content")),
    text("no closing bracket", b'[{"role": "user", "content": "Hi"}', ("invalid-json", 1, "$")),
    text("comma after the last message", b'[{"role": "assistant", "content": "Hi"},]', ("trailing-comma", 1, "$")),
    text(
        "comma after the last key, and a wrong role",
        b'[\n{"role": "robot", "content": "Hi",\n}]',
        ("trailing-comma", 2, "$[0]"),
        ("unknown-role", 2, "$[0].role"),
    ),
    text("single quotes", b"[{'role': 'user'}]", ("invalid-json", 1, "$[0]")),
    text("a missing comma", b'[{"role": "assistant" "content": "Hi"}]', ("invalid-json", 1, "$[0]")),
    text("a comment", b'[\n// hello\n{"role": "user"}]', ("invalid-json", 2, "$[0]")),
    text("more after the end", b'[\n{"role": "assistant", "content": "Hi"}\n]\n]', ("invalid-json", 4, "$")),
    text("a bare line break", b'[{"role": "assistant", "content": "Hi\nyou"}]', ("invalid-json", 1, "$[0].content")),
    text("a bad escape", b'[{"role": "assistant", "content": "\\x"}]', ("invalid-json", 1, "$[0].content")),
    text("Latin-1", '[\n{"role": "assistant", "content": "é"}]'.encode("latin-1"), ("invalid-utf8", 2, None)),
    text("half an emoji", b'[{"role": "assistant", "content": "\\ud83d"}]', ("invalid-unicode", 1, "$[0].content")),
    text(
        "a key twice",
        b'[{"role": "user",\n"role": "assistant", "content": "Hi"}]',
        ("duplicate-key", 2, "$[0].role"),
    ),
    text(
        "a key twice, the second with spaces",
        b'[{"role": "assistant", "content": "Hi", "content"  : "Ho"}]',
        ("duplicate-key", 1, "$[0].content"),
    ),
    text(
        "a key twice, once escaped",
        b'[{"role": "assistant", "content": "Hi", "c\\u006fntent": "Ho"}]',
        ("duplicate-key", 1, "$[0].content"),
    ),
    text("too deep", b"[" * 200_000, ("invalid-json", 1, "$" + "[0]" * 101)),
    text("truncated UTF-16", "[1]".encode("utf-16")[:-1], ("invalid-utf8", 1, None)),
    text("a number", b"42", ("unknown-format", 1, "$")),
    text("null", b"null", ("unknown-format", 1, "$")),
    text("a string", b'"hello"', ("unknown-format", 1, "$")),
    text("an empty array", b"[]", ("unknown-format", 1, "$")),
    text("an empty object", b"{}", ("unknown-format", 1, "$")),
    text("another object", b'{"title": "x", "body": "y"}', ("unknown-format", 1, "$")),
    text(
        "one stranger among chats",
        b'[\n{"messages": [{"role": "assistant", "content": "Hi"}]},\n7]',
        ("unknown-format", 3, "$[1]"),
    ),
    text("a picture", b"\x89PNG\r\n\x1a\n", ("wrong-file-type", 1, None), file="x.jsonl"),
]
ROWS = [
    row("a broken line", b'{"messages": [', ("invalid-json", 2, "$.messages[0]")),
    row("not a number", b'{"messages": [{"role": "assistant", "content": "x", "weight": NaN}]}',
        ("non-finite-number", 2, "$.messages[0].weight"), ("bad-weight", 2, "$.messages[0].weight")),
    row("too large a number", b'{"messages": [{"role": "assistant", "content": "x", "weight": 1e999}]}',
        ("non-finite-number", 2, "$.messages[0].weight"), ("bad-weight", 2, "$.messages[0].weight")),
    row("messages is text", {"messages": "Hi"}, ("wrong-type", 2, "$.messages")),
    row("no messages", {"messages": []}, ("no-messages", 2, "$.messages")),
    row("an unknown key", {"messages": [USER, ANSWER], "mesages": 1}, ("unknown-key", 2, "$.mesages")),
    row("old functions", {"messages": [USER, ANSWER], "functions": []}, ("unknown-key", 2, "$.functions")),
    row("weight 2", {"messages": [USER, ANSWER | {"weight": 2}]}, ("bad-weight", 2, "$.messages[1].weight")),
    row("weight as text", {"messages": [USER, ANSWER | {"weight": "1"}]}, ("bad-weight", 2, "$.messages[1].weight")),
    row("weight true", {"messages": [USER, ANSWER | {"weight": True}]}, ("bad-weight", 2, "$.messages[1].weight")),
    row("weight 1.0", {"messages": [USER, ANSWER | {"weight": 1.0}]}, ("bad-weight", 2, "$.messages[1].weight")),
    row("a user's weight", {"messages": [USER | {"weight": 1}, ANSWER]}, ("unknown-key", 2, "$.messages[0].weight")),
    row("every weight 0", {"messages": [USER, ANSWER | {"weight": 0}]}, ("nothing-to-learn", 2, "$.messages")),
    row("a pair among chats", pair(), ("wrong-method", 2, "$")),
]  # fmt: skip
CHATS = [
    chat("an unknown role", [USER | {"role": "bot"}, ANSWER], ("unknown-role", 3, "$[0].role")),
    chat("a developer", [USER | {"role": "developer"}, ANSWER], ("unknown-role", 3, "$[0].role")),
    chat("a role that is a number", [USER | {"role": 1}, ANSWER], ("unknown-role", 3, "$[0].role")),
    chat("no role", [{"content": "Hi"}, ANSWER], ("missing-key", 2, "$[0]")),
    chat("no content", [{"role": "user"}, ANSWER], ("missing-key", 2, "$[0]")),
    chat("content null", [USER | {"content": None}, ANSWER], ("empty-content", 4, "$[0].content")),
    chat("content empty", [USER, ANSWER | {"content": ""}], ("empty-content", 8, "$[1].content")),
    chat("content blank", [USER | {"content": " \n"}, ANSWER], ("empty-content", 4, "$[0].content")),
    chat("content a number", [USER | {"content": 5}, ANSWER], ("wrong-type", 4, "$[0].content")),
    chat("a message that is text", [USER, "Hi", ANSWER], ("wrong-type", 6, "$[1]")),
    chat("a wrong key", [USER | {"contents": "x"}, ANSWER], ("unknown-key", 5, "$[0].contents")),
    chat("no assistant", [USER, USER], ("no-assistant", 1, "$")),
    chat("the user speaks last", [USER, ANSWER, USER], ("last-not-assistant", 11, "$[2].role")),
    chat("a name with a space", [USER | {"name": "Mina B"}, ANSWER], ("bad-name", 5, "$[0].name")),
    chat("a name too long", [USER | {"name": "a" * 65}, ANSWER], ("bad-name", 5, "$[0].name")),
    chat("a name that is a number", [USER | {"name": 1}, ANSWER], ("wrong-type", 5, "$[0].name")),
    chat("a special token", [USER, ANSWER | {"content": "Two.<|endoftext|>"}], ("special-token", 8, "$[1].content")),
    chat("another special token", [USER | {"content": "<|im_start|>"}, ANSWER], ("special-token", 4, "$[0].content")),
    chat("a chat, for DPO", [USER, ANSWER], ("wrong-method", 1, "$"), method="dpo"),
    chat("no parts", [USER | {"content": []}, ANSWER], ("empty-content", 4, "$[0].content")),
]


def part(name: str, role: str, value: Any, *expected: Expected) -> BadFile:
    message = {"role": role, "content": [value]}
    return row(name, {"messages": [message, USER, ANSWER]}, *expected)


PARTS = [
    part("a part that is text", "user", "Hi", ("wrong-type", 2, "$.messages[0].content[0]")),
    part("an unknown part", "user", {"type": "video"}, ("wrong-type", 2, "$.messages[0].content[0]")),
    part("a part without text", "user", {"type": "text"}, ("missing-key", 2, "$.messages[0].content[0]")),
    part("an empty part", "user", {"type": "text", "text": ""},
         ("empty-content", 2, "$.messages[0].content[0].text")),
    part("a local image", "user", {"type": "image_url", "image_url": {"url": "file:///x.png"}},
         ("bad-image", 2, "$.messages[0].content[0].image_url.url")),
    part("an unknown detail", "user",
         {"type": "image_url", "image_url": {"url": "https://a.example/x.png", "detail": "x"}},
         ("bad-image", 2, "$.messages[0].content[0].image_url.detail")),
    part("an image from the assistant", "assistant",
         {"type": "image_url", "image_url": {"url": "https://a.example/x"}},
         ("bad-image", 2, "$.messages[0].content[0]")),
    part("an image without an address", "user", {"type": "image_url", "image_url": {}},
         ("missing-key", 2, "$.messages[0].content[0].image_url")),
]  # fmt: skip


def tools(name: str, messages: list[Any], tools: Any, *expected: Expected) -> BadFile:
    return row(name, {"messages": messages, "tools": tools}, *expected)


def called(**changes: Any) -> dict[str, Any]:
    return {"role": "assistant", "tool_calls": [CALL | {"function": {"name": "add", "arguments": "{}"} | changes}]}


AT_CALL = "$.messages[1].tool_calls[0]"
TOOL_ROWS = [
    row("a call without tools", {"messages": [USER, CALLING]}, ("unknown-tool", 2, f"{AT_CALL}.function.name")),
    tools("an unknown tool", [USER, called(name="sub")], TOOLS, ("unknown-tool", 2, f"{AT_CALL}.function.name")),
    tools("bad arguments", [USER, called(arguments="{")], TOOLS,
          ("bad-arguments", 2, f"{AT_CALL}.function.arguments")),
    tools("arguments not an object", [USER, called(arguments="[]")], TOOLS,
          ("bad-arguments", 2, f"{AT_CALL}.function.arguments")),
    tools("arguments not text", [USER, called(arguments={})], TOOLS,
          ("wrong-type", 2, f"{AT_CALL}.function.arguments")),
    tools("a call without an answer", [USER, CALLING, USER, ANSWER], TOOLS, ("unanswered-call", 2, AT_CALL)),
    tools("an answer without a call", [USER, TOOL_ANSWER, ANSWER], TOOLS,
          ("unasked-answer", 2, "$.messages[1].tool_call_id")),
    tools("an answer without an id", [USER, CALLING, {"role": "tool", "content": "2"}, ANSWER], TOOLS,
          ("missing-key", 2, "$.messages[2]"), ("unanswered-call", 2, AT_CALL)),
    tools("an id twice", [USER, {"role": "assistant", "tool_calls": [CALL, CALL]}], TOOLS,
          ("bad-tool", 2, "$.messages[1].tool_calls[1].id")),
    tools("a call that is text", [USER, {"role": "assistant", "tool_calls": ["add"]}], TOOLS,
          ("bad-tool", 2, AT_CALL)),
    tools("the tool speaks last", [USER, CALLING, TOOL_ANSWER], TOOLS,
          ("last-not-assistant", 2, "$.messages[2].role")),
    tools("a tool that is text", [USER, ANSWER], ["add"], ("bad-tool", 2, "$.tools[0]")),
    tools("a tool without a name", [USER, ANSWER], [{"type": "function", "function": {}}],
          ("missing-key", 2, "$.tools[0].function")),
    tools("a tool with a bad name", [USER, ANSWER], [{"type": "function", "function": {"name": "a b"}}],
          ("bad-tool", 2, "$.tools[0].function.name")),
    tools("a tool of another type", [USER, ANSWER], [{"type": "search", "function": {"name": "a"}}],
          ("bad-tool", 2, "$.tools[0].type")),
    tools("a bare function", [USER, CALLING, TOOL_ANSWER, ANSWER], [{"name": "add", "parameters": {}}],
          ("bad-tool", 2, "$.tools[0]")),
    tools("a bare function of another API", [USER, ANSWER], [{"name": "add", "input_schema": {}, "description": "x"}],
          ("bad-tool", 2, "$.tools[0]")),
    tools("empty calls", [USER, ANSWER | {"tool_calls": []}], TOOLS, ("bad-tool", 2, "$.messages[1].tool_calls")),
    tools("a call and empty text", [USER, CALLING | {"content": ""}], TOOLS,
          ("empty-content", 2, "$.messages[1].content")),
    tools("a call without an id", [USER, {"role": "assistant", "tool_calls": [CALL | {"id": ""}]}], TOOLS,
          ("bad-tool", 2, f"{AT_CALL}.id")),
    tools("tools an object", [USER, ANSWER], {}, ("wrong-type", 2, "$.tools")),
]  # fmt: skip


def preference(name: str, value: Any, *expected: Expected) -> BadFile:
    return BadFile(name, "pairs.jsonl", json.dumps(value).encode(), list(expected), "dpo")


PAIRS = [
    preference("no preferred answer", pair(preferred_output=None), ("missing-key", 1, "$")),
    preference("no input", pair(input=None), ("missing-key", 1, "$")),
    preference("an empty output", pair(preferred_output=[]), ("no-messages", 1, "$.preferred_output")),
    preference("the user's output", pair(preferred_output=[USER]), ("wrong-order", 1, "$.preferred_output[0].role")),
    preference("two answers", pair(non_preferred_output=[ANSWER, ANSWER]),
               ("wrong-order", 1, "$.non_preferred_output[1]")),
    preference("an input that ends with an answer", pair(input={"messages": [USER, ANSWER]}),
               ("wrong-order", 1, "$.input.messages[1].role")),
    preference("a broken message in the input", pair(input={"messages": [{"role": "user", "content": ""}]}),
               ("empty-content", 1, "$.input.messages[0].content")),
    preference("a pair of texts, one empty", {"prompt": "Hi", "chosen": "", "rejected": "Ho"},
               ("empty-content", 1, "$.chosen")),
]  # fmt: skip


def export(*rows: Any) -> bytes:
    header = {"user_name": "Mina", "character_name": "Juniper", "chat_metadata": {}}
    return b"\n".join(one if isinstance(one, bytes) else json.dumps(one).encode() for one in (header, *rows))


SAID = {"name": "Mina", "is_user": True, "mes": "Hi"}
FOREIGN = [
    row("ShareGPT: an unknown speaker", {"conversations": [{"from": "ghost", "value": "Hu"}]},
        ("unknown-role", 2, "$.conversations[0].from")),
    row("ShareGPT: no value", {"conversations": [{"from": "human"}]}, ("missing-key", 2, "$.conversations[0]")),
    row("ShareGPT: the human speaks last",
        {"conversations": [{"from": "gpt", "value": "a"}, {"from": "human", "value": "b"}]},
        ("last-not-assistant", 2, "$.conversations[1].value")),
    row("Alpaca: no answer", {"instruction": "Add.", "input": "1 1", "output": ""}, ("empty-content", 2, "$.output")),
    row("Alpaca: a broken history", {"instruction": "Add.", "output": "2", "history": [["a"]]},
        ("wrong-type", 2, "$.history[0]")),
    row("completion: no prompt", {"prompt": "", "completion": "x"}, ("empty-content", 2, "$.prompt")),
    row("completion: a number", {"prompt": "x", "completion": 5}, ("wrong-type", 2, "$.completion")),
    text("SillyTavern: a broken line", export(SAID, b'{"name": "Juniper", "mes": "Ho'),
         ("invalid-json", 3, "$.mes"), ("no-assistant", 1, "$"), file="chat.jsonl"),
    text("SillyTavern: the user speaks last", export({"name": "Juniper", "is_user": False, "mes": "Ho"}, SAID),
         ("last-not-assistant", 3, "$.mes"), file="chat.jsonl"),
    text("SillyTavern: an empty message", export({"name": "Juniper", "is_user": False, "mes": ""}),
         ("empty-content", 2, "$.mes"), file="chat.jsonl"),
    text("SillyTavern: a row without a message", export({"name": "Juniper", "is_user": False}),
         ("missing-key", 2, "$"), file="chat.jsonl"),
    text("SillyTavern: nothing said", export(), ("no-messages", 1, "$"), file="chat.jsonl"),
]  # fmt: skip

CASES = [*TEXTS, *ROWS, *CHATS, *PARTS, *TOOL_ROWS, *PAIRS, *FOREIGN]


@pytest.mark.parametrize("bad", CASES, ids=[bad.name for bad in CASES])
def test_every_bad_file_has_its_finding_and_location(bad: BadFile, tmp_path: Path) -> None:
    (tmp_path / bad.file).write_bytes(bad.content)
    checked = check_dataset(tmp_path, DatasetRules(minimum_examples=0, method=bad.method))
    errors = [found for found in checked.findings if found.severity is Severity.ERROR]
    assert [(found.code, found.line, found.path) for found in errors] == bad.expected
    assert {found.file for found in errors} == {bad.file}
    assert all(found.message and found.hint for found in errors)
    assert checked.summary.chats == checked.summary.examples + checked.summary.refused


def test_table_has_enough_cases() -> None:
    assert len(CASES) >= 60
    assert len({bad.name for bad in CASES}) == len(CASES)


def test_too_few_examples_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text(json.dumps([USER, ANSWER]))
    (found,) = check_dataset(tmp_path, DatasetRules()).findings
    assert (found.code, found.message) == (
        "too-few-examples",
        "there is 1 training example, at least 10 are required",
    )


def test_missing_path_is_an_error(tmp_path: Path) -> None:
    (found,) = check_dataset(tmp_path / "chats").findings
    assert (found.code, found.file) == ("no-such-path", "chats")
    assert check_dataset(tmp_path / "chats").summary.chats == 0


def test_overlap_with_the_training_set_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_bytes(b"\n".join([line(USER, ANSWER), line(ANSWER), line(ANSWER, USER)]))
    (tmp_path / "valid.json").write_text(json.dumps([[USER], [ANSWER], [USER, USER, ANSWER]], indent=1))
    checked = check_dataset(tmp_path / "valid.json", training=tmp_path / "train.jsonl")
    assert [
        (found.code, found.line, found.path) for found in checked.findings if found.code != "different-system"
    ] == [
        ("no-assistant", 2, "$[0]"),
        ("validation-overlap", 8, "$[1]"),
    ]
    assert "train.jsonl:2" in checked.findings[1].message

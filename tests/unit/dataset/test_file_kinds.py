"""Files with a .json or .jsonl name that are not plain JSON are read without loss, or one finding names the type."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.dataset.checker import check_dataset
from orchestrator.dataset.finding_codes import FindingCode
from orchestrator.dataset.read.file_types import BINARY_SIGNATURES
from orchestrator.dataset.rules import DatasetRules
from orchestrator.dataset.summary import CheckResult

CHATS = [
    {"messages": [{"role": "user", "content": f"What is {number}, Joe?"}, {"role": "assistant", "content": "A {}."}]}
    for number in ("one", "seven hundred", "the square root of x")
]
LINES = "\n".join(map(json.dumps, CHATS))


def checked(tmp_path: Path, content: str | bytes, name: str = "train.jsonl") -> CheckResult:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return check_dataset(tmp_path, DatasetRules(minimum_examples=0))


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (gzip.compress(LINES.encode()), "gzip data"),
        *((signature + b"\n{}\n[]\x80", kind.name) for signature, kind in BINARY_SIGNATURES[1:]),
        ("\n<!DOCTYPE html>\n<html><body>Sign in</body></html>\n", "web page"),
        ("<HTML>\n<p>", "web page"),
        ("<?xml version='1.0'?>\n<a/>", "XML"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n", "Git LFS pointer"),
        ("prompt,completion\nHi,Hello\nHo,Hey\n", "table"),
        ('\ufeff"prompt";"answer of the desk"\r\n"Hi";"Hello"\r\n', "table"),
        ("prompt\tcompletion\nHi\tHello\n", "table"),
        ("---\nmessages:\n- role: user\n", "YAML"),
        ("{\\rtf1\\ansi {\\b [}}\n", "Rich Text"),
    ],
)
@pytest.mark.parametrize("name", ["train.jsonl", "train.json"])
def test_wrong_file_type_is_reported_once(content: str | bytes, kind: str, name: str, tmp_path: Path) -> None:
    (found,) = checked(tmp_path, content, name).errors
    assert (found.code, found.file, found.line) == ("wrong-file-type", name, 1)
    assert kind in found.message
    assert found.hint


@pytest.mark.parametrize("first", ["x, y", '{"a", "b"', "[prompt, answer"])
def test_broken_json_is_not_reported_as_a_table(first: str, tmp_path: Path) -> None:
    result = checked(tmp_path, f"{first}\n{LINES}")
    assert [found.code for found in result.errors] == ["invalid-json"]
    assert result.summary.examples == 3


@pytest.mark.parametrize("name", ["train.jsonl", "train.json"])
@pytest.mark.parametrize("end", ["", ","], ids=["between", "after each"])
@pytest.mark.parametrize("between", [",\n", ",\r\n", " ,\n\n"])
def test_commas_between_lines_are_ignored_and_reported_once(
    name: str, end: str, between: str, tmp_path: Path
) -> None:
    result = checked(tmp_path, between.join(map(json.dumps, CHATS)) + end, name)
    assert result.summary.examples == 3
    (found,) = result.findings
    assert (found.code, found.line) == ("comma-after-line", 1)
    assert result.counts["comma-after-line"] == 2 + bool(end)


@pytest.mark.parametrize("name", ["train.jsonl", "train.json"])
@pytest.mark.parametrize("indent", [1, 4, "\t", None])
@pytest.mark.parametrize("between", ["\n", "\n\n", " ", "", "\r\n"])
def test_concatenated_values_are_read(name: str, indent: Any, between: str, tmp_path: Path) -> None:
    result = checked(tmp_path, between.join(json.dumps(chat, indent=indent) for chat in CHATS), name)
    assert result.findings == ()
    assert result.summary.examples == 3


def test_pretty_printed_concatenated_values_are_read(tmp_path: Path) -> None:
    value = json.dumps(CHATS[0], indent=2)
    content = value.replace("{\n  ", "{ ", 1) + "\n" + value.replace("{\n  ", "{ ", 1)
    assert checked(tmp_path, content).summary.examples == 2


def test_findings_in_concatenated_values_have_their_location(tmp_path: Path) -> None:
    bad = json.dumps({"messages": [{"role": "assistant", "content": ""}]}, indent=1)
    broken = '{\n "messages": [\n  {"role": }\n ]\n}'
    result = checked(tmp_path, "\n".join([json.dumps(CHATS[0], indent=1), bad, broken]))
    assert [(found.code, found.line, found.path) for found in result.errors] == [
        ("empty-content", 17, "$.messages[0].content"),
        ("invalid-json", 23, "$.messages[0].role"),
    ]
    assert (result.summary.chats, result.summary.examples) == (3, 1)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("[{“role”: “user”, “content”: “Hello?”}]", "curly quote"),
        ("[{\u201erole\u201c: 1}]", "curly quote"),
        ('[{"role": \u2018user\u2019}]', "curly quote"),
        ('// by hand\n[{"role":"user","content":"Hi"},{"role":"assistant","content":"Hello, you?"}]', "comment"),
        ('[/* who */{"role":"user","content":"Hi"}]', "comment"),
        ('# all\n[{"role":"user","content":"Hi"}]', "comment"),
        ('[{"role":"user"}] // end', "comment"),
        ("[{'role': 'user'}]", "single quote"),
        ('[{"role": "user", "content": None}]', "None"),
    ],
)
def test_json_dialects_are_reported(content: str, word: str, tmp_path: Path) -> None:
    result = checked(tmp_path, content, "chat.json")
    (found,) = result.errors
    assert found.code == "invalid-json"
    assert word in found.message
    assert found.hint != FindingCode.INVALID_JSON.hint
    assert result.summary.chats == 1


def test_json_dialect_in_every_line_is_reported_once(tmp_path: Path) -> None:
    row = "{'messages': []}"
    result = checked(tmp_path, "\n".join([row] * 40 + ["{"]))
    assert [found.line for found in result.errors] == [1, 41]
    assert result.counts["invalid-json"] == 41
    assert result.summary.refused == 41


def test_all_errors_of_an_array_are_reported_at_once(tmp_path: Path) -> None:
    row = '{"instruction": "a", "output": %s}, '
    rows = row % '"b"' + row % "NaN" + row % "1"
    result = checked(tmp_path, f"[{rows} 7,\n]", "a.json")
    assert [(found.code, found.line, found.path) for found in result.errors] == [
        ("non-finite-number", 1, "$[1].output"),
        ("wrong-type", 1, "$[1].output"),
        ("wrong-type", 1, "$[2].output"),
        ("trailing-comma", 1, "$"),
    ]
    assert (result.summary.chats, result.summary.examples) == (4, 1)


HEADER = {"user_name": "Robin", "character_name": "Desk", "chat_metadata": {}}
KIM = HEADER | {"user_name": "Kim", "character_name": "Ida"}
ASKED = {"name": "Robin", "is_user": True, "mes": "Are you {{char}}?"}
ANSWERED = {"name": "Desk", "is_user": False, "mes": "Yes, {{user}}."}
ANSWERED_KIM = {"name": "Ida", "is_user": False, "mes": "Yes, {{user}}."}


def test_joined_exports_are_two_chats(tmp_path: Path) -> None:
    from orchestrator.dataset.builder import build_dataset

    rows = (HEADER, ASKED, ANSWERED, KIM, ASKED, ANSWERED_KIM)
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    built = build_dataset(tmp_path / "a.jsonl", tmp_path / "out", DatasetRules(minimum_examples=0))
    texts = [json.loads(line)["messages"] for line in built.dataset.training.path.read_text().splitlines()]
    assert [[message["content"] for message in messages] for messages in texts] == [
        ["Are you Desk?", "Yes, Robin."],
        ["Are you Ida?", "Yes, Kim."],
    ]


def test_findings_in_joined_exports_have_their_location(tmp_path: Path) -> None:
    rows = (HEADER, ASKED, ANSWERED, KIM, ASKED, ANSWERED_KIM | {"mes": ""})
    result = checked(tmp_path, "\n".join(map(json.dumps, rows)))
    assert [(found.code, found.line) for found in result.errors] == [("empty-content", 6)]
    assert (result.summary.chats, result.summary.examples) == (2, 1)


def test_broken_header_is_one_error(tmp_path: Path) -> None:
    result = checked(tmp_path, '{"chat_metadata":{"integ\n' + "\n".join(map(json.dumps, (ASKED, ANSWERED, ASKED))))
    assert [(found.code, found.line) for found in result.errors] == [("invalid-json", 1), ("last-not-assistant", 4)]
    assert result.summary.chats == 1

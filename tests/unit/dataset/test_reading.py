"""Every format is recognised by its content and read without loss."""

from __future__ import annotations

import codecs
import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.dataset.builder import build_dataset
from orchestrator.dataset.rules import DatasetRules
from orchestrator.dataset.summary import Summary

ONE = {"role": "user", "content": "What is one and one?"}
TWO = {"role": "assistant", "content": "Two."}
FRAMED = [{"role": "system", "content": "Be kind."}, ONE, TWO]
HEADER = {"user_name": "Mina", "character_name": "Juniper", "create_date": "2026-1-1", "chat_metadata": {}}


def read(path: Path) -> tuple[list[Any], Summary]:
    built = build_dataset(path, path.parent / "out", DatasetRules(minimum_examples=1))
    return [
        json.loads(line) for line in built.dataset.training.path.read_text("utf-8").splitlines()
    ], built.check_result.summary


def from_bytes(tmp_path: Path, content: bytes, name: str = "data") -> tuple[list[Any], Summary]:
    path = tmp_path / f"{name}.jsonl"
    path.write_bytes(content)
    return read(path)


@pytest.mark.parametrize(
    ("format_name", "value", "messages"),
    [
        ("messages", [ONE, TWO], [ONE, TWO]),
        ("chat", {"messages": [ONE, TWO]}, [ONE, TWO]),
        ("chat", {"messages": [{"role": "system", "content": " "}, ONE, TWO]}, [ONE, TWO]),
        ("chat", {"messages": [ONE | {"name": "mina"}, TWO | {"weight": 0}, ONE, TWO | {"weight": 1}]},
         [ONE | {"name": "mina"}, TWO | {"weight": 0}, ONE, TWO | {"weight": 1}]),
        ("request", {"model": "gpt-4.1", "messages": [ONE, TWO], "temperature": 1, "stream": True}, [ONE, TWO]),
        ("sharegpt", {"conversations": [
            {"from": "system", "value": "Be kind."}, {"from": "human", "value": ONE["content"]},
            {"from": "gpt", "value": "Two."}]}, FRAMED),
        ("sharegpt", {"system": "Be kind.", "id": "7", "conversations": [
            {"from": "Human", "value": ONE["content"]}, {"from": "gpt", "value": "Two.", "weight": None}]}, FRAMED),
        ("alpaca", {"instruction": ONE["content"], "input": "", "output": "Two."}, [ONE, TWO]),
        ("alpaca",
         {"instruction": "Add.", "input": "1 1", "output": "Two.", "system": "Be kind.", "history": [["a", "b"]]},
         [FRAMED[0], {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"},
          {"role": "user", "content": "Add.\n\n1 1"}, TWO]),
        ("completion", {"prompt": f"{ONE['content']}\n\n", "completion": " Two."}, [ONE, TWO]),
    ],
)  # fmt: skip
def test_row_of_each_format_is_read(tmp_path: Path, format_name: str, value: Any, messages: list[Any]) -> None:
    rows, summary = from_bytes(tmp_path, json.dumps(value).encode())
    assert rows == [{"messages": messages}]
    assert summary.formats == {format_name: 1}


def test_left_out_data_is_counted(tmp_path: Path) -> None:
    request = {"model": "gpt-4.1", "messages": [ONE, TWO], "temperature": 1}
    shared = {"conversations": [{"from": "gpt", "value": "Two.", "loss": True}], "id": "7"}
    _, summary = from_bytes(tmp_path, f"{json.dumps(request)}\n{json.dumps(shared)}\n".encode())
    assert summary.left_out == {'key "model"': 1, 'key "temperature"': 1, 'key "id"': 1, 'key "loss"': 1}


def test_tools_images_and_pairs_are_unchanged(tmp_path: Path) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    example = {
        "messages": [
            {"role": "user", "content": [
                {"type": "text", "text": "See?"},
                {"type": "image_url", "image_url": {"url": "https://a.example/x.png", "detail": "low"}},
            ]},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "content": "2", "tool_call_id": "c1"},
            TWO,
        ],
        "parallel_tool_calls": False,
        "tools": [
            {"type": "function", "function": {"name": "add", "description": "d", "parameters": {"type": "object"}}},
        ],
    }  # fmt: skip
    rows, _ = from_bytes(tmp_path, json.dumps(example).encode())
    assert rows == [example]


@pytest.mark.parametrize(
    "value",
    [
        {"input": {"messages": [ONE]}, "preferred_output": [TWO], "non_preferred_output": [TWO | {"content": "3"}]},
        {"prompt": ONE["content"], "chosen": "Two.", "rejected": "3"},
        {"prompt": [ONE], "chosen": [TWO], "rejected": [TWO | {"content": "3"}], "score": 1},
    ],
)
def test_preference_pair_formats_are_read(tmp_path: Path, value: Any) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps(value))
    built = build_dataset(
        path, tmp_path, DatasetRules(minimum_examples=1, method="dpo", base_models=("gpt-4.1-2025-04-14",))
    )
    assert json.loads(built.dataset.training.path.read_text()) == {
        "input": {"messages": [ONE]},
        "non_preferred_output": [{"role": "assistant", "content": "3"}],
        "preferred_output": [TWO],
    }
    assert built.tokens == {"gpt-4.1-2025-04-14": None}


def message(name: str, text: str, *, user: bool = False, **more: Any) -> dict[str, Any]:
    return {"name": name, "is_user": user, "is_system": False, "send_date": "x", "mes": text, **more}


def export(*rows: Any) -> bytes:
    return "\n".join(json.dumps(row) for row in rows).encode()


def test_sillytavern_export_is_read(tmp_path: Path) -> None:
    rows, summary = from_bytes(tmp_path, export(
        HEADER,
        message("Juniper", "Hello {{user}}, I am {{Char}}.", swipes=["Hello", "Hi", "Hey"], swipe_id=0),
        message("Mina", "Hi, <BOT>!", user=True),
        message("System", "a hidden note", is_system=True),
        message("Narrator", "It rains.", extra={"type": "narrator"}),
        message("Juniper", "Shall we, {{user}}?"),
    ))  # fmt: skip
    assert [tuple(message.values()) for message in rows[0]["messages"]] == [
        ("assistant", "Hello Mina, I am Juniper."),
        ("user", "Hi, Juniper!"),
        ("system", "It rains."),
        ("assistant", "Shall we, Mina?"),
    ]
    assert summary.formats == {"sillytavern": 1}
    assert summary.left_out == {"hidden message": 1, "swipe": 2}


def test_newer_export_without_names_in_its_header_is_read(tmp_path: Path) -> None:
    header = {"chat_metadata": {}, "user_name": "unused", "character_name": "unused"}
    rows, _ = from_bytes(
        tmp_path, export(header, message("Mina", "{{char}}?", user=True), message("Juniper", "{{user}}!"))
    )
    assert [message["content"] for message in rows[0]["messages"]] == ["Juniper?", "Mina!"]


def test_group_chat_names_its_speakers(tmp_path: Path) -> None:
    rows, _ = from_bytes(
        tmp_path, export(HEADER, message("Juniper", "I am {{char}}."), message("Moss", "And I am {{char}}."))
    )
    assert [message["content"] for message in rows[0]["messages"]] == [
        "Juniper: I am Juniper.",
        "Moss: And I am Moss.",
    ]


GOOD = json.dumps({"messages": [{"role": "assistant", "content": "Grüße 👋"}]}, ensure_ascii=False)


@pytest.mark.parametrize(
    "content",
    [
        codecs.BOM_UTF8 + f"{GOOD}\r\n\r\n{GOOD}".encode(),
        f"{GOOD}\n{GOOD}\n".encode("utf-16"),
        f"{GOOD}\r\n{GOOD}".encode("utf-16-le"),
        f"{GOOD}\n{GOOD}".encode("utf-16-be"),
        f"{GOOD}\n{GOOD}".encode("utf-32"),
        f"[{GOOD},\n{GOOD}]".encode(),
        f"[{GOOD},{GOOD}]".encode("utf-16"),
        json.dumps([json.loads(GOOD)] * 2, indent=4).replace("\n", "\r\n").encode(),
    ],
)
def test_encodings_and_line_ends_are_read(tmp_path: Path, content: bytes) -> None:
    rows, summary = from_bytes(tmp_path, content)
    assert rows == [json.loads(GOOD)] * 2
    assert summary.chats == summary.examples == 2


def test_format_does_not_depend_on_the_file_name(tmp_path: Path) -> None:
    folder = tmp_path / "chats"
    folder.mkdir()
    (folder / "a.json").write_text(f"{GOOD}\n{GOOD}\n", encoding="utf-8")
    (folder / "b.jsonl").write_text(json.dumps([ONE, TWO], indent=2))
    (folder / "c.JSONL").write_bytes(export(HEADER, message("Juniper", "Hello.")))
    rows, summary = read(folder)
    assert len(rows) == 4
    assert [file.formats for file in summary.files] == [{"chat": 2}, {"messages": 1}, {"sillytavern": 1}]


def test_files_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b.json", "a/z.json", "B.json", "a.json", ".hidden.json", "notes.md"):
        path = tmp_path / "chats" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps([{"role": "assistant", "content": name}]))
    rows, summary = read(tmp_path / "chats")
    assert [row["messages"][0]["content"] for row in rows] == ["B.json", "a.json", "a/z.json", "b.json"]
    assert summary.ignored == (".hidden.json", "notes.md")

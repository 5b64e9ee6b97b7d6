"""The index of a dataset: what its rows contain, and when it is stale."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from orchestrator.dataset.browse.example_index import find_index, get_index_path
from orchestrator.dataset.browse.index_builder import build_index

MODEL = "sandbox-small"


def chat(question: str, answer: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


def write_jsonl(path: Path, *bodies: dict[str, Any]) -> Path:
    path.write_bytes(b"".join(msgspec.json.encode(body) + b"\n" for body in bodies))
    return path


def test_row_has_place_size_tokens_turns_and_findings(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", chat("Grüße", "Yes."), chat("Who?", "Write to jane.doe@acme-corp.com."))
    build_index(path, MODEL)
    index = find_index(path, MODEL)
    assert index is not None
    assert len(index) == 2
    first, second = index
    content = path.read_bytes()
    assert content[second.offset : second.offset + second.size] == content.splitlines(keepends=True)[1]
    assert (first.offset, first.turns, first.flags) == (0, 1, 0)
    assert index.list_codes(first) == ()
    assert index.list_codes(second) == ("email-address",)
    assert index.get_row(1) == second
    assert index.totals.findings == {"email-address": 1}
    assert index.totals.tokens.total == first.tokens + second.tokens
    assert index.totals.turns.counts == (2,)


@pytest.mark.parametrize("change", ["content", "time", "model", "cut", "version", "garbage", "missing"])
def test_stale_or_damaged_index_is_not_used(tmp_path: Path, change: str) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", chat("Who?", "Me."))
    index = build_index(path, MODEL)
    assert index == get_index_path(path)
    assert find_index(path, MODEL) is not None
    content = index.read_bytes()
    model = "gpt-4o" if change == "model" else MODEL
    match change:
        case "content":
            write_jsonl(path, chat("Who?", "Somebody else."))
        case "time":
            os.utime(path, (1, 1))
        case "cut":
            index.write_bytes(content[:-5])
        case "version":
            index.write_bytes(content.replace(b'"version": 1', b'"version": 0'))
        case "garbage":
            index.write_bytes(b"orchidx\n\x05\x00\x00\x00[1]  ")
        case "missing":
            index.unlink()
    assert find_index(path, model) is None


def test_index_is_private_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", chat("Who?", "Me."))
    assert build_index(path, MODEL).stat().st_mode & 0o077 == 0
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.index", "a.jsonl"]

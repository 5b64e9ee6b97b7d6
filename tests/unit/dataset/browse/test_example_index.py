"""The index of a dataset: what its rows contain, and when it is stale."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from time import sleep
from typing import Any

import msgspec
import pytest

from orchestrator.dataset.browse.example_index import find_index, get_index_path
from orchestrator.dataset.browse.index_builder import build_index, delete_surplus_indexes

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
    for name in ("tokens", "turns", "flags", "findings", "prompt_hash", "line_hash"):
        assert index.list_column(name) == [getattr(first, name), getattr(second, name)]
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
    assert list_names(tmp_path) == ["a.index", "a.jsonl"]


def test_what_a_killed_build_left_is_deleted_by_the_next_one(tmp_path: Path) -> None:
    many = write_jsonl(tmp_path / "many.jsonl", *(chat(f"Who is {n}?", "Me. " * 200) for n in range(20_000)))
    command = (sys.executable, "-m", "orchestrator.dataset.browse.index_builder", str(many), MODEL)
    builder = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        while not any(path.stat().st_size for path in tmp_path.glob(".building-*/*.index")):
            assert builder.poll() is None
            sleep(0.01)
    finally:
        builder.kill()
        builder.wait()
    assert any(name.startswith(".building-") for name in list_names(tmp_path))
    build_index(write_jsonl(tmp_path / "a.jsonl", chat("Who?", "Me.")), MODEL)
    assert list_names(tmp_path) == ["a.index", "a.jsonl", "many.jsonl"]


def test_indexes_without_a_file_and_beyond_the_limit_are_deleted(tmp_path: Path) -> None:
    paths = [write_jsonl(tmp_path / f"{name}.jsonl", chat("Who?", "Me.")) for name in "abcd"]
    indexes = [build_index(path, MODEL) for path in paths]
    for time, index in enumerate(indexes):
        os.utime(index, (time, time))
    paths[3].unlink()
    delete_surplus_indexes(tmp_path, keep=indexes[0], limit=2 * indexes[0].stat().st_size)
    assert list_names(tmp_path) == ["a.index", "a.jsonl", "b.jsonl", "c.index", "c.jsonl"]


def list_names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())

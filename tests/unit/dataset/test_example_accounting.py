"""Every file of a folder is read, refused or listed as not read, and the numbers add up."""

from __future__ import annotations

import gzip
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator.dataset.checker import check_dataset
from orchestrator.dataset.formats import FORMATS
from orchestrator.dataset.formats.foreign import FOREIGN_FORMATS
from orchestrator.dataset.formats.sillytavern import SILLYTAVERN
from orchestrator.dataset.rules import DatasetRules
from orchestrator.dataset.summary import CheckResult, FileSummary

CHAT = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]}
EXAMPLES = [*(one.example for one in (*FORMATS, SILLYTAVERN)), *(one.example for one in FOREIGN_FORMATS)]
LINE = json.dumps(CHAT)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
).map(json.dumps)
pieces = st.sampled_from([*EXAMPLES, LINE, "{", "[", "]", "}", ",", "“", "// x", "#", "None", "NaN", "7", "", " "])
texts = st.lists(pieces | json_values | st.text(max_size=20), max_size=6)
joined = st.builds(lambda rows, between: between.join(rows), texts, st.sampled_from(["\n", ",\n", "", "\r\n", " "]))
arrays = texts.map(lambda rows: f"[{','.join(rows)}]")
files = st.one_of(
    (joined | arrays).map(lambda text: text.encode("utf-8", "replace")),
    (joined | arrays).map(lambda text: text.encode("utf-16", "replace")),
    joined.map(lambda text: gzip.compress(text.encode("utf-8", "replace"))),
    st.sampled_from([b"a,b\nc,d\n", b"<html>", b"version https://git-lfs.github.com/spec/v1\n", b"PAR1"]),
    st.binary(max_size=50),
)
names = st.builds(
    lambda folders, stem, ending: "/".join([*folders, stem + ending]),
    st.lists(st.sampled_from(["a", "B", ".git", "linked", "ö x"]), max_size=2),
    st.sampled_from(["a", "b", ".hidden", "train data", "é"]),
    st.sampled_from([".json", ".jsonl", ".NDJSON", ".txt", ".json.gz", ""]),
)
others = st.sampled_from(["link to a folder", "link to a file", "dangling link", "pipe", "empty folder"])


def put(folder: Path, name: str, content: bytes | str) -> None:
    """Make the file, or the thing that is named; what is in the way stays."""
    path = folder / name
    above = [folder / part for part in Path(name).parents if part.name]
    if any(os.path.lexists(part) and (part.is_symlink() or not part.is_dir()) for part in above):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if os.path.lexists(path):
        return
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "pipe":
        os.mkfifo(path)
    elif content == "empty folder":
        path.mkdir()
    else:
        path.symlink_to({"link to a folder": folder.parent / "other"}.get(content, folder.parent / content))


def list_all_files(folder: Path) -> set[str]:
    """Every file and link below the folder, found in another way than the program's."""
    return {
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()
    }


def find_lists_with(one: str, result: CheckResult) -> list[str]:
    """In which of the three the file is."""
    summaries = [file for file in result.summary.files if file.file == one]
    fates = ["not read" for name in result.summary.ignored if _covers(name, one)]
    return fates + ["read" if file.examples else "refused" for file in summaries]


def _covers(name: str, one: str) -> bool:
    return one == name or (name.endswith("/") and f"{one}/".startswith(name))


def is_consistent(file: FileSummary, result: CheckResult) -> bool:
    """No file passes in silence: it has a chat, and where one is refused an error names the file."""
    named = {found.file for found in result.errors}
    return (
        file.chats == file.examples + file.refused > 0
        and sum(file.formats.values()) == file.examples
        and (not file.refused or file.file in named)
    )


@given(st.dictionaries(names, files | others, max_size=6))
@example({"linked": "link to a folder", "a.json": b""})
@example({"a.json": "pipe", "b.json": "dangling link", "c.json": "link to a file", ".d.json": b"[]"})
@example({f"{number}.json": text.encode() for number, text in enumerate(EXAMPLES)})
def test_every_file_is_read_refused_or_listed(mixture: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "chats"
        folder.mkdir()
        put(Path(place), "other/z.json", LINE.encode())
        put(Path(place), "link to a file", LINE.encode())
        for name, content in mixture.items():
            put(folder, name, content)
        result = check_dataset(folder, DatasetRules(minimum_examples=0, method=None))

        assert {
            one: find_lists_with(one, result)
            for one in list_all_files(folder)
            if len(find_lists_with(one, result)) != 1
        } == {}
        assert [file for file in result.summary.files if not is_consistent(file, result)] == []
        assert {file.file for file in result.summary.files} <= list_all_files(folder)
        assert result.summary.chats == result.summary.examples + result.summary.refused
        assert result.summary.chats > 0 or result.errors

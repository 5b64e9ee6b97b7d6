"""A file that is not regular or too large becomes a finding; reading is always bounded."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from orchestrator.core.finding import Finding
from orchestrator.dataset.checker import check_dataset
from orchestrator.dataset.read import source_files

CHAT = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Ahoj."}]
LINE = json.dumps({"messages": CHAT}).encode()


def get_only_error(path: Path) -> Finding:
    (found,) = [one for one in check_dataset(path).errors if one.code != "too-few-examples"]
    return found


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits that a test can reach."""
    monkeypatch.setattr(source_files, "MAX_TEXT_BYTES", 1 << 10)
    monkeypatch.setattr(source_files, "MAX_FILE_BYTES", 8 << 10)


def test_pipe_in_the_folder_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")

    found = get_only_error(tmp_path)

    assert (found.code, found.file) == ("not-a-regular-file", "pipe.json")
    assert "a named pipe" in found.message
    assert "Remove it" in found.hint


def test_link_to_a_device_is_refused(tmp_path: Path) -> None:
    (tmp_path / "zero.jsonl").symlink_to("/dev/zero")

    assert get_only_error(tmp_path).code == "not-a-regular-file"


def test_pipe_instead_of_a_folder_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    found = get_only_error(tmp_path / "pipe")

    assert (found.code, found.file) == ("not-a-regular-file", "pipe")


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_endless_line_is_refused(encoding: str, tmp_path: Path) -> None:
    endless = f"{LINE.decode()}\n{LINE.decode()}\n{'x' * 3000}"
    (tmp_path / "a.jsonl").write_bytes(endless.encode(encoding))

    found = get_only_error(tmp_path)

    assert (found.code, found.file, found.line) == ("text-too-long", "a.jsonl", 3)
    assert found.message == "the line has more than 1 KiB"


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("first", ["[", '{"user_name": "A", "character_name": "B"}'], ids=["document", "export"])
def test_large_json_document_is_refused(first: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("\n".join([first, *[f'{{"mes": "{"x" * 100}", "is_user": true}}'] * 20]))

    found = get_only_error(tmp_path)

    assert (found.code, found.file, found.line) == ("text-too-long", "a.json", 1)
    assert found.message == "the document has more than 1 KiB"


@pytest.mark.usefixtures("small")
def test_many_lines_are_read_one_at_a_time(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"\n".join([LINE] * 40))

    assert check_dataset(tmp_path).errors == ()


@pytest.mark.usefixtures("small")
def test_too_large_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"\n".join([LINE] * 400))

    found = get_only_error(tmp_path)

    assert (found.code, found.message) == ("file-too-large", "the file is not read: it has more than 8 KiB")


def test_sparse_file_takes_no_memory(tmp_path: Path) -> None:
    with (tmp_path / "a.json").open("wb") as file:
        file.truncate(1500 << 20)

    assert get_only_error(tmp_path).code == "text-too-long"

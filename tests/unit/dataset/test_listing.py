"""Every file of a folder is read, refused or listed as not read; none is skipped silently."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from orchestrator.core.errors import DatasetError
from orchestrator.dataset.builder import build_dataset
from orchestrator.dataset.checker import check_dataset
from orchestrator.dataset.polish.polisher import polish_dataset
from orchestrator.dataset.read.source_files import FolderListing, SourceFile, list_folder
from orchestrator.dataset.rules import DatasetRules

CHAT = json.dumps({"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]})
ANY = DatasetRules(minimum_examples=0)


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(CHAT)


@pytest.mark.parametrize("names", [(), ("train.txt",), ("a.jsonl.gz", "b.csv", "c.parquet"), (".a.json",)])
@pytest.mark.parametrize("rules", [ANY, DatasetRules()], ids=["any number", "at least ten"])
def test_dataset_without_readable_files_is_an_error(
    names: tuple[str, ...], rules: DatasetRules, tmp_path: Path
) -> None:
    put(tmp_path, *names)
    (found,) = check_dataset(tmp_path, rules).errors
    assert (found.code, found.file) == ("no-chats", tmp_path.name)
    assert ".json, .jsonl or .ndjson" in found.message
    assert all(name in found.message for name in names)


def test_empty_input_builds_no_dataset(tmp_path: Path) -> None:
    put(tmp_path / "chats", "train.txt")
    with pytest.raises(DatasetError, match=r"no chats found.*train\.txt"):
        build_dataset(tmp_path / "chats", tmp_path / "out", ANY)


def test_too_few_examples_error_names_unread_files(tmp_path: Path) -> None:
    put(tmp_path, "a.json", *(f"{number}.txt" for number in range(7)))
    (found,) = check_dataset(tmp_path, DatasetRules()).errors
    assert found.message.endswith("required; not read: 0.txt, 1.txt, 2.txt, 3.txt, 4.txt and 2 more")


def test_link_to_a_folder_is_reported(tmp_path: Path) -> None:
    put(tmp_path, "other/b.json", "chats/a.json", "chats/sub/c.json")
    (tmp_path / "chats/sub/linked").symlink_to(tmp_path / "other")
    checked = check_dataset(tmp_path / "chats", ANY)
    assert [(found.code, found.file) for found in checked.findings if found.code != "duplicate-example"] == [
        ("folder-link", "sub/linked/")
    ]
    assert checked.summary.ignored == ("sub/linked/",)
    assert check_dataset([tmp_path / "chats"], ANY).summary.ignored == (f"{tmp_path}/chats/sub/linked/",)


def test_link_to_a_file_is_read(tmp_path: Path) -> None:
    put(tmp_path, "other/b.txt")
    put(tmp_path, "chats/a.json")
    (tmp_path / "chats/b.json").symlink_to(tmp_path / "other/b.txt")
    assert check_dataset(tmp_path / "chats", ANY).summary.examples == 2


def test_hidden_files_and_folders_are_listed(tmp_path: Path) -> None:
    put(tmp_path, "a.json", ".git/b.json", ".DS_Store", "sub/.c.json")
    assert check_dataset(tmp_path, ANY).summary.ignored == (".DS_Store", ".git/", "sub/.c.json")


@pytest.fixture
def closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose sub-folder `closed` cannot be listed, also for root, whom no permission stops."""
    put(tmp_path, "a.json", "closed/b.json")
    scandir = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    return tmp_path


def test_unreadable_folder_is_an_error(closed: Path) -> None:
    (found,) = check_dataset(closed, ANY).errors
    assert (found.code, found.file) == ("no-such-path", "closed/")
    assert found.message == "the folder cannot be read: Permission denied"
    assert "chmod" in found.hint


def test_unreadable_dataset_folder_is_an_error(closed: Path) -> None:
    codes = [(found.code, found.file) for found in check_dataset(closed / "closed", ANY).errors]
    assert codes == [("no-such-path", "closed")]


def test_polish_refuses_an_unreadable_folder(closed: Path) -> None:
    with pytest.raises(DatasetError):
        list(polish_dataset(closed))


def test_missing_folder_lists_nothing(tmp_path: Path) -> None:
    listing = list_folder(tmp_path / "gone")
    assert listing == FolderListing()


def test_folder_name_keeps_its_final_dot(tmp_path: Path) -> None:
    within = tmp_path / "Dr." / "et al.."
    within.mkdir(parents=True)
    (within / "chat.json").write_text("{}")
    assert list_folder(tmp_path).readable == ["Dr./et al../chat.json"]


def test_text_of_a_file_has_no_chats() -> None:
    assert "private" not in repr(SourceFile("/chats/a.jsonl", "a.jsonl", 7, b"private"))

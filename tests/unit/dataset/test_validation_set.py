"""The operator's own validation set: never used for training, part of the dataset's identity."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.errors import DatasetError
from orchestrator.dataset.builder import build_dataset
from orchestrator.dataset.checker import check_dataset
from orchestrator.dataset.rules import DatasetRules
from orchestrator.dataset.validation_set import check_split_names


def example(text: str) -> Any:
    return {"messages": [{"role": "user", "content": f"{text}?"}, {"role": "assistant", "content": f"{text}."}]}


def put(path: Path, *texts: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(example(text)) + "\n" for text in texts), encoding="utf-8")
    return path


def read_contents(path: Path) -> list[str]:
    return [json.loads(line)["messages"][1]["content"] for line in path.read_text("utf-8").splitlines()]


def rules(validation: Path | None) -> DatasetRules:
    return DatasetRules(minimum_examples=2, validation_path=validation)


def test_validation_file_becomes_the_validation_part(tmp_path: Path) -> None:
    put(tmp_path / "chats/a.jsonl", "one", "two")
    own = put(tmp_path / "chats/validation.jsonl", "three")  # in the same folder, and not trained with
    built = build_dataset(tmp_path / "chats", tmp_path / "out", rules(own))
    validation = built.dataset.validation
    assert validation is not None
    assert (read_contents(built.dataset.training.path), read_contents(validation.path)) == (
        ["one.", "two."],
        ["three."],
    )
    assert (built.dataset.training.examples, validation.examples) == (2, 1)
    assert [(file.file, file.examples) for file in built.check_result.summary.files] == [
        ("a.jsonl", 2),
        ("validation.jsonl", 1),
    ]
    assert built.check_result.findings == ()


def test_validation_set_is_part_of_the_dataset_identity(tmp_path: Path) -> None:
    folder = put(tmp_path / "chats/a.jsonl", "one", "two").parent
    without = build_dataset(folder, tmp_path / "out", rules(None)).dataset
    first = build_dataset(folder, tmp_path / "out", rules(put(tmp_path / "v1.jsonl", "three"))).dataset
    second = build_dataset(folder, tmp_path / "out", rules(put(tmp_path / "v2.jsonl", "four"))).dataset
    again = build_dataset(folder, tmp_path / "out", rules(put(tmp_path / "sub/v3.jsonl", "three"))).dataset
    assert without.sha256 == without.training.sha256 == first.training.sha256 == second.training.sha256
    assert len({without.sha256, first.sha256, second.sha256}) == 3
    assert first.sha256 == again.sha256


def test_folder_can_be_the_validation_set(tmp_path: Path) -> None:
    put(tmp_path / "chats/a.jsonl", "one", "two")
    put(tmp_path / "chats/val/b.jsonl", "three")
    put(tmp_path / "chats/val/c.jsonl", "four")
    dataset = build_dataset(tmp_path / "chats", tmp_path / "out", rules(tmp_path / "chats/val")).dataset
    assert dataset.validation is not None
    assert (read_contents(dataset.training.path), read_contents(dataset.validation.path)) == (
        ["one.", "two."],
        ["three.", "four."],
    )


def test_example_in_both_sets_is_an_error_with_its_location(tmp_path: Path) -> None:
    folder = put(tmp_path / "chats/a.jsonl", "one", "two").parent
    own = put(tmp_path / "own.jsonl", "three", "two")
    checked = check_dataset(folder, rules(own))
    assert [(one.code, one.file, one.line) for one in checked.errors] == [("validation-overlap", "own.jsonl", 2)]
    with pytest.raises(DatasetError, match="in the training set"):
        build_dataset(folder, tmp_path / "out", rules(own))
    assert list((tmp_path / "out").glob("*.jsonl")) == []


def test_errors_in_the_validation_set_are_reported(tmp_path: Path) -> None:
    folder = put(tmp_path / "chats/a.jsonl", "one", "two").parent
    own = put(tmp_path / "own.jsonl", "three")
    own.write_text(own.read_text() + '{"messages": [{"role": "user", "content": "Hi"}]}\n<|')
    checked = check_dataset(folder, rules(own))
    assert [(one.code, one.file, one.line) for one in checked.errors] == [
        ("no-assistant", "own.jsonl", 2),
        ("invalid-json", "own.jsonl", 3),
    ]
    assert (checked.summary.examples, checked.summary.refused) == (3, 2)
    assert checked.counts == {"no-assistant": 1, "invalid-json": 1}


@pytest.mark.parametrize("name", ["missing.jsonl", "empty.jsonl", "folder"])
def test_validation_set_without_chats_is_an_error(tmp_path: Path, name: str) -> None:
    folder = put(tmp_path / "chats/a.jsonl", "one", "two").parent
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "folder").mkdir()
    with pytest.raises(DatasetError):
        build_dataset(folder, tmp_path / "out", rules(tmp_path / name))


def test_file_named_like_a_split_is_a_warning(tmp_path: Path) -> None:
    for name in ("train", "my_validation", "test", "dev/part"):
        put(tmp_path / f"chats/{name}.jsonl", name)
    found = check_dataset(tmp_path / "chats", rules(None)).warnings
    assert [one.file for one in found if one.code == "split-in-training"] == [
        "dev/part.jsonl",
        "my_validation.jsonl",
        "test.jsonl",
    ]
    own = rules(tmp_path / "chats/my_validation.jsonl")
    left = [one.file for one in check_dataset(tmp_path / "chats", own).warnings if one.code == "split-in-training"]
    assert left == ["dev/part.jsonl", "test.jsonl"]


@pytest.mark.parametrize(
    "name", ["a test of the brakes.json", "evaluation-rules.json", "latest.jsonl", "contest.jsonl", "devices.jsonl"]
)
def test_other_file_names_are_not_splits(name: str) -> None:
    assert list(check_split_names([name, "train.jsonl"])) == []


def test_single_named_file_is_not_a_split() -> None:
    assert list(check_split_names(["test.jsonl"])) == []

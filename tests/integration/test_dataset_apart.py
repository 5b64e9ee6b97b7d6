"""The dataset built in a process of its own: the same outcome, and a clean word when that process is lost."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

import pytest
from machine_speed import scale_seconds

from orchestrator.core.errors import DatasetError
from orchestrator.dataset import apart
from orchestrator.dataset.apart import COMMAND, build_apart, building
from orchestrator.dataset.building import build
from orchestrator.dataset.rules import Rules

RULES = Rules(minimum_examples=1, validation_fraction=0.5, seed=7)


@pytest.fixture
def chats(tmp_path: Path) -> Path:
    folder = tmp_path / "chats"
    folder.mkdir()
    for number in range(4):
        said = [{"role": "user", "content": f"Hello {number}"}, {"role": "assistant", "content": f"Ahoj {number}."}]
        (folder / f"{number}.json").write_text(json.dumps({"messages": said}))
    return folder


def test_it_comes_to_the_same(chats: Path, tmp_path: Path) -> None:
    into = tmp_path / "datasets"

    assert build_apart(chats, into, RULES) == build(chats, into, RULES)


def test_what_is_wrong_with_the_chats_is_told_with_every_finding(chats: Path, tmp_path: Path) -> None:
    (chats / "bad.json").write_text("{")
    with pytest.raises(DatasetError) as here:
        build(chats, tmp_path, RULES)

    with pytest.raises(DatasetError) as apart:
        build_apart(chats, tmp_path, RULES)

    assert (apart.value.message, apart.value.hint) == (here.value.message, here.value.hint)
    assert apart.value.findings == here.value.findings


def test_what_the_system_refuses_is_told_as_it_would_be_here(chats: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(FileExistsError):
        build_apart(chats, tmp_path / "file", RULES)


def test_a_process_that_is_killed_is_explained(chats: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "COMMAND", (sys.executable, "-S", "-c", "import os; os.kill(os.getpid(), 9)"))

    with pytest.raises(DatasetError, match=r"chats could not be checked: .* was killed by signal 9") as raised:
        build_apart(chats, tmp_path, RULES)

    assert "memory" in raised.value.hint


def test_it_ends_with_the_process_that_started_it_and_leaves_nothing(chats: Path, tmp_path: Path) -> None:
    os.mkfifo(chats / "endless.jsonl")  # nobody ever writes into it
    into = tmp_path / "datasets"
    with subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(pickle.dumps((chats, into, RULES)))
        process.stdin.flush()
        while not (into.is_dir() and list(into.iterdir())):  # until it is at work
            time.sleep(0.01)

        process.stdin.close()  # as the system does when the parent is killed

        assert process.wait(scale_seconds(60)) == 1
    assert list(into.iterdir()) == []


def test_whoever_leaves_without_it_does_not_wait_for_it(chats: Path, tmp_path: Path) -> None:
    os.mkfifo(chats / "endless.jsonl")

    with pytest.raises(KeyError), building(chats, tmp_path, RULES):
        raise KeyError

"""The dataset built in a child process: the same result, and a clear error when that process is lost."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from machine_speed import scale_seconds

from orchestrator.core.errors import DatasetError
from orchestrator.dataset import build_process
from orchestrator.dataset.build_process import BUILD_PROCESS_COMMAND, BuildProcess, BuildRequest
from orchestrator.dataset.builder import build_dataset
from orchestrator.dataset.rules import DatasetRules
from orchestrator.dataset.summary import BuildResult
from orchestrator.dataset.working_folder import WORKING_FOLDER_PREFIX, delete_abandoned_folders
from orchestrator.system.child_processes import ChildProcesses

RULES = DatasetRules(minimum_examples=1, validation_fraction=0.5, seed=7)


def build_in_process(
    path: Path, output_folder: Path, rules: DatasetRules, *, memory_bytes: int | None = None
) -> BuildResult:
    with BuildProcess(path, output_folder, rules, memory_bytes=memory_bytes) as build:
        return build.result()


@pytest.fixture
def chats(tmp_path: Path) -> Path:
    folder = tmp_path / "chats"
    folder.mkdir()
    for number in range(4):
        messages = [
            {"role": "user", "content": f"Hello {number}"},
            {"role": "assistant", "content": f"Ahoj {number}."},
        ]
        (folder / f"{number}.json").write_text(json.dumps({"messages": messages}))
    return folder


def test_build_process_has_the_result_of_a_local_build(chats: Path, tmp_path: Path) -> None:
    output = tmp_path / "datasets"

    assert build_in_process(chats, output, RULES) == build_dataset(chats, output, RULES)


def test_build_process_returns_every_finding(chats: Path, tmp_path: Path) -> None:
    (chats / "bad.json").write_text("{")
    with pytest.raises(DatasetError) as local:
        build_dataset(chats, tmp_path, RULES)

    with pytest.raises(DatasetError) as remote:
        build_in_process(chats, tmp_path, RULES)

    assert (remote.value.message, remote.value.hint) == (local.value.message, local.value.hint)
    assert remote.value.findings == local.value.findings


def test_build_process_raises_the_operating_system_error(chats: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(FileExistsError):
        build_in_process(chats, tmp_path / "file", RULES)


def test_killed_build_process_is_explained(chats: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        build_process, "BUILD_PROCESS_COMMAND", (sys.executable, "-S", "-c", "import os; os.kill(os.getpid(), 9)")
    )

    with pytest.raises(DatasetError, match=r"chats could not be checked: .* was killed by signal 9") as raised:
        build_in_process(chats, tmp_path, RULES)

    assert "memory" in raised.value.hint


def test_build_beyond_its_memory_limit_is_explained(chats: Path, tmp_path: Path) -> None:
    line = json.dumps({"messages": [{"role": "user", "content": "x " * (30 << 20)}]})
    (chats / "large.jsonl").write_text(f"{line}\n{line}\n")

    with pytest.raises(DatasetError, match=r"chats could not be checked: .* limit of 160 MB") as raised:
        build_in_process(chats, tmp_path / "datasets", RULES, memory_bytes=160 << 20)

    assert "ORCHESTRATOR_DATASET_MEMORY_MB" in raised.value.hint
    assert list((tmp_path / "datasets").iterdir()) == []


@pytest.fixture
def order(chats: Path, tmp_path: Path) -> BuildRequest:
    """Work of several seconds, much of it within native code."""
    body = json.dumps({"messages": [{"role": "user", "content": "x"}] * 400_000}).encode()
    (chats / "large.jsonl").write_bytes(b"\n".join([body] * 6))
    return BuildRequest(chats, tmp_path / "datasets", RULES, 4 << 30)


@pytest.fixture
def at_work(order: BuildRequest) -> Iterator[subprocess.Popen[bytes]]:
    """The process in the middle of that work."""
    with subprocess.Popen(BUILD_PROCESS_COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(pickle.dumps(order))
        process.stdin.flush()
        while not (order.output_folder.is_dir() and list(order.output_folder.iterdir())):  # until it is at work
            time.sleep(0.01)
        yield process
        process.kill()


def test_build_process_ends_when_its_stdin_closes(at_work: subprocess.Popen[bytes]) -> None:
    assert at_work.stdin is not None
    at_work.stdin.close()  # as the system does when the parent is killed

    assert at_work.wait(scale_seconds(60)) == 1


def test_sigterm_ends_the_build_and_the_next_build_cleans_up(
    at_work: subprocess.Popen[bytes], chats: Path, tmp_path: Path
) -> None:
    at_work.terminate()
    assert at_work.wait(scale_seconds(60)) == -signal.SIGTERM
    output = tmp_path / "datasets"
    assert [path.name[:10] for path in output.iterdir()] == [".building-"]
    (chats / "large.jsonl").unlink()

    built = build_in_process(chats, output, RULES)

    assert built.dataset.validation is not None
    assert set(output.iterdir()) == {built.dataset.training.path, built.dataset.validation.path}


def test_cleanup_keeps_the_folder_of_a_running_build(
    at_work: subprocess.Popen[bytes], chats: Path, tmp_path: Path
) -> None:
    output = tmp_path / "datasets"
    (folder,) = output.iterdir()

    delete_abandoned_folders(output)

    assert folder.is_dir()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it sees the end of its stdin")
def test_linux_kills_the_build_process_with_its_parent(order: BuildRequest) -> None:
    reading, writing = os.pipe()  # held open here: the end of the parent is not the end of the stream
    os.write(writing, pickle.dumps(order))
    command = [sys.executable, "-c", PARENT, str(order.output_folder), *BUILD_PROCESS_COMMAND]
    parent = subprocess.run(command, stdin=reading, capture_output=True, check=True, text=True)
    child = int(parent.stdout)

    for _ in range(6000):
        if not is_alive(child):
            break
        time.sleep(0.01)
    assert not is_alive(child), "the child outlives its parent"
    os.close(reading)
    os.close(writing)
    assert [path.name[:10] for path in order.output_folder.iterdir()] == [".building-"], (
        "it was killed before it was done"
    )


PARENT = """
import os, subprocess, sys, time
into, *command = sys.argv[1:]
child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
while not (os.path.isdir(into) and os.listdir(into)):  # until it is at work
    time.sleep(0.01)
print(child.pid, flush=True)
"""


def is_alive(pid: int) -> bool:
    """Whether it runs; a zombie, which nobody may have waited for, does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_leaving_the_context_does_not_wait_for_the_build(chats: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyError), BuildProcess(chats, tmp_path, RULES):
        raise KeyError


def test_stop_ends_the_wait_for_the_build(chats: Path, tmp_path: Path) -> None:
    children = ChildProcesses()

    with BuildProcess(chats, tmp_path, RULES, children=children) as build:
        children.kill_all()
        with pytest.raises(DatasetError, match="signal 9"):
            build.result()


def test_build_process_cannot_start_without_an_interpreter(
    chats: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    abandoned = tmp_path / f"{WORKING_FOLDER_PREFIX}old"
    abandoned.mkdir()
    monkeypatch.setattr(build_process, "BUILD_PROCESS_COMMAND", (str(tmp_path / "no-python"),))

    with pytest.raises(FileNotFoundError), BuildProcess(chats, tmp_path, RULES):
        pytest.fail("the block ran without a process")

    assert not abandoned.exists()

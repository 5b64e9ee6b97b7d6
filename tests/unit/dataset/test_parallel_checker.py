"""Checks in several processes: the same findings, lines and numbers as in one."""

from __future__ import annotations

import json
import multiprocessing
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from machine_speed import scale_seconds

from orchestrator.core.errors import DatasetError
from orchestrator.core.structs import asdict
from orchestrator.dataset import parallel_checker
from orchestrator.dataset.checker import DatasetChecker
from orchestrator.dataset.formats import FORMATS
from orchestrator.dataset.formats.foreign import FOREIGN_FORMATS
from orchestrator.dataset.formats.sillytavern import SILLYTAVERN
from orchestrator.dataset.parallel_checker import MIN_BYTES_PER_WORKER, PartCheckers, count_workers
from orchestrator.dataset.read.reader import read_chats, read_piece, split_source
from orchestrator.dataset.read.source_files import SMALL_FILE_BYTES, list_source_files
from orchestrator.dataset.rules import DatasetRules
from orchestrator.dataset.tokens.counter import TokenCounter

RULES = DatasetRules(method=None, base_models=("sandbox-small",))
RULES_WITHOUT_TOKENS = DatasetRules(method=None)  # with tokens, each worker would load their ranks
ODD_LINES = (
    '{"messages": [',
    "7",
    '{"messages": []}',
    '{"messages": [{"role": "user", "content": "Hi"}, {"role": "robot", "content": "Beep."}]},',
    '{"messages": [{"role": "user", "content": "Mail jane@acme.com"}, {"role": "assistant", "content": "Done."}]}',
    '{"messages": [{"role": "user", "role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes."}]}',
)
PART_BYTES = 1 << 17  # an eighth of that of the program, so that shorter chats fill as many parts


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel_checker, "PART_BYTES", PART_BYTES)


def iter_rows() -> Iterator[str]:
    """Chats of some ten parts: most are fine, some are duplicates or nearly so, and every twentieth is odd."""
    for number in range(1_600):
        if number % 20 == 0:
            yield ODD_LINES[number // 20 % len(ODD_LINES)]
        words = " ".join(f"word{number % 700}x{index}" for index in range(30))
        messages = [
            {"role": "system", "content": f"You are assistant {number % 3}."},
            {"role": "user", "content": f"My name is Anna. {words} {number % 5}"},
            {"role": "assistant", "content": f"Hello Anna, {words}."},
        ]
        yield json.dumps({"messages": messages})


def write_dataset(folder: Path) -> Path:
    """Write a large file with one chat on each line, and a small file of each format."""
    folder.mkdir()
    large = folder / "a-large.jsonl"
    large.write_text("\n".join(iter_rows()))
    assert large.stat().st_size > SMALL_FILE_BYTES, "it is read piece by piece"
    examples = [*(one.example for one in (*FORMATS, SILLYTAVERN)), *(one.example for one in FOREIGN_FORMATS)]
    for index, example in enumerate(examples):
        (folder / f"b-{index:02}.json").write_text(example)
    (folder / "d-empty.jsonl").write_bytes(b"")
    (folder / "e-table.jsonl").write_bytes(b"PAR1")
    (folder / "f-late-utf16.jsonl").write_bytes("\n".join(iter_rows()).encode("utf-16")[:-1])
    return folder


def test_findings_lines_and_numbers_are_those_of_one_process(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "chats")
    alone, together = DatasetChecker(dataset, RULES), DatasetChecker(dataset, RULES)
    lines = list(alone.iter_lines(workers=1))
    assert len(lines) > 1_000
    assert list(together.iter_lines(workers=2)) == lines
    expected = alone.build_result()
    assert len(expected.counts) > 10
    assert expected.excerpts
    assert asdict(together.build_result()) == asdict(expected)


def test_pieces_of_a_file_have_the_records_of_the_file(tmp_path: Path) -> None:
    for source in list_source_files(write_dataset(tmp_path / "chats")):
        whole = [(record.line, record.findings, record.size) for record in read_chats(source)]
        pieces = list(split_source(source, 50_000))
        split = [record for piece in pieces for record in read_piece(piece)]
        assert [(record.line, record.findings, record.size) for record in split] == whole
        if source.name == "a-large.jsonl":
            assert len(pieces) > 20


def test_killed_process_is_one_clear_message(tmp_path: Path) -> None:
    path = tmp_path / "chats.jsonl"
    path.write_text("\n".join(row for _ in range(4) for row in iter_rows()))
    assert path.stat().st_size > 4 * PART_BYTES
    lines = DatasetChecker(path, RULES_WITHOUT_TOKENS).iter_lines(workers=2)
    next(lines)
    for process in multiprocessing.active_children():
        process.kill()
    with pytest.raises(DatasetError, match="a process that checks a part of them was killed"):
        list(lines)


def test_process_killed_while_it_sends_results_is_the_same_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel_checker, "PART_BYTES", 4 * PART_BYTES)
    path = tmp_path / "chats.jsonl"
    path.write_text("\n".join(row for _ in range(4) for row in iter_rows()))
    receive = Connection.recv

    def kill_after_first_bytes(connection: Connection) -> Any:
        connection.poll(None)
        time.sleep(0.1)  # the rest of the results is more than the connection holds, so the process waits
        for process in multiprocessing.active_children():
            process.kill()
        return receive(connection)

    monkeypatch.setattr(Connection, "recv", kill_after_first_bytes)
    with pytest.raises(DatasetError, match="a process that checks a part of them was killed"):
        list(DatasetChecker(path, RULES_WITHOUT_TOKENS).iter_lines(workers=2))


class FewParts:
    """A connection over which three parts come, and then its end."""

    left = 3

    def recv(self) -> tuple[list[object], bool]:
        if not self.left:
            raise EOFError
        self.left -= 1
        return [], False

    def send(self, outcome: object) -> None:
        pass


def test_results_of_a_part_are_not_kept_while_the_next_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    class Results(list[Any]):
        """A list that can be referred to weakly."""

    given: list[weakref.ref[Results]] = []
    kept: list[Any] = []

    def check(*_: object) -> Results:
        kept.extend(results for reference in given if (results := reference()) is not None)
        results = Results()
        given.append(weakref.ref(results))
        return results

    monkeypatch.setattr(parallel_checker, "_check_pieces", check)
    monkeypatch.setattr(parallel_checker, "die_with_parent", lambda: None)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    parallel_checker._serve_parts(FewParts(), RULES_WITHOUT_TOKENS, False)  # type: ignore[arg-type]
    assert len(given) == 3
    assert not kept


def test_mistake_in_a_process_is_raised_with_its_traceback_and_does_not_end_it() -> None:
    counter = TokenCounter(RULES_WITHOUT_TOKENS.base_models, RULES_WITHOUT_TOKENS.tokenizers)
    with PartCheckers(RULES_WITHOUT_TOKENS, counter, 2) as checkers:
        for _ in range(3):
            wait = checkers.start([(0, None)], 1, False)  # type: ignore[list-item]
            with pytest.raises(AttributeError) as raised:
                wait()
            [note] = raised.value.__notes__
            assert "in read_piece" in note
        assert checkers.start([], 1, False)() == []


def test_processes_end_when_the_caller_stops_early(tmp_path: Path) -> None:
    lines = DatasetChecker(write_dataset(tmp_path / "chats"), RULES_WITHOUT_TOKENS).iter_lines(workers=2)
    next(lines)
    processes = multiprocessing.active_children()
    lines.close()  # type: ignore[attr-defined]
    assert not multiprocessing.active_children()
    assert [process.exitcode for process in processes] == [0, 0], "not killed: they delete their temporary files"
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("part-checker")]


def test_program_ends_when_it_leaves_a_check_unfinished(tmp_path: Path) -> None:
    path = tmp_path / "chats.jsonl"
    path.write_text("\n".join(row for _ in range(8) for row in iter_rows()))
    assert path.stat().st_size > 6 << 20, "more parts than two processes get at once"
    program = """
        import sys
        from pathlib import Path
        from orchestrator.dataset.checker import DatasetChecker
        from orchestrator.dataset.rules import DatasetRules

        lines = DatasetChecker(Path(sys.argv[1]), DatasetRules(method="supervised")).iter_lines(workers=2)
        next(lines)
        sys.exit(7)
    """
    process = subprocess.run((sys.executable, "-c", dedent(program), path), timeout=scale_seconds(60), check=False)
    assert process.returncode == 7


def test_small_datasets_are_checked_in_this_process() -> None:
    assert count_workers(MIN_BYTES_PER_WORKER) == 1
    assert count_workers(0) == 1
    assert count_workers(1 << 40) >= 1

"""Which remote files no run needs any more."""

from __future__ import annotations

import pytest

from orchestrator.core.jobs.job import RunId
from orchestrator.core.jobs.unused_resource import JobFiles, find_unused_files


def a_holding(account: str, run: str, *files: str, ended: bool = True) -> JobFiles:
    return JobFiles(account=account, run_id=RunId(run), ended=ended, files={file: f"{file}.jsonl" for file in files})


@pytest.mark.parametrize(
    ("job_files", "unneeded"),
    [
        ([], []),
        ([a_holding("a", "r1", "f1", "v1"), a_holding("b", "r1", "f2")], ["f1", "v1", "f2"]),
        ([a_holding("a", "r1", "f1"), a_holding("b", "r1", ended=False)], []),  # the run goes on
        ([a_holding("a", "r1", "f1"), a_holding("a", "r2", "f1", ended=False)], []),  # the same file in two runs
        ([a_holding("a", "r1", "f1"), a_holding("a", "r2", "f2", ended=False)], ["f1"]),
        ([a_holding("a", "r1", "f1"), a_holding("b", "r2", "f1", ended=False)], []),  # two accounts on the same key
        ([a_holding("a", "r1", "f1"), a_holding("a", "r2", "f1")], ["f1"]),
    ],
)
def test_unneeded_files_are_found(job_files: list[JobFiles], unneeded: list[str]) -> None:
    actual = find_unused_files(job_files)
    assert [leftover.id for leftover in actual] == unneeded
    assert all(leftover.name == f"{leftover.id}.jsonl" for leftover in actual)

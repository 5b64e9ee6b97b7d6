"""The accounts file changes while the database is away: it is read again once the database is back."""

from __future__ import annotations

from collections.abc import Collection
from types import SimpleNamespace
from typing import Any, cast

import pytest
import structlog
from structlog.testing import capture_logs

from orchestrator.core.config_refusal import ConfigRefusal
from orchestrator.core.errors import ConfigError, DatabaseUnavailable, DatasetError, OrchestratorError
from orchestrator.core.secret import Redactor
from orchestrator.daemon.service import AppliedFile, Service


class RecordingStarter:
    """Receives what the schedule of comparisons calls."""

    def __init__(self) -> None:
        self.started: list[tuple[str, str]] = []
        self.schedules: dict[str, str | None] = {}

    def set_schedule(self, run_name: str, expression: str | None) -> None:
        self.schedules[run_name] = expression

    async def start(self, run_name: str, expression: str) -> None:
        self.started.append((run_name, expression))


def applied(*runs: str, **refusals: OrchestratorError) -> AppliedFile:
    """Return what becomes of a file with these runs, each with a cron line, of which some are refused."""
    names = runs or ("tone",)
    schedules = {name: "0 3 * * *" for name in names if name not in refusals}
    return AppliedFile(runs=names, schedules=schedules, refusals=refusals)


class Stage:
    """A service over an accounts file whose signature and outcomes the test sets."""

    def __init__(self, *outcomes: Exception | AppliedFile | None) -> None:
        self.signature = 1
        self.read = 0
        self.stored: list[ConfigRefusal | None] = []
        self.write_error: Exception | None = None
        self._outcomes = list(outcomes)
        self.requested: list[Collection[str] | None] = []
        self.crons: dict[str, Any] = {}  # the work by the name of the task
        self.starter = RecordingStarter()
        nothing = cast(Any, SimpleNamespace(schedule_cron=self._schedule_cron, wake=lambda: None))
        self.service = Service(
            converge=self._converge,
            signature=lambda: self.signature,
            dispatch=nothing,
            reconciler=nothing,
            heartbeat=cast(Any, SimpleNamespace(set_refusal=self._store)),
            delivery_worker=nothing,
            scheduler=nothing,
            now=lambda: 100.0,
            redact=Redactor(),
            log=structlog.get_logger("test"),
            comparison_starter=cast(Any, self.starter),
        )

    async def _converge(self, only: Collection[str] | None) -> AppliedFile:
        self.read += 1
        self.requested.append(only)
        outcome = self._outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome or applied()

    def _schedule_cron(self, expression: str | None, name: str, work: Any) -> None:
        self.crons.pop(name, None)
        if expression:
            self.crons[name] = work

    async def _store(self, refusal: ConfigRefusal | None) -> None:
        if self.write_error is not None:
            raise self.write_error
        self.stored.append(refusal)

    async def watch(self, times: int) -> list[str]:
        with capture_logs() as lines:
            for _ in range(times):
                await self.service._check_accounts_file()
        return [line["event"] for line in lines]


async def test_accounts_file_is_read_again_after_an_outage() -> None:
    stage = Stage(DatabaseUnavailable("away"), DatabaseUnavailable("away"), None)
    assert await stage.watch(5) == ["accounts_file.changed"]
    assert stage.read == 3
    assert stage.service.problem is None


async def test_a_file_that_is_refused_is_not_read_again_before_it_changes() -> None:
    stage = Stage(DatabaseUnavailable("away"), ConfigError("line 3 is wrong"), None)
    assert await stage.watch(5) == ["accounts_file.changed", "accounts_file.refused"]
    assert stage.read == 2
    assert stage.service.problem is not None
    stage.signature = 2
    assert await stage.watch(2) == ["accounts_file.changed"]
    assert stage.service.problem is None


async def test_reload_error_is_stored_until_an_edit_is_accepted() -> None:
    stage = Stage(ConfigError("line 3 is wrong", hint="Correct it."), DatabaseUnavailable("away"), None)
    for _ in range(3):
        await stage.service.reload()
    refused, accepted = stage.stored  # an outage is no reason to refuse the edit
    assert refused is not None
    assert (refused.cause.message, refused.cause.hint, refused.at) == ("line 3 is wrong", "Correct it.", 100.0)
    assert accepted is None


@pytest.mark.parametrize("write_error", [DatabaseUnavailable("away"), ValueError("a driver's")])
async def test_a_refusal_that_cannot_be_stored_does_not_fail_the_reload(write_error: Exception) -> None:
    stage = Stage(ConfigError("line 3 is wrong"), None)
    stage.write_error = write_error
    with capture_logs() as lines:
        await stage.service.reload()
        refused = stage.service.problem
        await stage.service.reload()
    assert refused is not None
    assert stage.service.problem is None
    assert [line["event"] for line in lines] == [
        "accounts_file.refused",
        "refusal.store_failed",
        "refusal.store_failed",
    ]


async def test_refused_run_is_named_and_the_others_are_scheduled() -> None:
    broken = DatasetError("chats/ has no chats", hint="Add some.")
    stage = Stage(applied("tone", "facts", facts=broken), applied("tone", "facts"))
    with capture_logs() as lines:
        await stage.service.reload()
    assert [(line["event"], line["name"]) for line in lines] == [("run.refused", "facts")]
    problem = stage.service.problem
    assert problem is not None
    assert problem.failure.message == "run facts: chats/ has no chats"
    assert list(stage.service.run_refusals) == ["facts"]
    assert list(stage.crons) == ["schedule tone"]
    await stage.service.reload()
    assert stage.service.problem is None
    assert list(stage.crons) == ["schedule tone", "schedule facts"]


async def test_reload_of_one_run_keeps_the_refusals_of_the_others() -> None:
    first, other = ConfigError("the first is wrong"), ConfigError("the other is wrong")
    runs = ("tone", "facts", "style")
    stage = Stage(applied(*runs, tone=first, facts=other), applied(*runs), applied("tone", "style"))
    await stage.service.reload()
    problem = stage.service.problem
    assert problem is not None
    assert problem.cause.message == "2 runs were refused"
    assert problem.findings == ("run tone: the first is wrong.", "run facts: the other is wrong.")
    await stage.crons["schedule style"]()  # as the scheduler does
    assert stage.requested == [None, ["style"]]
    assert list(stage.service.run_refusals) == ["tone", "facts"]
    await stage.service.reload(["tone"])
    assert list(stage.service.run_refusals) == [], "facts is not in the file any more"
    assert set(stage.crons) == {"schedule style", "schedule tone"}


async def test_reload_of_one_run_becomes_a_full_one_if_the_file_has_changed() -> None:
    stage = Stage(applied(), applied(), DatabaseUnavailable("away"), applied())
    await stage.service.reload(["tone"])
    stage.signature = 2
    await stage.service.reload(["tone"])
    await stage.service.reload(["tone"])
    await stage.service.reload(["tone"])  # the run that the outage interrupted may have been another one
    assert stage.requested == [None, None, ["tone"], None]


async def test_start_with_nothing_but_refused_runs_raises() -> None:
    stage = Stage(applied("tone", tone=DatasetError("chats/ has no chats")))
    stage.service._heartbeat = cast(Any, SimpleNamespace(check_clock=_do_nothing))
    with pytest.raises(DatasetError, match="no chats"):
        await stage.service.start()


async def _do_nothing() -> None:
    pass


async def test_comparisons_are_started_at_the_times_of_their_schedule() -> None:
    line = "0 6 * * mon"
    first = AppliedFile(runs=["tone"], schedules={"tone": None}, refusals={}, comparison_schedules={"tone": line})
    removed = AppliedFile(runs=["tone"], schedules={"tone": None}, refusals={}, comparison_schedules={"tone": None})
    stage = Stage(first, removed)
    await stage.service.reload()
    assert list(stage.crons) == ["comparison tone"]
    await stage.crons["comparison tone"]()
    assert stage.starter.started == [("tone", line)]
    await stage.service.reload()
    assert not stage.crons


async def test_comparisons_of_a_removed_run_are_not_started() -> None:
    first = AppliedFile(
        runs=["tone"], schedules={"tone": None}, refusals={}, comparison_schedules={"tone": "0 6 * * mon"}
    )
    stage = Stage(first, AppliedFile(runs=["other"], schedules={"other": None}, refusals={}))
    await stage.service.reload()
    assert stage.starter.schedules == {"tone": "0 6 * * mon"}
    await stage.service.reload()
    assert not stage.crons
    assert stage.starter.schedules == {"tone": None, "other": None}

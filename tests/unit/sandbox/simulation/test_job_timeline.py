"""Timelines of sandbox jobs: pure functions of the records."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sandbox_jobs import job

from orchestrator.core.structs import replace
from orchestrator.sandbox.records import SandboxJob
from orchestrator.sandbox.simulation.job_timeline import NEVER, Timeline, build_timelines


def course(**changes: Any) -> Timeline:
    return build_timelines([job(**changes)], 3)["ftjob-1"]


@pytest.mark.parametrize(
    ("now", "status"),
    [(100, "validating_files"), (110, "queued"), (115, "running"), (214.9, "running"), (215, "succeeded")],
)
def test_job_without_faults_follows_the_plain_timeline(now: float, status: str) -> None:
    assert course().get_status(now) == status


@pytest.mark.parametrize(
    ("changes", "ended", "started", "outcome"),
    [
        ({"files_ready_at": 130.0}, 245, 145, "succeeded"),
        ({"files_ready_at": 130.0, "problem": {"code": "x"}}, 140, NEVER, "failed"),
        ({"files_ready_at": 130.0, "cancelled_at": 135.0}, 135, NEVER, "cancelled"),
        ({"cancelled_at": 105.0}, 105, NEVER, "cancelled"),
        ({"cancelled_at": 112.0}, 112, NEVER, "cancelled"),
        ({"cancelled_at": 120.0}, 120, 115, "cancelled"),
        ({"problem": {"code": "x"}}, 110, NEVER, "failed"),
        ({"problem": {"code": "x"}, "cancelled_at": 105.0}, 105, NEVER, "cancelled"),
        ({"fate": {"fail_job": {"seconds": 0}}}, 165, 115, "failed"),
        ({"fate": {"fail_job": {"seconds": 7}}}, 122, 115, "failed"),
        ({"fate": {"unknown_status": {"seconds": 9}}}, 224, 115, "succeeded"),
        ({"pauses": [[120.0, 150.0], [160.0, 165.0]]}, 250, 115, "succeeded"),
        ({"pauses": [[120.0, None]]}, NEVER, 115, "succeeded"),
        ({"pauses": [[120.0, None]], "cancelled_at": 130.0}, 130, 115, "cancelled"),
    ],
)
def test_job_ends_as_its_faults_say(changes: dict[str, Any], ended: float, started: float, outcome: str) -> None:
    timeline = course(**changes)
    assert (timeline.ended, timeline.started, timeline.outcome) == (ended, started, outcome)


def test_pause_delays_all_later_stages() -> None:
    timeline = course(pauses=[[125.0, 145.0]])
    assert [timeline.get_status(now) for now in (124, 125, 144, 145)] == ["running", "paused", "paused", "running"]
    assert timeline.find_time_of_share(0.1) == 125
    assert timeline.find_time_of_share(0.5) == 185


def test_cancelled_job_skips_later_stages() -> None:
    timeline = course(cancelled_at=165.0)
    assert timeline.find_time_of_share(0.5) == 165
    assert timeline.find_time_of_share(0.51) == NEVER
    assert timeline.model_available == NEVER


def test_model_id_can_appear_later() -> None:
    assert course(fate={"no_model_id": {"seconds": 4}}).model_available == 219


def test_slots_are_assigned_in_order_and_freed_at_every_end() -> None:
    jobs = [job(id=str(n), created_at=100.0 + n) for n in range(5)]
    jobs[1] = replace(jobs[1], cancelled_at=130.0)
    jobs[2] = replace(jobs[2], problem={"code": "x"})
    timelines = build_timelines(jobs, 2)
    assert [timelines[str(n)].started for n in range(5)] == [115, 116, NEVER, 130, 215]


Action = tuple[str, int, float]
actions = st.lists(
    st.tuples(st.sampled_from(["create", "cancel", "pause", "resume"]), st.integers(0, 7), st.floats(0.1, 60)),
    max_size=25,
)


@given(actions, st.integers(1, 3))
def test_actions_never_change_past_events(steps: list[Action], slots: int) -> None:
    now, jobs, observed = 100.0, list[SandboxJob](), dict[tuple[str, float], str]()
    for verb, number, wait in steps:
        jobs = act(jobs, verb, number, now, slots)
        timelines = build_timelines(jobs, slots)
        observed |= {(name, now): timeline.get_status(now) for name, timeline in timelines.items()}
        assert all(timelines[name].get_status(at) == status for (name, at), status in observed.items())
        at_work = [status for (_, at), status in observed.items() if at == now and status in {"running", "paused"}]
        assert len(at_work) <= slots
        now += wait


def act(jobs: list[SandboxJob], verb: str, number: int, now: float, slots: int) -> list[SandboxJob]:
    """Apply an operator's action, or nothing if the status does not allow it."""
    if verb == "create":
        return [*jobs, job(id=f"ftjob-{len(jobs)}", created_at=now)]
    if number >= len(jobs):
        return jobs
    chosen = jobs[number]
    status = build_timelines(jobs, slots)[chosen.id].get_status(now)
    if verb == "cancel" and status not in {"succeeded", "failed", "cancelled"}:
        chosen = replace(chosen, cancelled_at=now)
    elif verb == "pause" and status == "running":
        chosen = replace(chosen, pauses=[*chosen.pauses, [now, None]])
    elif verb == "resume" and status == "paused":
        chosen = replace(chosen, pauses=[*chosen.pauses[:-1], [chosen.pauses[-1][0], now]])
    return [chosen if n == number else other for n, other in enumerate(jobs)]

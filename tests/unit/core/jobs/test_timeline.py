from __future__ import annotations

import pytest

from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.jobs.timeline import (
    HoldSpan,
    Phase,
    PhaseSpan,
    StateChange,
    build_job_timeline,
    sum_phases,
)

STEPS = [
    (0, "planned", None, "planned"),
    (10, "upload started", "planned", "uploading"),
    (15, "file uploaded", "uploading", "processing"),
    (40, "file ready", "processing", "ready"),
    (100, "submit started", "ready", "submitting"),
    (102, "remote job created", "submitting", "queued"),
    (130, "remote started", "queued", "running"),
    (430, "remote succeeded", "running", "succeeded"),
]


def changes(*rows: tuple[float, str, str | None, str | None]) -> list[StateChange]:
    return [StateChange(at=at, note=note, before=before, after=after) for at, note, before, after in rows]


def phases(spans: tuple[PhaseSpan, ...]) -> list[tuple[str, float]]:
    return [(span.phase.value, span.seconds) for span in spans]


def test_finished_job_has_every_phase_without_gaps() -> None:
    timeline = build_job_timeline(JobState.SUCCEEDED, 0, changes(*STEPS), now=9999)
    assert phases(timeline.spans) == [
        ("before_upload", 10),
        ("upload", 5),
        ("processing", 25),
        ("waiting_for_slot", 60),
        ("submit", 2),
        ("queued", 28),
        ("training", 300),
    ]
    assert all(one.end == other.start for one, other in zip(timeline.spans, timeline.spans[1:], strict=False))
    assert (timeline.seconds, timeline.work_start) == (430, 10)


def test_open_job_lasts_until_now() -> None:
    timeline = build_job_timeline(JobState.READY, 0, changes(*STEPS[:4]), now=70)
    assert phases(timeline.spans)[-1] == ("waiting_for_slot", 30)


@pytest.mark.parametrize(
    ("held", "released", "expected"),
    [
        (2, 6, [("before_upload", 2), ("on_hold", 4), ("before_upload", 4), ("upload", 5), ("processing", 25)]),
        (0, None, [("on_hold", 10), ("upload", 5), ("processing", 25)]),
        (20, 30, [("before_upload", 10), ("upload", 5), ("processing", 25)]),
    ],
)
def test_hold_is_a_phase_while_the_next_step_is_the_services_own(
    held: float, released: float | None, expected: list[tuple[str, float]]
) -> None:
    rows = [(held, "held", None, None), *([(released, "released", None, None)] if released else [])]
    ordered = sorted([*STEPS[:4], *rows], key=lambda row: row[0])
    timeline = build_job_timeline(JobState.READY, 0, changes(*ordered), now=40)
    assert phases(timeline.spans)[: len(expected)] == expected
    assert timeline.work_start == 10


def test_account_on_hold_that_sent_nothing_has_no_work() -> None:
    timeline = build_job_timeline(JobState.PLANNED, 0, changes((5, "held", None, None)), now=50)
    assert phases(timeline.spans) == [("before_upload", 5), ("on_hold", 45)]
    assert timeline.work_start == timeline.end == 50


def test_time_before_a_retry_counts_as_stopped() -> None:
    failed = [*STEPS[:2], (20, "gave up", "uploading", "failed"), (50, "retried", "failed", "planned")]
    timeline = build_job_timeline(JobState.PLANNED, 0, changes(*failed), now=60)
    assert phases(timeline.spans) == [("before_upload", 10), ("upload", 10), ("stopped", 30), ("before_upload", 10)]


def test_pruned_history_is_not_guessed() -> None:
    timeline = build_job_timeline(JobState.SUCCEEDED, 0, changes(STEPS[-1]), now=9999)
    assert phases(timeline.spans) == [("not_recorded", 430)]
    assert phases(build_job_timeline(JobState.RUNNING, 0, [], now=5).spans) == [("not_recorded", 5)]


def test_clock_that_was_set_back_makes_no_negative_span() -> None:
    timeline = build_job_timeline(
        JobState.PROCESSING, 0, changes(*STEPS[:2], (4, "file uploaded", "uploading", "processing")), now=8
    )
    assert all(span.seconds >= 0 for span in timeline.spans)
    assert timeline.end == 10


@pytest.mark.parametrize(
    ("rows", "holds"),
    [
        (
            [(20, "held", "processing", "processing"), (30, "released", "processing", "processing")],
            [HoldSpan(20, 30)],
        ),
        ([(20, "held", None, None), (25, "held", "processing", "processing")], [HoldSpan(20, 60)]),
        ([(20, "held", None, None), (30, "released", None, None)], [HoldSpan(20, 30)]),
        ([(20, "held", None, None), (50, "file ready", "processing", "ready")], [HoldSpan(20, 50)]),
    ],
)
def test_hold_ends_with_its_release_or_the_next_state(
    rows: list[tuple[float, str, str | None, str | None]], holds: list[HoldSpan]
) -> None:
    timeline = build_job_timeline(JobState.PROCESSING, 0, changes(*STEPS[:3], *rows), now=60)
    assert list(timeline.holds) == holds


def test_phases_are_summed_with_the_longest_account() -> None:
    short = build_job_timeline(JobState.PROCESSING, 0, changes(*STEPS[:3]), now=20)
    long = build_job_timeline(JobState.SUCCEEDED, 0, changes(*STEPS), now=9999)
    totals = sum_phases([("a", short), ("b", long)])
    assert [each.phase for each in totals][:2] == [Phase.TRAINING, Phase.SLOT]
    processing = next(each for each in totals if each.phase is Phase.PROCESSING)
    assert (processing.jobs, processing.total, processing.median, processing.longest) == (2, 30, 15, 25)
    assert processing.longest_account == "b"
    assert sum(each.share for each in totals) == pytest.approx(1)


def test_longest_job_of_a_phase_is_named() -> None:
    short = build_job_timeline(JobState.READY, 0, changes(*STEPS[:4]), now=41)
    longer = build_job_timeline(JobState.READY, 0, changes(*STEPS[:4]), now=70)
    for order in ([("a", longer), ("z", short)], [("z", longer), ("a", short)]):
        (waiting,) = (each for each in sum_phases(order) if each.phase is Phase.SLOT)
        assert (waiting.longest, waiting.longest_account) == (30, order[0][0])
        assert (waiting.jobs, waiting.total, waiting.median) == (2, 31, 15.5)

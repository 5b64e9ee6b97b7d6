from __future__ import annotations

import pytest

from orchestrator.core.jobs.end_range import EndRange, OpenJobs, estimate_end_range
from orchestrator.core.jobs.poll_interval import EndWindow

RUNNING = OpenJobs(window=EndWindow(600, 900), last_submitted=1000, estimated_finish=None)
PLANNED = OpenJobs(window=EndWindow(600, 900), last_submitted=None, estimated_finish=None)
QUOTED = OpenJobs(window=None, last_submitted=1000, estimated_finish=1300)
UNKNOWN = OpenJobs(window=None, last_submitted=1000, estimated_finish=None)


@pytest.mark.parametrize(
    ("jobs", "expected"),
    [
        ([RUNNING], EndRange(1600, 1900)),
        ([RUNNING, PLANNED], EndRange(1700, 2000)),
        ([QUOTED], EndRange(1280, 1320)),
        ([RUNNING, UNKNOWN], None),
        ([], None),
    ],
)
def test_range_covers_the_last_open_job(jobs: list[OpenJobs], expected: EndRange | None) -> None:
    assert estimate_end_range(jobs, 1100) == expected


def test_overdue_job_does_not_end_in_the_past() -> None:
    assert estimate_end_range([RUNNING], 5000) == EndRange(5000, 5000)

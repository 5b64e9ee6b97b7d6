from __future__ import annotations

from typing import Any

import pytest

from orchestrator.status import RunOverview, RunView, StateCount

NOW = 1_000_000.0


def share(state: str, provider: str = "openai", **values: Any) -> StateCount:
    known: dict[str, Any] = {"count": 1, "usd": 1.0, "submitted_usd": 0.0, "unknown": 0}
    known |= dict.fromkeys(("lasted", "last_submitted", "estimated_finish"))
    return StateCount(provider=provider, state=state, **known | values)


@pytest.mark.parametrize(
    ("shares", "end"),
    [
        ([], None),
        ([share("succeeded", lasted=60.0)], None),
        ([share("running")], None),
        ([share("running", estimated_finish=NOW + 90, last_submitted=NOW)], NOW + 90),
        ([share("running", estimated_finish=NOW - 90)], NOW),
        ([share("succeeded", lasted=60.0), share("running", last_submitted=NOW - 20)], NOW + 40),
        ([share("succeeded", lasted=60.0), share("planned")], NOW + 60),
        ([share("succeeded", lasted=60.0), share("held"), share("failed")], None),
        ([share("succeeded", lasted=60.0), share("planned", "together")], NOW + 60),
        ([share("succeeded", "nebius", lasted=60.0), share("succeeded", lasted=30.0), share("planned")], NOW + 30),
        ([share("queued", estimated_finish=NOW + 5), share("running", "together")], None),
    ],
)
def test_estimated_end_of_the_last_job(shares: list[StateCount], end: float | None) -> None:
    assert glance(shares).estimate_end(NOW) == end


def glance(shares: list[StateCount]) -> RunOverview:
    values: dict[str, Any] = dict.fromkeys(RunView.__struct_fields__)
    return RunOverview(run=RunView(**values), current=True, state_counts=tuple(shares), problem_groups=(), labels=())

from __future__ import annotations

from core_values import NOW, PERMANENT_HOLD, a_run

from orchestrator.core.hold import SELF_RELEASING_HOLD_KINDS
from orchestrator.core.jobs.job import RunId
from orchestrator.core.moderation import Moderation, ModerationProgress, ModerationStatus
from orchestrator.core.structs import replace


def test_run_with_the_highest_priority_gets_the_slot_then_the_oldest() -> None:
    low, high = a_run(priority=1, created_at=NOW), a_run(priority=2, created_at=NOW + 5)
    older = replace(high, created_at=NOW + 1)
    first, second = replace(older, id=RunId("a")), replace(older, id=RunId("b"))
    assert sorted([low, high, second, first], key=lambda run: run.rank) == [first, second, high, low]


def test_hold_that_needs_an_operator_comes_before_one_that_ends_by_itself() -> None:
    assert a_run().holds == ()
    assert a_run(hold=PERMANENT_HOLD).holds == (PERMANENT_HOLD,)
    missing = Moderation(state=ModerationStatus.MISSING, by="", at=NOW, progress=ModerationProgress())
    waiting = missing.hold
    assert waiting is not None
    assert waiting.kind in SELF_RELEASING_HOLD_KINDS
    assert a_run(hold=PERMANENT_HOLD, moderation=missing).holds == (PERMANENT_HOLD, waiting)
    assert a_run(moderation=missing).holds == (waiting,)

from __future__ import annotations

import json

import pytest
from core_values import NOW

from orchestrator.core.hold import HoldKind
from orchestrator.core.moderation import Moderation, ModerationProgress, ModerationStatus
from orchestrator.core.structs import replace

MISSING = Moderation(state=ModerationStatus.MISSING, by="acme", at=NOW, reason="the API failed", hint="Wait.")
PROGRESS = ModerationProgress(judged=3, total=9, finish_at=NOW + 60, replica="r-1")


@pytest.mark.parametrize("state", [ModerationStatus.PASSED, ModerationStatus.WAIVED])
def test_moderated_run_is_not_held(state: ModerationStatus) -> None:
    assert replace(MISSING, state=state, progress=PROGRESS).hold is None


def test_missing_moderation_holds_the_run_with_its_reason_and_hint() -> None:
    hold = MISSING.hold
    assert hold is not None
    assert (hold.kind, hold.hint) == (HoldKind.NOT_MODERATED, "Wait.")
    assert hold.reason == "the chats were not moderated: the API failed"
    without_hint = replace(MISSING, hint="").hold
    assert without_hint is not None
    assert without_hint.hint


def test_running_moderation_needs_no_operator_and_its_hold_does_not_change_with_the_progress() -> None:
    running = replace(MISSING, progress=PROGRESS)
    hold = running.hold
    assert hold is not None
    assert (hold.kind, hold.reason) == (HoldKind.MODERATING, "the chats are being moderated")
    assert hold == replace(running, progress=replace(PROGRESS, judged=8)).hold


def test_moderation_that_is_tried_again_names_the_time() -> None:
    hold = replace(MISSING, progress=replace(PROGRESS, attempts=2, retry_at=NOW)).hold
    assert hold is not None
    assert (hold.kind, hold.reason) == (HoldKind.MODERATING, "the moderation has no result yet: the API failed")
    assert hold.hint.startswith("Wait. The next attempt is at 1970-01-12")
    bare = replace(MISSING, hint="", progress=replace(PROGRESS, retry_at=NOW)).hold
    assert bare is not None
    assert bare.hint.startswith("The next attempt")


@pytest.mark.parametrize("progress", [None, PROGRESS])
def test_stored_record_is_read_unchanged(progress: ModerationProgress | None) -> None:
    record = replace(MISSING, texts=4, progress=progress)
    assert Moderation.from_dict(json.loads(json.dumps(record.as_dict()))) == record


def test_record_of_an_earlier_version_has_neither_hint_nor_progress() -> None:
    values = {"state": "passed", "by": "acme", "at": NOW, "texts": 4, "reason": ""}
    record = Moderation.from_dict(values)
    assert (record.state, record.texts, record.hint, record.progress) == (ModerationStatus.PASSED, 4, "", None)

"""A moderation that continues by itself: the banner says so, and nobody is asked to do without it."""

from __future__ import annotations

from typing import Any

import pytest
from web_values import HEALTHY, NOW, glance_of, job, listing_of, run, status

from orchestrator.cli.output import format_title
from orchestrator.core.jobs.operator_action import OperatorAction
from orchestrator.core.moderation import NOT_MODERATED_HINT, Moderation, ModerationProgress, ModerationStatus
from orchestrator.core.structs import replace
from orchestrator.status import StatusSnapshot
from orchestrator.status.moderation import moderation_to_dict
from orchestrator.web.dashboard.page_query import ROWS_PER_PAGE, PageQuery
from orchestrator.web.dashboard.run_page import RunPage, build_run_page

IN_PROGRESS = ModerationProgress(judged=1_500, total=90_000, finish_at=NOW + 6_000)
OUTAGE = "account acme: provider_unavailable: no response from the provider (ConnectError)"


def record(**values: Any) -> Moderation:
    return replace(Moderation(state=ModerationStatus.MISSING, by="acme", at=NOW, progress=IN_PROGRESS), **values)


def shown(moderation: Moderation) -> StatusSnapshot:
    hold = moderation.hold
    assert hold is not None
    waiting = job("a", "planned", held=True, error=hold.failure)
    return status(waiting, holds=[hold.failure], moderation=moderation_to_dict(moderation))


def page(of: StatusSnapshot) -> RunPage:
    query = PageQuery()
    return build_run_page(glance_of(of), listing_of(of, query.job_filter, ROWS_PER_PAGE, 0), HEALTHY, query, NOW)


def test_banner_shows_moderation_progress() -> None:
    snapshot = shown(record())
    view = page(snapshot)
    assert (view.headline, view.tone) == ("The chats are being moderated", "busy")
    [notice] = view.notices
    assert notice.action is None
    assert notice.failure.message == (
        "the chats are being moderated: 1,500 of 90,000 texts are moderated (1%) by account acme; "
        "done at about 2026-09-21 15:53:20 UTC"
    )
    assert view.attention_items == ()
    assert not snapshot.settled, "it needs no person"
    assert (format_title(snapshot) or "").splitlines()[1].startswith("1,500 of 90,000 texts are moderated (1%)")


def test_outage_banner_names_the_next_attempt_without_a_waiver() -> None:
    waits = replace(IN_PROGRESS, attempts=3, retry_at=NOW + 300)
    snapshot = shown(record(progress=waits, reason=OUTAGE, hint="Nothing to do: it is tried again."))
    view = page(snapshot)
    assert (view.headline, view.tone) == ("The moderation service is not responding", "warn")
    [notice] = view.notices
    assert notice.action is None
    assert OUTAGE in notice.failure.message
    assert notice.failure.hint.endswith("The next attempt is at 2026-09-21 14:18:20 UTC.")
    assert "waive" not in notice.failure.hint
    assert not snapshot.settled


@pytest.mark.parametrize(("hint", "verb"), [(NOT_MODERATED_HINT, OperatorAction.WAIVE), ("Correct the key.", None)])
def test_waive_button_is_shown_where_the_hint_names_it(hint: str, verb: OperatorAction | None) -> None:
    snapshot = shown(record(progress=None, reason="account acme: 401", hint=hint))
    view = page(snapshot)
    assert (view.headline, [notice.action for notice in view.notices]) == ("The run is on hold", [verb])
    assert snapshot.settled


def test_the_title_of_a_moderated_run_is_one_line() -> None:
    assert format_title(StatusSnapshot(run=run())) == f"{run().name} · run {run().id}"

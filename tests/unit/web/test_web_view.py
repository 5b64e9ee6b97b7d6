from __future__ import annotations

from dataclasses import replace

import pytest
from web_values import FINE, NOW, REFUSED, glance_of, job, listing_of, ready, run, status

from orchestrator.core.errors import Failure
from orchestrator.core.lifecycle import State
from orchestrator.core.verb import Verb
from orchestrator.status import HELD, Cause, Health, JobView, Status
from orchestrator.web.dashboard.paged import PAGE_ROWS
from orchestrator.web.dashboard.run import View, look
from orchestrator.web.dashboard.tone import MEANING, TONES
from orchestrator.web.dashboard.trouble import Notice, warned
from orchestrator.web.query import Query

BROKE = Failure("quota_exhausted", "no credit is left", "Add credit.")
TOO_DEAR = Failure("run_too_dear", "the run is estimated at $50.00", "Approve it.")


def seen(shown: Status, query: Query | None = None, health: Health = FINE) -> View:
    query = query or Query()
    listing = listing_of(shown, query.selection, PAGE_ROWS, (query.page - 1) * PAGE_ROWS)
    return look(glance_of(shown), listing, health, query, NOW)


def accounts(view: View) -> list[str]:
    return [row.account for row in view.rows]


def test_every_state_has_a_tone_and_a_meaning() -> None:
    assert set(TONES) == set(MEANING) == {*State, HELD}


@pytest.mark.parametrize(
    ("shown", "headline", "tone"),
    [
        (Status(run=None), "No run yet", "calm"),
        (status(job("a", "running"), ready("b")), "Going well", "busy"),
        (status(ready("a"), ready("b")), "Every model is ready", "good"),
        (status(ready("a"), job("b", "cancelled")), "Over: 1 of 2 models ready", "off"),
        (status(job("a", "failed", error=BROKE), job("b", "running")), "1 account needs you", "bad"),
        (status(job("a", "failed"), job("b", "planned", held=True)), "2 accounts need you", "bad"),
        (status(job("a", "planned", held=True, error=TOO_DEAR), holds=[TOO_DEAR]), "The run is held", "warn"),
        (status(job("a", "ready"), started=False), "Files only; `orchestrator start` starts the training", "calm"),
    ],
)
def test_the_headline_says_whether_it_goes_well(shown: Status, headline: str, tone: str) -> None:
    view = seen(shown)
    assert (view.headline, view.tone) == (headline, tone)


def test_the_bar_is_all_jobs_and_no_more() -> None:
    view = seen(status(ready("a"), job("b", "running"), job("c", "queued"), job("d", "planned", held=True)))
    assert [(part.tone, part.start, part.length) for part in view.segments] == [
        ("good", 0, 250),
        ("busy", 250, 500),
        ("warn", 750, 250),
    ]
    assert seen(status()).segments == ()


def test_counts_are_of_the_whole_run_and_not_of_the_filter() -> None:
    view = seen(status(ready("a"), job("b", "running"), job("c", "running", held=True)), Query(state="succeeded"))
    assert [(chip.state, chip.count, chip.chosen) for chip in view.chips] == [
        ("succeeded", 1, True),
        ("running", 1, False),
        ("held", 1, False),
    ]
    assert (view.ready, view.total, view.matching) == (1, 3, 1)


def test_a_chip_keeps_the_rest_and_turns_off_what_it_turned_on() -> None:
    view = seen(status(ready("a"), job("b", "running")), Query(state="running", text="", label="b c", page=3))
    assert [chip.href for chip in view.chips] == ["/?state=succeeded&label=b+c", "/?label=b+c"]


def test_a_chosen_state_that_emptied_stays_on_the_page() -> None:
    view = seen(status(ready("a")), Query(state="running"))
    assert [(chip.state, chip.count) for chip in view.chips] == [("succeeded", 1), ("running", 0)]
    assert view.rows == ()


def test_a_held_job_is_found_as_held_and_not_as_its_state() -> None:
    shown = status(job("a", "running", held=True), job("b", "running"))
    assert accounts(seen(shown, Query(state="held"))) == ["a"]
    assert accounts(seen(shown, Query(state="running"))) == ["b"]


def test_pages_cover_every_job_once() -> None:
    shown = status(*(job(f"a{number:05}", "queued") for number in range(PAGE_ROWS * 2 + 1)))
    pages = [seen(shown, Query(page=page)) for page in (1, 2, 3)]
    assert [len(page.rows) for page in pages] == [PAGE_ROWS, PAGE_ROWS, 1]
    assert [name for page in pages for name in accounts(page)] == [each.account for each in shown.jobs]
    assert [page.first for page in pages] == [1, 51, 101]
    assert {page.pages for page in pages} == {3}
    assert pages[0].at(2) == "/?page=2"


@pytest.mark.parametrize("page", ["", "0", "-1", "1.5", "x", "٣", "9" * 30])
def test_a_page_that_makes_no_sense_is_the_first(page: str) -> None:
    assert Query.of({"page": page}) == Query()


def test_a_query_comes_back_from_its_address() -> None:
    query = Query(state="failed", provider="openai", label="eu", error="e", text="a&b=c #ü", run="r", page=7)
    assert query.href == "/?state=failed&provider=openai&label=eu&error=e&q=a%26b%3Dc+%23%C3%BC&run=r&page=7"
    assert Query.of(query.values | {"q": " a&b=c #ü "}) == query


def test_troubles_are_grouped_by_cause_the_largest_first() -> None:
    failed = [
        job(f"f{number}", "failed", error=replace(REFUSED, message=f"project {number} may not train"))
        for number in range(7)
    ]
    view = seen(status(job("h", "planned", held=True, error=BROKE), *failed, ready("fine")))
    assert view.needy == 8
    assert [(each.kind, each.count, each.alike, each.more) for each in view.troubles] == [
        ("training_not_allowed", 7, False, 2),
        ("quota_exhausted", 1, True, 0),
    ]
    assert view.troubles[0].message == "project 0 may not train"
    assert view.troubles[0].hint == REFUSED.hint
    assert view.troubles[0].query.href == "/?error=training_not_allowed"
    assert [each.verb for each in view.troubles] == [Verb.RETRY, Verb.RELEASE]
    assert view.troubles[1].accounts == ("h",)


def test_an_error_that_is_tried_again_needs_nobody() -> None:
    view = seen(status(job("a", "queued", attempts=2, error=Failure("rate_limited", "slow down", "Nothing to do."))))
    assert view.troubles == ()
    assert [(row.error is not None, row.urgent) for row in view.rows] == [(True, False)]


def test_a_job_that_goes_on_and_needs_a_look_is_marked_in_the_list_and_above_it() -> None:
    stalled = Failure("job_stalled", "nothing has changed for 6 h", "Look at it.")
    view = seen(status(job("a", "running", warning=stalled, progress=0.4), job("b", "running"), ready("c")))
    assert [row.warning for row in view.rows] == [stalled, None, None]
    assert (view.headline, view.tone, view.needy) == ("1 job needs a look", "warn", 0)
    assert view.notices == (Notice(failure=replace(stalled, message="a: nothing has changed for 6 h")),)


def test_many_that_need_a_look_are_named_by_the_first() -> None:
    stalled = Failure("job_stalled", "nothing has changed for 6 h", "Look at it.")
    cause = Cause(error=stalled, held=False, count=1205, messages=3, accounts=("a", "b"))
    [notice] = warned([cause])
    assert notice.failure.message == "a, b and 1,203 more: for example, nothing has changed for 6 h"


def test_a_row_says_what_the_job_waits_for() -> None:
    view = seen(status(job("a", "ready", waits_for="a slot", wake_at=NOW + 7200), job("b", "queued")))
    assert [row.waiting for row in view.rows] == ["waits for a slot, next look in about 2 h", None]


def test_what_holds_the_run_is_told_once() -> None:
    waiting = [job(name, "planned", held=True, error=TOO_DEAR) for name in "abc"]
    view = seen(status(*waiting, job("d", "planned", held=True, error=BROKE), holds=[TOO_DEAR]))
    assert view.notices == (Notice(failure=TOO_DEAR, verb=Verb.APPROVE),)
    assert [each.kind for each in view.troubles] == ["quota_exhausted"]


@pytest.mark.parametrize(
    ("health", "kinds"),
    [
        (FINE, []),
        (Health(database=False, ticking=False), ["database"]),
        (Health(database=True, ticking=False), ["not_ticking"]),
        (Health(database=True, ticking=True, problem=BROKE), ["quota_exhausted"]),
    ],
)
def test_an_ailing_service_says_so(health: Health, kinds: list[str]) -> None:
    notices = seen(status(), health=health).notices
    assert [notice.failure.kind for notice in notices] == kinds
    assert all(notice.failure.hint for notice in notices)


@pytest.mark.parametrize(
    ("jobs", "usd"),
    [
        ([], 0.0),
        ([job("a", "planned", estimated_usd=5.0)], 0.0),
        ([ready("a", estimated_usd=0.5), job("b", "running", estimated_usd=0.25, submitted_at=NOW)], 0.75),
        ([ready("a", estimated_usd=0.5), ready("b", estimated_usd=None)], None),
    ],
)
def test_submitted_is_the_price_of_what_the_providers_have(jobs: list[JobView], usd: float | None) -> None:
    assert seen(status(*jobs)).submitted_usd == usd


@pytest.mark.parametrize(
    ("state", "seconds", "said"),
    [
        ("running", 59, "just now"),
        ("running", 60, "for 1 min"),
        ("running", 7300, "for 2 h"),
        ("failed", 90_000, "1 d ago"),
        ("planned", -5, "just now"),
    ],
)
def test_how_long_it_lasts(state: str, seconds: float, said: str) -> None:
    assert seen(status(job("a", state, state_since=NOW - seconds))).rows[0].since == said


def test_nothing_that_is_not_shown_changes_the_view() -> None:
    before = status(job("a", "running"))
    after = replace(before, jobs=tuple(replace(each, wake_at=NOW, attempts=1) for each in before.jobs))
    assert seen(before) == seen(after)
    assert seen(before) != seen(replace(before, run=run(planned_usd=4)))

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from web_values import HEALTHY, NOW, REFUSED, glance_of, job, listing_of, ready, run, status

from orchestrator.core.errors import Failure
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.jobs.operator_action import OperatorAction
from orchestrator.core.structs import replace
from orchestrator.status import HELD, Health, JobView, ProblemGroup, StatusSnapshot
from orchestrator.web.dashboard.attention import Notice, build_warning_notices
from orchestrator.web.dashboard.page_query import ROWS_PER_PAGE, PageQuery
from orchestrator.web.dashboard.run_page import RunPage, build_run_page
from orchestrator.web.dashboard.state_display import STATE_MEANINGS, STATE_TONES

BUDGET_FAILURE = Failure("quota_exhausted", "no credit is left", "Add credit.")
PRICE_HOLD = Failure("run_too_dear", "the run is estimated at $50.00", "Approve it.")


def build_page(shown: StatusSnapshot, query: PageQuery | None = None, health: Health = HEALTHY) -> RunPage:
    query = query or PageQuery()
    listing = listing_of(shown, query.job_filter, ROWS_PER_PAGE, (query.page - 1) * ROWS_PER_PAGE)
    return build_run_page(glance_of(shown), listing, health, query, NOW)


def accounts(view: RunPage) -> list[str]:
    return [row.account for row in view.rows]


def test_every_state_has_a_tone_and_a_meaning() -> None:
    assert set(STATE_TONES) == set(STATE_MEANINGS) == {*JobState, HELD}


@pytest.mark.parametrize(
    ("shown", "headline", "tone"),
    [
        (StatusSnapshot(run=None), "No run yet", "calm"),
        (status(job("a", "running"), ready("b")), "In progress", "busy"),
        (status(ready("a"), ready("b")), "All models are ready", "good"),
        (status(ready("a"), job("b", "cancelled")), "Finished: 1 of 2 models ready", "off"),
        (status(job("a", "failed", error=BUDGET_FAILURE), job("b", "running")), "1 account needs attention", "bad"),
        (status(job("a", "failed"), job("b", "planned", held=True)), "2 accounts need attention", "bad"),
        (status(job("a", "planned", held=True, error=PRICE_HOLD), holds=[PRICE_HOLD]), "The run is on hold", "warn"),
        (
            status(job("a", "ready"), started=False),
            "The files are uploaded. Start the training here or with `orchestrator start`.",
            "calm",
        ),
    ],
)
def test_headline_summarises_the_run(shown: StatusSnapshot, headline: str, tone: str) -> None:
    view = build_page(shown)
    assert (view.headline, view.tone) == (headline, tone)


def test_first_retirement_is_shown_with_the_days_left() -> None:
    overview = glance_of(status(ready("a"), job("b", "running")))
    assert overview is not None
    day = datetime.fromtimestamp(NOW, UTC).date() + timedelta(days=9)
    known = (replace(overview.state_counts[0], first_retirement=day), *overview.state_counts[1:])
    view = build_run_page(replace(overview, state_counts=known), None, HEALTHY, PageQuery(state="held"), NOW)
    assert (view.first_retirement, view.retires_in) == (day.isoformat(), "in 9 days")
    assert view.retirement_href == "/?state=held&sort=retires"
    assert build_page(status(ready("a"))).first_retirement is None


def test_progress_bar_covers_every_job_once() -> None:
    view = build_page(status(ready("a"), job("b", "running"), job("c", "queued"), job("d", "planned", held=True)))
    assert [(part.tone, part.start, part.length) for part in view.segments] == [
        ("good", 0, 250),
        ("busy", 250, 500),
        ("warn", 750, 250),
    ]
    assert build_page(status()).segments == ()


def test_counts_are_of_the_whole_run_and_not_of_the_filter() -> None:
    view = build_page(
        status(ready("a"), job("b", "running"), job("c", "running", held=True)), PageQuery(state="succeeded")
    )
    assert [(chip.state, chip.count, chip.chosen) for chip in view.chips] == [
        ("succeeded", 1, True),
        ("running", 1, False),
        ("held", 1, False),
    ]
    assert (view.ready, view.total, view.match_count) == (1, 3, 1)


def test_state_chip_keeps_other_filters_and_toggles() -> None:
    view = build_page(
        status(ready("a"), job("b", "running")), PageQuery(state="running", text="", label="b c", page=3)
    )
    assert [chip.href for chip in view.chips] == ["/?state=succeeded&label=b+c", "/?label=b+c"]


def test_selected_empty_state_stays_visible() -> None:
    view = build_page(status(ready("a")), PageQuery(state="running"))
    assert [(chip.state, chip.count) for chip in view.chips] == [("succeeded", 1), ("running", 0)]
    assert view.rows == ()


def test_held_job_is_filtered_as_held() -> None:
    shown = status(job("a", "running", held=True), job("b", "running"))
    assert accounts(build_page(shown, PageQuery(state="held"))) == ["a"]
    assert accounts(build_page(shown, PageQuery(state="running"))) == ["b"]


def test_pages_cover_every_job_once() -> None:
    shown = status(*(job(f"a{number:05}", "queued") for number in range(ROWS_PER_PAGE * 2 + 1)))
    pages = [build_page(shown, PageQuery(page=page)) for page in (1, 2, 3)]
    assert [len(page.rows) for page in pages] == [ROWS_PER_PAGE, ROWS_PER_PAGE, 1]
    assert [name for page in pages for name in accounts(page)] == [each.account for each in shown.jobs]
    assert [page.first_row for page in pages] == [1, 51, 101]
    assert {page.page_count for page in pages} == {3}
    assert pages[0].page_href(2) == "/?page=2"


def test_headings_sort_and_the_second_click_reverses() -> None:
    shown = status(ready("a"))
    [state] = [each for each in build_page(shown, PageQuery(label="eu")).columns if each.column == "state"]
    assert (state.sort, state.href) == (None, "/?label=eu&sort=state")
    sorted_by_state = PageQuery.from_parameters({"sort": "state", "page": "3"})
    [state] = [each for each in build_page(shown, sorted_by_state).columns if each.column == "state"]
    assert (state.sort, state.href) == ("ascending", "/?sort=-state")


@pytest.mark.parametrize("sort", ["", "nothing", "--state", "account", "-"])
def test_unknown_order_is_by_account(sort: str) -> None:
    assert PageQuery.from_parameters({"sort": sort}) == PageQuery()


def test_active_filters_can_be_removed_one_by_one() -> None:
    view = build_page(status(ready("a")), PageQuery(label="eu", error="key_invalid", text="x", page=2))
    assert [(each.title, each.value, each.href) for each in view.active_filters] == [
        ("Error", "key invalid", "/?label=eu&q=x"),
        ("Label", "eu", "/?error=key_invalid&q=x"),
        ("Search", "x", "/?label=eu&error=key_invalid"),
    ]


@pytest.mark.parametrize("page", ["", "0", "-1", "1.5", "x", "٣", "9" * 30])
def test_invalid_page_number_is_the_first_page(page: str) -> None:
    assert PageQuery.from_parameters({"page": page}) == PageQuery()


def test_a_query_comes_back_from_its_address() -> None:
    query = PageQuery(state="failed", provider="openai", label="eu", error="e", text="a&b=c #ü", run="r", page=7)
    assert query.href == "/?state=failed&provider=openai&label=eu&error=e&q=a%26b%3Dc+%23%C3%BC&run=r&page=7"
    assert PageQuery.from_parameters(query.values | {"q": " a&b=c #ü "}) == query


def test_troubles_are_grouped_by_cause_the_largest_first() -> None:
    failed = [
        job(f"f{number}", "failed", error=replace(REFUSED, message=f"project {number} may not train"))
        for number in range(7)
    ]
    view = build_page(status(job("h", "planned", held=True, error=BUDGET_FAILURE), *failed, ready("fine")))
    assert view.attention_count == 8
    assert [(each.kind, each.count, each.same_message, each.hidden_count) for each in view.attention_items] == [
        ("training_not_allowed", 7, False, 2),
        ("quota_exhausted", 1, True, 0),
    ]
    assert view.attention_items[0].message == "project 0 may not train"
    assert view.attention_items[0].hint == REFUSED.hint
    assert view.attention_items[0].query.href == "/?error=training_not_allowed"
    assert [each.action for each in view.attention_items] == [OperatorAction.RETRY, OperatorAction.RELEASE]
    assert view.attention_items[1].accounts == ("h",)


def test_retried_error_needs_no_person() -> None:
    view = build_page(
        status(job("a", "queued", attempts=2, error=Failure("rate_limited", "slow down", "Nothing to do.")))
    )
    assert view.attention_items == ()
    assert [(row.error is not None, row.urgent) for row in view.rows] == [(True, False)]


def test_running_job_with_a_warning_is_marked() -> None:
    stalled = Failure("job_stalled", "nothing has changed for 6 h", "Look at it.")
    view = build_page(status(job("a", "running", warning=stalled, progress=0.4), job("b", "running"), ready("c")))
    assert [row.warning for row in view.rows] == [stalled, None, None]
    assert (view.headline, view.tone, view.attention_count) == ("1 job has a warning", "warn", 0)
    assert view.notices == (Notice(failure=replace(stalled, message="a: nothing has changed for 6 h")),)


def test_many_warnings_are_summarised() -> None:
    stalled = Failure("job_stalled", "nothing has changed for 6 h", "Look at it.")
    cause = ProblemGroup(error=stalled, held=False, count=1205, message_count=3, accounts=("a", "b"))
    [notice] = build_warning_notices([cause])
    assert notice.failure.message == "a, b and 1,203 more: for example, nothing has changed for 6 h"


def test_row_shows_the_reason_for_waiting() -> None:
    view = build_page(status(job("a", "ready", waits_for="a slot", wake_at=NOW + 7200), job("b", "queued")))
    assert [row.waiting for row in view.rows] == ["waits for a slot, next check in about 2 h", None]


def test_run_hold_is_shown_once() -> None:
    waiting = [job(name, "planned", held=True, error=PRICE_HOLD) for name in "abc"]
    view = build_page(status(*waiting, job("d", "planned", held=True, error=BUDGET_FAILURE), holds=[PRICE_HOLD]))
    assert view.notices == (Notice(failure=PRICE_HOLD, action=OperatorAction.APPROVE),)
    assert [each.kind for each in view.attention_items] == ["quota_exhausted"]


@pytest.mark.parametrize(
    ("health", "kinds"),
    [
        (HEALTHY, []),
        (Health(database=False, ticking=False), ["database"]),
        (Health(database=True, ticking=False), ["not_ticking"]),
        (Health(database=True, ticking=True, problem=BUDGET_FAILURE), ["quota_exhausted"]),
    ],
)
def test_unhealthy_service_is_shown(health: Health, kinds: list[str]) -> None:
    notices = build_page(status(), health=health).notices
    assert [notice.failure.kind for notice in notices] == kinds
    assert all(notice.failure.hint for notice in notices)


@pytest.mark.parametrize(
    ("jobs", "usd"),
    [
        ([], "$0.00"),
        ([job("a", "planned", estimated_usd=5.0)], "$0.00"),
        ([ready("a", estimated_usd=0.5), job("b", "running", estimated_usd=0.25, submitted_at=NOW)], "$0.75"),
        ([ready("a", estimated_usd=0.5), ready("b", estimated_usd=None)], "$0.50 + 1 unknown"),
        ([ready("b", estimated_usd=None)], "unknown"),
    ],
)
def test_submitted_price_covers_submitted_jobs(jobs: list[JobView], usd: str) -> None:
    assert build_page(status(*jobs)).price.submitted == usd


def test_known_part_of_an_unknown_price_is_shown() -> None:
    jobs = [job("a", "planned", estimated_usd=5.0), job("b", "planned", estimated_usd=None)]
    assert build_page(status(*jobs, planned_usd=None)).price.planned == "$5.00 + 1 unknown"
    assert build_page(status(*jobs[1:], planned_usd=None)).price.planned == "unknown"
    assert build_page(status(*jobs[:1], planned_usd=5.0)).price.planned == "$5.00"


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
def test_remaining_time_is_shown(state: str, seconds: float, said: str) -> None:
    assert build_page(status(job("a", state, state_since=NOW - seconds))).rows[0].since == said


def test_view_depends_on_shown_values_only() -> None:
    before = status(job("a", "running"))
    after = replace(before, jobs=tuple(replace(each, wake_at=NOW, attempts=1) for each in before.jobs))
    assert build_page(before) == build_page(after)
    assert build_page(before) != build_page(replace(before, run=run(planned_usd=4)))

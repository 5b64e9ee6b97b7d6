from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from core_values import DATASET, SPEC, a_job, a_run, an_account

from orchestrator.core.account import ProviderName
from orchestrator.core.hold import HoldKind
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.jobs.run import Run
from orchestrator.core.plans.plan import DatabaseState, Plan, ProviderFacts, build_plan
from orchestrator.core.plans.price import Quote
from orchestrator.core.plans.retirement import (
    MODEL_GONE_DAYS,
    NOTICE_DAYS,
    Retirement,
    days_left,
    find_due_notice_days,
    find_retirement_hold,
    list_retirement_warnings,
    list_unknown_model_holds,
    list_untunable_holds,
    merge_retirements,
)
from orchestrator.core.remote import RemoteModel
from orchestrator.core.spec import RunOptions
from orchestrator.core.structs import replace

NOW = 1_795_392_000.0  # 2026-11-23
OPENAI = ProviderName.OPENAI


def provider_model(shutdown: date | None, tunable: bool | None = None) -> list[tuple[ProviderName, RemoteModel]]:
    return [(OPENAI, RemoteModel(id="m", tunable=tunable, shutdown=shutdown))]


def test_days_are_counted_in_utc() -> None:
    assert days_left(date(2026, 11, 23), NOW) == 0
    assert days_left(date(2027, 1, 14), NOW + 86_399) == 52
    assert days_left(date(2026, 11, 22), NOW) == -1


@pytest.mark.parametrize(
    ("shutdown", "warned", "held"),
    [
        (None, False, False),
        (date(2027, 5, 22), False, False),
        (date(2027, 5, 21), True, False),
        (date(2026, 12, 23), True, False),
        (date(2026, 12, 22), True, True),
        (date(2026, 11, 1), True, True),
    ],
)
def test_near_retirement_warns_and_very_near_retirement_holds(
    shutdown: date | None, warned: bool, held: bool
) -> None:
    assert bool(list_retirement_warnings(provider_model(shutdown), NOW)) is warned
    assert bool(find_retirement_hold(provider_model(shutdown), NOW)) is held


def test_retirement_hold_has_a_date_and_a_hint() -> None:
    hold = find_retirement_hold(provider_model(date(2026, 12, 13)), NOW)
    assert hold is not None
    assert (hold.kind, hold.until) == (HoldKind.RETIRES_SOON, None)
    assert "openai m, 2026-12-13 (in 20 days)" in hold.reason
    assert "another provider" in hold.hint
    assert "orchestrator approve" in hold.hint


def test_untunable_model_is_reported() -> None:
    held = list_untunable_holds(provider_model(None, tunable=False), NOW)[OPENAI]
    assert (held.kind, held.reason) == (HoldKind.NOT_TUNABLE, "openai reports that m cannot be fine-tuned")
    assert "[run.openai]" in held.hint
    assert (
        list_untunable_holds(provider_model(None), NOW)
        == list_untunable_holds(provider_model(None, tunable=True), NOW)
        == {}
    )
    assert list_retirement_warnings(provider_model(None, tunable=True), NOW) == []


def published(**dates: Any) -> Retirement:
    return Retirement(as_of=date(2026, 11, 1), source="a page", **dates)


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([], date(2027, 1, 14)),
        (provider_model(None), date(2027, 1, 14)),
        (provider_model(date(2029, 1, 1)), date(2029, 1, 1)),
    ],
)
def test_published_date_applies_where_the_provider_reports_none(
    answers: list[tuple[ProviderName, RemoteModel]], expected: date
) -> None:
    known = published(inference_ends=date(2027, 1, 14), training_ends=date(2027, 1, 6))
    ((name, model),) = merge_retirements(answers, {OPENAI: "m"}, {OPENAI: known})
    assert (name, model.id, model.shutdown) == (OPENAI, "m", expected)
    assert model.training_ends == date(2027, 1, 6)
    assert merge_retirements(answers, {OPENAI: "m"}, {}) == answers


@pytest.mark.parametrize(
    ("ends", "tentative", "tunable", "held", "warned"),
    [
        (date(2026, 11, 23), False, None, "openai accepts no new jobs on m since 2026-11-23", None),
        (date(2026, 11, 24), False, None, None, "m accepts no new jobs from 2026-11-24, in 1 day"),
        (date(2026, 11, 24), True, None, None, "m accepts no new jobs from 2026-11-24 at the earliest, in 1 day"),
        (date(2026, 11, 23), True, None, None, "may no longer accept new jobs"),
        (date(2026, 11, 23), False, True, None, "may no longer accept new jobs"),
        (date(2028, 1, 1), False, None, None, None),
    ],
)
def test_training_that_has_ended_holds_the_jobs_unless_the_provider_says_otherwise(
    ends: date, tentative: bool, tunable: bool | None, held: str | None, warned: str | None
) -> None:
    known = published(training_ends=ends, tentative=tentative)
    models = merge_retirements(provider_model(None, tunable), {OPENAI: "m"}, {OPENAI: known})
    hold = list_untunable_holds(models, NOW).get(OPENAI)
    assert (hold.reason if hold else None) == held
    assert hold is None or "ORCHESTRATOR_RETIREMENTS_FILE" in hold.hint
    lines = list_retirement_warnings(models, NOW)
    assert (warned in lines[0] and len(lines) == 1) if warned else lines == []


def test_a_new_customer_is_warned() -> None:
    models = merge_retirements([], {OPENAI: "m"}, {OPENAI: published(new_customers_end=date(2026, 5, 7))})
    assert list_retirement_warnings(models, NOW) == [
        "openai m can be trained only by customers who fine-tuned before 2026-05-07"
    ]
    assert list_retirement_warnings(models, NOW - 300 * 86_400) == []


def test_the_nearest_base_model_is_named() -> None:
    listed = ["sandbox-small", "Sandbox-Large", "other"]
    (hold,) = list_unknown_model_holds({OPENAI: ("sandbox-larg", listed)}).values()
    assert (hold.kind, hold.until) == (HoldKind.MODEL_UNKNOWN, None)
    assert hold.reason == 'openai does not know the base model sandbox-larg; did you mean "Sandbox-Large"?'
    assert "[run.openai]" in hold.hint
    assert "approve" not in hold.hint
    (hold,) = list_unknown_model_holds({OPENAI: ("xyzzy", listed)}).values()
    assert hold.reason == "openai does not know the base model xyzzy (3 others are listed)"


def plan(run: Run | None, usd: float = 1.0) -> Plan:
    return build_plan(
        [an_account()],
        {OPENAI: SPEC},
        DATASET,
        RunOptions(name="t", max_total_usd=10.0),
        prices={OPENAI: Quote(usd)},
        database_state=DatabaseState(jobs={}, account_states={}, committed_usd={}, run=run),
        facts=ProviderFacts(retirement=find_retirement_hold(provider_model(date(2026, 12, 13)), NOW)),
    )


def test_a_plan_is_held_until_someone_approves_it() -> None:
    held = plan(None).hold
    assert held is not None
    assert held.kind == HoldKind.RETIRES_SOON
    approved = replace(a_run(), id=plan(None).run_id, approved_at=NOW, approved_usd=1.0)
    assert plan(approved).hold is None


def test_price_hold_comes_first() -> None:
    held = plan(None, usd=20.0).hold
    assert held is not None
    assert held.kind == HoldKind.RUN_TOO_EXPENSIVE


@pytest.mark.parametrize(
    ("shutdown", "words"),
    [
        (date(2026, 11, 22), "is 2026-11-22 (1 day ago)"),
        (date(2026, 11, 20), "is 2026-11-20 (3 days ago)"),
        (date(2026, 11, 23), "is 2026-11-23 (in 0 days)"),
        (date(2026, 11, 24), "is 2026-11-24 (in 1 day)"),
    ],
)
def test_warning_about_a_shutdown_counts_the_days(shutdown: date, words: str) -> None:
    (warning,) = list_retirement_warnings(provider_model(shutdown), NOW)
    assert words in warning


@pytest.mark.parametrize("days", NOTICE_DAYS)
def test_notice_is_due_once_fewer_days_are_left_than_it_announces(days: int) -> None:
    def due(left: int) -> int | None:
        job = a_job(JobState.SUCCEEDED, retires_on=date(2026, 11, 23) + timedelta(days=left))
        return find_due_notice_days(job, NOW)

    assert due(days - 1) == days
    assert due(days) in {None, *(other for other in NOTICE_DAYS if other > days)}
    assert due(max(NOTICE_DAYS)) is None


def test_model_without_a_date_needs_no_notice_and_one_that_is_gone_always_does() -> None:
    assert find_due_notice_days(a_job(JobState.SUCCEEDED), NOW) is None
    gone = a_job(JobState.SUCCEEDED, gone_at=NOW, retires_on=date(2030, 1, 1))
    assert find_due_notice_days(gone, NOW) == MODEL_GONE_DAYS

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import pytest
from core_values import DATASET, NOW, PERMANENT_HOLD, SPEC, a_job, a_run, an_account, an_account_state

from orchestrator.core.account import Account, ProviderName
from orchestrator.core.account_state import AccountState
from orchestrator.core.capabilities import CAPABILITIES
from orchestrator.core.dataset import Dataset
from orchestrator.core.deployment.cost import DeploymentOption, DeploymentPrice
from orchestrator.core.deployment.deployment_spec import DeploymentKind, DeploymentSpec
from orchestrator.core.deployment.forecast import DeploymentForecast
from orchestrator.core.hold import UNTRAINABLE_HOLD_KINDS, Hold, HoldKind
from orchestrator.core.jobs.job import Job, job_id, run_id
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.jobs.run import Run
from orchestrator.core.moderation import Moderation, ModerationStatus
from orchestrator.core.plans.budget import CommittedSpend
from orchestrator.core.plans.plan import NO_PROVIDER_FACTS, DatabaseState, Plan, PlanStep, ProviderFacts, build_plan
from orchestrator.core.plans.price import Quote, UnknownPriceReason
from orchestrator.core.spec import RunOptions, TrainingSpec
from orchestrator.core.structs import replace

OPENAI, NEBIUS = ProviderName.OPENAI, ProviderName.NEBIUS
SPECS = {OPENAI: SPEC, NEBIUS: replace(SPEC, base_model="llama")}
RUN_ID = run_id(DATASET.sha256, {OPENAI: SPEC})
OVER_BUDGET = Hold(HoldKind.OVER_BUDGET, "too dear", "raise it")


def plan(
    *accounts: Account,
    jobs: Sequence[Job] = (),
    standings: Sequence[AccountState] = (),
    committed: Mapping[str, float] | None = None,
    run: Run | None = None,
    prices: Mapping[ProviderName, float | None] | None = None,
    moderation: Moderation | None = None,
    heard: ProviderFacts = NO_PROVIDER_FACTS,
    **options: Any,
) -> Plan:
    known = DatabaseState(
        jobs={job.id: job for job in jobs},
        account_states={standing.name: standing for standing in standings},
        committed_usd={name: CommittedSpend(usd, usd, usd) for name, usd in (committed or {}).items()},
        run=run,
    )
    return build_plan(
        accounts or (an_account(),),
        SPECS,
        DATASET,
        RunOptions(name="support", **options),
        prices={name: Quote(usd, "price file") for name, usd in (prices or {OPENAI: 2.0, NEBIUS: None}).items()},
        facts=heard,
        database_state=known,
        moderation=moderation,
    )


def known_job(state: JobState, account: str = "acme", **changes: Any) -> Job:
    return a_job(state, id=job_id(DATASET.sha256, OPENAI, SPEC, account), account=account, **changes)


def test_an_unknown_account_gets_a_new_job() -> None:
    made = plan()
    [line] = made.lines
    assert (line.account, line.provider, line.base_model, line.usd) == ("acme", OPENAI, SPEC.base_model, 2.0)
    assert (line.step, line.hold) == (PlanStep.NEW, None)
    assert line.job_id == job_id(DATASET.sha256, OPENAI, SPEC, "acme")
    assert (made.run_id, made.name, made.dataset, made.hold) == (RUN_ID, "support", DATASET, None)
    assert (made.total_usd, made.new_usd) == (2.0, 2.0)


STEPS = {
    JobState.PLANNED: PlanStep.NEW,
    JobState.UPLOADING: PlanStep.NEW,
    JobState.PROCESSING: PlanStep.NEW,
    JobState.READY: PlanStep.NEW,
    JobState.SUBMITTING: PlanStep.IN_PROGRESS,
    JobState.QUEUED: PlanStep.IN_PROGRESS,
    JobState.RUNNING: PlanStep.IN_PROGRESS,
    JobState.CANCELLING: PlanStep.IN_PROGRESS,
    JobState.SUCCEEDED: PlanStep.DONE,
    JobState.CANCELLED: PlanStep.CANCELLED,
    JobState.FAILED: PlanStep.FAILED,
}
ENDED = {PlanStep.DONE, PlanStep.CANCELLED, PlanStep.FAILED}


@pytest.mark.parametrize("state", JobState)
def test_known_job_is_not_planned_again(state: JobState) -> None:
    made = plan(jobs=[known_job(state)])
    assert [line.step for line in made.lines] == [STEPS[state]]
    assert made.new_usd == (2.0 if STEPS[state] is PlanStep.NEW else 0)


@pytest.mark.parametrize(("state", "by"), list(product(JobState, ["job", "account"])))
def test_a_hold_of_the_job_or_its_account_counts_until_the_end(state: JobState, by: str) -> None:
    job = known_job(state, hold=PERMANENT_HOLD if by == "job" else None)
    made = plan(jobs=[job], standings=[an_account_state(hold=PERMANENT_HOLD if by == "account" else None)])
    [line] = made.lines
    if STEPS[state] in ENDED:
        assert line.step is STEPS[state]
    else:
        assert (line.step, line.hold) == (PlanStep.HELD, PERMANENT_HOLD)
        assert made.new_usd == 0


def test_a_held_account_has_no_job_yet() -> None:
    [line] = plan(standings=[an_account_state(hold=PERMANENT_HOLD)]).lines
    assert (line.step, line.hold) == (PlanStep.HELD, PERMANENT_HOLD)


@pytest.mark.parametrize(
    ("budget", "price", "committed", "fits"),
    [
        (None, 2.0, 1000.0, True),
        (2.0, 2.0, 0.0, True),
        (1.99, 2.0, 0.0, False),
        (10.0, 2.0, 8.0, True),
        (10.0, 2.0, 8.01, False),
        (1.0, None, 0.0, True),
    ],
)
def test_account_budget_holds_its_job(
    budget: float | None, price: float | None, committed: float, fits: bool
) -> None:
    account = an_account(budget_usd=budget)
    made = plan(account, prices={OPENAI: price}, committed={"acme": committed}, allow_unknown_price=True)
    [line] = made.lines
    assert (line.step is PlanStep.HELD, made.hold) == (not fits, None)
    if not fits:
        assert line.hold is not None
        assert line.hold.kind == HoldKind.OVER_BUDGET
        assert f"${committed:.2f}" in line.hold.reason
        assert "budget_usd" in line.hold.hint


def test_one_account_over_its_budget_does_not_hold_the_others() -> None:
    made = plan(an_account("poor", budget_usd=1.0), an_account("rich", budget_usd=9.0))
    assert [line.step for line in made.lines] == [PlanStep.HELD, PlanStep.NEW]
    assert made.hold is None
    assert (made.count(PlanStep.HELD), made.count(PlanStep.NEW), made.count(PlanStep.DONE)) == (1, 1, 0)


def test_submitted_job_is_counted_once_against_the_budget() -> None:
    job = known_job(JobState.RUNNING, submitted_at=NOW)
    [line] = plan(an_account(budget_usd=2.0), jobs=[job], committed={"acme": 2.0}).lines
    assert line.step is PlanStep.IN_PROGRESS


def test_a_raised_budget_releases_a_job_that_was_over_it() -> None:
    job = known_job(JobState.READY, hold=OVER_BUDGET)
    assert plan(an_account(budget_usd=1.0), jobs=[job]).lines[0].step is PlanStep.HELD
    assert plan(an_account(budget_usd=2.0), jobs=[job]).lines[0].step is PlanStep.NEW


@pytest.mark.parametrize(("most", "held"), [(None, False), (4.0, False), (3.99, True)])
def test_run_budget_holds_the_run(most: float | None, held: bool) -> None:
    made = plan(an_account("a"), an_account("b"), max_total_usd=most)
    assert (made.hold is not None) is held
    if made.hold:
        assert made.hold.kind == HoldKind.RUN_TOO_EXPENSIVE
        assert "$4.00" in made.hold.reason
        assert "$3.99" in made.hold.reason
        assert "approve" in made.hold.hint


def test_finished_jobs_count_in_the_total_of_the_run() -> None:
    made = plan(an_account("a"), an_account("b"), jobs=[known_job(JobState.SUCCEEDED, "a")], max_total_usd=3.0)
    assert (made.total_usd, made.new_usd) == (4.0, 2.0)
    assert made.hold is not None


@pytest.mark.parametrize(("most", "held"), [(8.0, False), (7.99, True)])
def test_earlier_rounds_of_jobs_count_towards_the_limit_of_the_run(most: float, held: bool) -> None:
    made = plan(jobs=[known_job(JobState.PLANNED, round=3, earlier_usd=6.0)], max_total_usd=most)
    assert (made.total_usd, made.new_usd, made.lines[0].usd) == (8.0, 2.0, 2.0)
    assert (made.hold is not None) is held
    if made.hold:
        assert made.hold.kind == HoldKind.RUN_TOO_EXPENSIVE
        assert "$8.00 ($6.00 of it for earlier rounds of jobs)" in made.hold.reason


def test_earlier_rounds_count_where_the_base_model_can_no_longer_be_trained() -> None:
    facts = replace(NO_PROVIDER_FACTS, untunable={OPENAI: Hold(HoldKind.NOT_TUNABLE, "retired", "choose another")})
    made = plan(jobs=[known_job(JobState.PLANNED, round=1, earlier_usd=6.0)], heard=facts, max_total_usd=5.0)
    assert made.hold is not None
    assert "$6.00" in made.hold.reason


@pytest.mark.parametrize("most", [7.99, 8.0, 9.99, 10.0])
@pytest.mark.parametrize("untunable", [False, True])
@pytest.mark.parametrize("deployment_usd", [None, 2.0])
def test_limit_of_a_plan_is_the_price_up_to_which_it_is_not_held(
    most: float, untunable: bool, deployment_usd: float | None
) -> None:
    facts = deployed(deployment_usd) if deployment_usd else NO_PROVIDER_FACTS
    if untunable:
        facts = replace(facts, untunable={OPENAI: Hold(HoldKind.NOT_TUNABLE, "retired", "choose another")})
    made = plan(jobs=[known_job(JobState.PLANNED, round=1, earlier_usd=6.0)], heard=facts, max_total_usd=most)
    assert made.total_usd is not None
    assert made.limit_usd is not None
    assert (made.hold is not None) is (made.total_usd > made.limit_usd)
    assert plan().limit_usd is None


def test_an_approval_does_not_cover_further_rounds() -> None:
    run = a_run(id=RUN_ID, approved_at=NOW, approved_by="me", approved_usd=4.0)
    rounds = [plan(jobs=[known_job(JobState.PLANNED, earlier_usd=usd)], run=run, max_total_usd=1.0) for usd in (2, 4)]
    assert [made.hold is not None for made in rounds] == [False, True]


def test_unknown_price_holds_the_run_and_names_the_accounts() -> None:
    made = plan(an_account("a"), an_account("b", provider=NEBIUS))
    assert (made.total_usd, made.new_usd) == (None, None)
    assert made.hold is not None
    assert (made.hold.kind, made.hold.reason) == (HoldKind.PRICE_UNKNOWN, "the price is not known for nebius llama")


def test_an_unknown_price_may_be_allowed() -> None:
    assert plan(an_account("b", provider=NEBIUS), allow_unknown_price=True, max_total_usd=0.01).hold is None


@pytest.mark.parametrize(
    ("price", "approved_usd", "held"),
    [
        (2.0, 2.0, False),
        (2.0, 1.99, True),
        (2.0, None, False),
        (None, None, False),
        (None, 2.0, True),
    ],
)
def test_an_approval_covers_prices_up_to_its_own(price: float | None, approved_usd: float | None, held: bool) -> None:
    run = a_run(id=RUN_ID, approved_at=NOW, approved_by="me", approved_usd=approved_usd)
    made = plan(run=run, prices={OPENAI: price}, max_total_usd=1.0)
    assert (made.hold is not None) is held


def test_without_an_approval_a_known_run_is_held() -> None:
    assert plan(run=a_run(id=RUN_ID), max_total_usd=1.0).hold is not None


@pytest.mark.parametrize("approved_usd", [None, 1000.0])
def test_an_approval_is_for_one_run_and_not_for_the_next(approved_usd: float | None) -> None:
    before = a_run(approved_at=NOW, approved_by="me", approved_usd=approved_usd)
    assert before.id != RUN_ID
    assert plan(run=before, max_total_usd=1.0).hold is not None


def test_missing_moderation_holds_the_run_whatever_its_price() -> None:
    missing = Moderation(state=ModerationStatus.MISSING, by="service", at=NOW, reason="nobody to ask")
    approved = a_run(id=RUN_ID, approved_at=NOW, approved_by="me")
    (only,) = plan(run=approved, moderation=missing).holds
    assert only.kind == HoldKind.NOT_MODERATED
    assert "nobody to ask" in only.reason
    assert [hold.kind for hold in plan(max_total_usd=1.0, moderation=missing).holds] == [
        HoldKind.NOT_MODERATED,
        HoldKind.RUN_TOO_EXPENSIVE,
    ]


@pytest.mark.parametrize("state", [ModerationStatus.PASSED, ModerationStatus.WAIVED])
def test_moderation_that_passed_or_was_waived_holds_nothing(state: ModerationStatus) -> None:
    assert plan(moderation=Moderation(state=state, by="acme", at=NOW)).holds == ()


def test_the_run_is_made_of_the_specs_in_use_only() -> None:
    assert plan(an_account()).specs == {OPENAI: SPEC}
    both = plan(an_account("a"), an_account("b", provider=NEBIUS))
    assert both.specs == SPECS
    assert both.run_id != RUN_ID


def test_a_further_account_is_not_another_run() -> None:
    assert plan(an_account("a")).run_id == plan(an_account("a"), an_account("b")).run_id


def test_the_providers_own_estimate_comes_before_the_price_file() -> None:
    [line] = plan(heard=ProviderFacts(quotes={"acme": Quote(7.0, "together's estimate")})).lines
    assert (line.usd, line.price_source) == (7.0, "together's estimate")
    [line] = plan(heard=ProviderFacts(quotes={"other": Quote(7.0)})).lines
    assert (line.usd, line.price_source) == (2.0, "price file")


@pytest.mark.parametrize(
    ("heard", "kind"),
    [
        (ProviderFacts(quotes={"acme": Quote(7.0, "x", "the account's limit is $1")}), HoldKind.PRICE_REFUSED),
        (ProviderFacts(untunable={OPENAI: Hold(HoldKind.NOT_TUNABLE, "it cannot", "choose")}), HoldKind.NOT_TUNABLE),
    ],
)
def test_refused_dataset_is_held_until_submission(heard: ProviderFacts, kind: HoldKind) -> None:
    [line] = plan(heard=heard).lines
    assert line.step is PlanStep.HELD
    assert line.hold is not None
    assert line.hold.kind == kind
    assert line.hold.hint
    [line] = plan(heard=heard, jobs=[known_job(JobState.RUNNING)]).lines
    assert (line.step, line.hold) == (PlanStep.IN_PROGRESS, None)


@pytest.mark.parametrize("kind", sorted(UNTRAINABLE_HOLD_KINDS))
def test_unknown_price_of_an_untrainable_job_holds_nothing(kind: HoldKind) -> None:
    heard = ProviderFacts(untunable={OPENAI: Hold(kind, "it cannot", "choose")}, quotes={"acme": Quote(None)})
    made = plan(heard=heard)
    assert [line.hold and line.hold.kind for line in made.lines] == [kind]
    assert made.hold is None
    alone = plan(heard=ProviderFacts(quotes={"acme": Quote(None)})).hold
    assert alone is not None
    assert alone.kind == HoldKind.PRICE_UNKNOWN


def test_file_refused_by_a_provider_holds_only_its_jobs() -> None:
    part = replace(DATASET.training, bytes=600_000_000)
    accounts = (an_account("o"), an_account("n", provider=NEBIUS))
    known = DatabaseState(jobs={}, account_states={}, committed_usd={}, run=None)
    options = RunOptions(name="support")
    prices = {OPENAI: Quote(1.0), NEBIUS: Quote(1.0)}
    made = build_plan(accounts, SPECS, Dataset(training=part), options, prices=prices, database_state=known)
    assert [line.hold and line.hold.kind for line in made.lines] == [None, HoldKind.FILE_TOO_LARGE]
    assert "512,000,000" in (made.lines[1].hold or OVER_BUDGET).reason


def deployed(usd_per_hour: float | None) -> ProviderFacts:
    price = DeploymentPrice(kind=DeploymentKind.HOUR, usd_per_hour=usd_per_hour)
    forecast = DeploymentForecast(
        provider=OPENAI,
        base_model=SPEC.base_model,
        spec=DeploymentSpec(kind=DeploymentKind.HOUR, keep_hours=2),
        options=(DeploymentOption(price=price),),
    )
    return ProviderFacts(deployments=(forecast,))


def test_deployments_count_towards_the_limit_of_the_run() -> None:
    accounts = an_account("one"), an_account("two")
    fits = plan(*accounts, heard=deployed(4.0), max_total_usd=20.0)
    assert (fits.total_usd, fits.deployment_usd, fits.hold) == (4.0, 16.0, None)
    held = plan(*accounts, heard=deployed(4.0), max_total_usd=19.99).hold
    assert held is not None
    assert held.kind == HoldKind.RUN_TOO_EXPENSIVE
    assert "its deployments at $16.00" in held.reason


def test_deployment_with_an_unknown_price_does_not_hold_the_training() -> None:
    made = plan(heard=deployed(None), max_total_usd=2.0)
    assert (made.deployment_usd, made.hold) == (0.0, None)


def test_provider_that_cannot_deploy_holds_its_accounts_and_they_cost_nothing() -> None:
    hold = Hold(HoldKind.NOT_SERVABLE, "cannot deploy", "choose another")
    facts = replace(deployed(4.0), untunable={OPENAI: hold})
    made = plan(heard=facts, max_total_usd=1.0)
    assert (made.lines[0].step, made.lines[0].hold) == (PlanStep.HELD, hold)
    assert (made.deployment_usd, made.hold) == (0.0, None)


@pytest.mark.parametrize(
    ("training", "validation", "limit"),
    [
        (100, 1000, None),
        (100, 1001, "1,000"),
        (10_000, 3000, None),
        (10_000, 3001, "3,000"),
        (1_000_000, 5000, None),
        (1_000_000, 5001, "5,000"),
        (1_000_001, 10, "1,000,000"),
        (1_000_001, None, "1,000,000"),
        (1_000_000, None, None),
    ],
)
def test_more_examples_than_the_provider_documents_are_held(
    training: int, validation: int | None, limit: str | None
) -> None:
    dataset = Dataset(
        training=replace(DATASET.training, examples=training),
        validation=None if validation is None else replace(DATASET.training, examples=validation, sha256="b" * 64),
    )
    accounts = (an_account("v", provider=ProviderName.VERTEX), an_account("o"))
    specs = {**SPECS, ProviderName.VERTEX: TrainingSpec(base_model="gemini-2.5-flash")}
    known = DatabaseState(jobs={}, account_states={}, committed_usd={}, run=None)
    prices = {OPENAI: Quote(1.0), ProviderName.VERTEX: Quote(1.0)}
    made = build_plan(accounts, specs, dataset, RunOptions(name="n"), prices=prices, database_state=known)
    held, other = (line.hold for line in made.lines)
    assert other is None
    assert (held and held.kind) == (HoldKind.FILE_TOO_LARGE if limit else None)
    assert limit is None or f"vertex accepts at most {limit}" in (held.reason if held else "")


def test_larger_of_the_two_files_decides_about_the_size_limit() -> None:
    limit = CAPABILITIES[OPENAI].maximum_bytes
    for training, validation, is_held in [(limit, limit, False), (1, limit + 1, True), (limit + 1, 1, True)]:
        dataset = replace(
            DATASET,
            training=replace(DATASET.training, bytes=training),
            validation=replace(DATASET.training, bytes=validation, examples=1),
        )
        made = build_plan(
            (an_account(),),
            SPECS,
            dataset,
            RunOptions(name="support"),
            prices={OPENAI: Quote(2.0, "price file")},
            facts=NO_PROVIDER_FACTS,
            database_state=DatabaseState(jobs={}, account_states={}, committed_usd={}, run=None),
            moderation=None,
        )
        hold = made.lines[0].hold
        assert (hold is not None and hold.kind == HoldKind.FILE_TOO_LARGE) is is_held


def test_total_is_rounded_to_hundredths_of_a_cent() -> None:
    assert plan(prices={OPENAI: 0.123449}).total_usd == 0.1234


WHY = UnknownPriceReason


@pytest.mark.parametrize(
    ("reasons", "hint"),
    [
        ((), "Give n_epochs as a number and a price in the prices file, set `allow_unknown_price"),
        ((WHY.NOT_LISTED,), "Add its price to a prices file, set `allow_unknown_price"),
        ((WHY.NOT_LISTED, WHY.AUTO_EPOCHS), "Add its price to a prices file, give n_epochs as a number, set"),
        ((WHY.DPO_NOT_LISTED,), "Set `allow_unknown_price"),
        ((WHY.DPO_NOT_LISTED, WHY.NOT_LISTED), "Set `allow_unknown_price"),  # the price would stay unknown
    ],
)
def test_hint_of_an_unknown_price_names_only_steps_that_make_it_known(
    reasons: tuple[UnknownPriceReason, ...], hint: str
) -> None:
    made = build_plan(
        (an_account(),),
        SPECS,
        DATASET,
        RunOptions(name="support"),
        prices={OPENAI: Quote(None, unknown_price_reasons=reasons)},
        database_state=DatabaseState(jobs={}, account_states={}, committed_usd={}, run=None),
    )
    assert made.hold is not None
    assert made.hold.hint.startswith(hint)

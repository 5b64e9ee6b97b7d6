"""Plans: what a run would do and cost, computed before it does anything."""

# Theory of operation
#
# `build_plan` compares the accounts file (accounts, specs, dataset, options) with what the database and the providers
# know. It is pure: planning/ collects the facts, control/ stores the plan as a run with its jobs, and the reconciler
# works on those. `orchestrator plan` shows the same Plan without storing it.
#
# Each account gets one line. Its job id is derived from dataset, provider, spec and account, so a line finds the job
# of an earlier run by its id: the same work is IN_PROGRESS or DONE and is never planned a second time. A changed
# dataset or spec gives other ids, hence NEW jobs and another run.
#
# There are two levels of holds:
#
# * A line's hold concerns one account: its job's or its account's present hold, then the checks in the order in which
#   an operator would have to solve them (file size, base model, refused quote, budget). Checks apply to NEW lines
#   only: a submitted job is paid for, and holding it would save nothing.
# * The plan's hold concerns the price of the whole run (unknown, or above max_total_usd) or a base model that retires
#   soon. An operator can approve it. The approval is stored with the run, together with the price that was shown:
#   `remaining_hold` accepts it for a later plan of the same run up to that price. A restart or a reload therefore
#   needs no second approval, and a price that has risen does.
#
# Deployments that the run requests count towards max_total_usd too, until they expire. Whether one may be created is
# decided once more when its model exists: only then the budget of its account and its price are checked (daemon/).
#
# Prices: None is an unknown price, never zero. A sum with an unknown part is unknown. Base models that cannot be
# trained are left out of the sum that is compared with the limit, because their jobs are never submitted. The price
# of a run includes the earlier rounds of its retried jobs: they are paid, so the limit and an approval cover them.
#
# The budget of an account is checked twice: here with the committed amounts as they are now, and once more in the
# transaction that writes the intent to submit (store), because other runs may have spent money in between.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final

from orchestrator.core.account import Account, ProviderName
from orchestrator.core.account_state import AccountState
from orchestrator.core.capabilities import CAPABILITIES
from orchestrator.core.dataset import Dataset
from orchestrator.core.deployment.forecast import DeploymentForecast
from orchestrator.core.errors import ConfigError
from orchestrator.core.hold import PLAN_HOLD_KINDS, UNTRAINABLE_HOLD_KINDS, Hold, HoldKind
from orchestrator.core.jobs.job import Job, JobId, RunId, job_id, run_id
from orchestrator.core.jobs.lifecycle import UNSUBMITTED_STATES, JobState
from orchestrator.core.jobs.run import Run
from orchestrator.core.moderation import Moderation
from orchestrator.core.plans.budget import NO_COMMITTED_SPEND, CommittedSpend, find_budget_hold
from orchestrator.core.plans.price import UNKNOWN_QUOTE, Quote, UnknownPriceReason
from orchestrator.core.spec import RunOptions, TrainingSpec
from orchestrator.core.structs import Struct, field, replace
from orchestrator.core.text import format_usd


class PlanStep(StrEnum):
    """What the run will do in an account."""

    NEW = "new job"
    IN_PROGRESS = "in progress"
    DONE = "already done"
    HELD = "held"
    FAILED = "failed before"
    CANCELLED = "cancelled before"


class PlanLine(Struct, frozen=True, kw_only=True):
    """One account's part of the plan."""

    account: str  # name in the accounts file
    provider: ProviderName
    base_model: str
    job_id: JobId  # the id that the account's job has, or will have
    step: PlanStep
    usd: float | None  # estimated price of the job; None: unknown
    earlier_usd: float = 0.0  # estimated price of the job's earlier rounds, which `usd` does not include
    price_source: str = UNKNOWN_QUOTE.source  # where the price comes from, as text
    unknown_price_reasons: tuple[UnknownPriceReason, ...] = ()  # why the price is unknown
    hold: Hold | None = None  # why the account's job does not start


class Plan(Struct, frozen=True, kw_only=True):
    """What a run will do and cost."""

    run_id: RunId
    name: str  # of the run in the accounts file
    dataset: Dataset
    specs: Mapping[ProviderName, TrainingSpec]  # of the providers that have accounts
    lines: tuple[PlanLine, ...]  # one for each account, in the order of the accounts file
    hold: Hold | None = None  # price or retirement; an operator can approve it
    limit_usd: float | None = None  # the largest `total_usd` that `max_total_usd` allows; None: any
    moderation: Moderation | None = None  # None: no moderation was requested for this plan
    priority: int = 0  # of the run, for the job slots that it shares with other runs
    gate: bool = False  # whether exports hold only models that are alike or accepted
    pin_auto: frozenset[ProviderName] = (
        frozenset()
    )  # providers whose first job determines "auto" values for the others
    deployments: tuple[DeploymentForecast, ...] = ()  # that follow the training
    warnings: tuple[str, ...] = ()  # do not hold anything

    @property
    def holds(self) -> tuple[Hold, ...]:
        """The holds of the whole run."""
        moderation = self.moderation.hold if self.moderation else None
        return tuple(hold for hold in (moderation, self.hold) if hold)

    def remaining_hold(self, run: Run | None) -> Hold | None:
        """Return the plan's hold, unless the stored run has an approval that covers it."""
        if run is None or run.id != self.run_id or self.hold is None:
            return self.hold
        return None if _is_approved(run, self.hold, self.total_usd) else self.hold

    @property
    def total_usd(self) -> float | None:
        """The estimated price of the whole run in US dollars; None if a part is unknown.

        Finished jobs and the earlier rounds of retried jobs are included.
        """
        return _sum_prices([self.earlier_usd, *(line.usd for line in self.lines)])

    @property
    def earlier_usd(self) -> float:
        """The estimated price of the earlier rounds of retried jobs in US dollars; unknown prices count as 0."""
        return sum(line.earlier_usd for line in self.lines)

    @property
    def new_usd(self) -> float | None:
        """The estimated price of the NEW lines in US dollars; None if a part is unknown."""
        return _sum_prices([line.usd for line in self.lines if line.step is PlanStep.NEW])

    @property
    def deployment_usd(self) -> float:
        """The price of the deployments that are requested, until they expire; unknown prices count as 0."""
        usd = {each.provider: each.usd or 0.0 for each in self.deployments}
        return sum(usd.get(line.provider, 0.0) for line in self.lines if not _is_untrainable(line))

    def count(self, step: PlanStep) -> int:
        """Count the accounts with this step."""
        return sum(line.step is step for line in self.lines)


class DatabaseState(Struct, frozen=True, kw_only=True):
    """What the database knows before the plan."""

    jobs: Mapping[JobId, Job]
    account_states: Mapping[str, AccountState]  # by account name
    committed_usd: Mapping[str, CommittedSpend]  # by account name, without the jobs that this plan would create
    month_end: float | None = None  # end of the month of `committed_usd`, in epoch seconds; None: not known
    run: Run | None  # the stored run with the plan's id, for its approval; None: it is new


class ProviderFacts(Struct, frozen=True, kw_only=True):
    """What the providers reported for this plan."""

    retirement: Hold | None = None  # a base model that retires soon; an operator can approve it like a price
    untunable: Mapping[ProviderName, Hold] = field(
        default_factory=dict
    )  # providers whose base model cannot be trained, or not be deployed although the run requests that
    deployments: tuple[DeploymentForecast, ...] = ()  # of the providers for which the run requests deployments
    quotes: Mapping[str, Quote] = field(default_factory=dict)  # by account name; they replace the price file's
    warnings: tuple[str, ...] = ()


NO_PROVIDER_FACTS: Final = ProviderFacts()


def build_plan(
    accounts: Sequence[Account],
    specs: Mapping[ProviderName, TrainingSpec],
    dataset: Dataset,
    options: RunOptions,
    *,
    prices: Mapping[ProviderName, Quote],
    database_state: DatabaseState,
    moderation: Moderation | None = None,
    facts: ProviderFacts = NO_PROVIDER_FACTS,
) -> Plan:
    """Plan a run of these accounts. `prices` are the price file's, for one job at each provider."""
    used = {account.provider: specs[account.provider] for account in accounts}
    lines = tuple(
        _build_line(account, used[account.provider], dataset, prices[account.provider], database_state, facts)
        for account in accounts
    )
    plan = Plan(run_id=run_id(dataset.sha256, used), name=options.name, dataset=dataset, specs=used, lines=lines)
    plan = replace(plan, deployments=facts.deployments)
    plan = replace(plan, hold=_price_hold(plan, options) or facts.retirement, limit_usd=_find_limit(plan, options))
    return replace(
        plan,
        moderation=moderation,
        hold=plan.remaining_hold(database_state.run),
        priority=options.priority,
        gate=options.gate,
        pin_auto=options.pin_auto,
        warnings=tuple(facts.warnings),
    )


class Work(Struct, frozen=True, kw_only=True):
    """What a run does: its id, and its jobs."""

    name: str  # of the run
    run_id: RunId
    account_by_job: Mapping[JobId, str]

    @classmethod
    def from_plan(cls, plan: Plan) -> Work:
        """Return the work of a plan."""
        jobs = {line.job_id: line.account for line in plan.lines}
        return cls(name=plan.name, run_id=plan.run_id, account_by_job=jobs)


def check_distinct_work(works: Sequence[Work]) -> None:
    """Raise ConfigError if two of the runs are the same run, or have the same job in an account.

    A job belongs to one run: two runs would change its price, its holds and its place in the queue in turn.
    """
    for number, work in enumerate(works):
        for other in works[:number]:
            common = [other.account_by_job[job] for job in other.account_by_job if job in work.account_by_job]
            if common or work.run_id == other.run_id:
                where = f" in account {common[0]}" if common else ""
                raise ConfigError(
                    f"the runs {other.name} and {work.name} describe the same work{where}: the same chats with the "
                    "same training options",
                    hint="Remove one of the two, or change its dataset, its options or its accounts.",
                )


def _build_line(
    account: Account,
    spec: TrainingSpec,
    dataset: Dataset,
    price: Quote,
    database_state: DatabaseState,
    facts: ProviderFacts,
) -> PlanLine:
    identity = job_id(dataset.sha256, account.provider, spec, account.name)
    job = database_state.jobs.get(identity)
    state = database_state.account_states.get(account.name)
    step, hold = _determine_step(job), None
    if step in {PlanStep.NEW, PlanStep.IN_PROGRESS}:
        # An earlier plan's hold is decided again below; it must not keep itself alive.
        hold = job.hold if job and job.hold and job.hold.kind not in PLAN_HOLD_KINDS else None
        hold = hold or (state.hold if state else None)
    quote = facts.quotes.get(account.name, price)
    if step is PlanStep.NEW and hold is None:
        hold = (
            _file_size_hold(account, dataset)
            or _example_count_hold(account, dataset)
            or facts.untunable.get(account.provider)
            or _price_refused_hold(quote)
            or _budget_hold(account, job, quote.usd, database_state)
        )
    return PlanLine(
        account=account.name,
        provider=account.provider,
        base_model=spec.base_model,
        job_id=identity,
        step=PlanStep.HELD if hold else step,
        usd=quote.usd,
        earlier_usd=(job.earlier_usd if job else None) or 0.0,
        price_source=quote.source,
        unknown_price_reasons=quote.unknown_price_reasons,
        hold=hold,
    )


def _determine_step(job: Job | None) -> PlanStep:
    if job is None or job.state in UNSUBMITTED_STATES:
        return PlanStep.NEW
    ends = {
        JobState.SUCCEEDED: PlanStep.DONE,
        JobState.FAILED: PlanStep.FAILED,
        JobState.CANCELLED: PlanStep.CANCELLED,
    }
    return ends.get(job.state, PlanStep.IN_PROGRESS)


def _file_size_hold(account: Account, dataset: Dataset) -> Hold | None:
    limit = CAPABILITIES[account.provider].maximum_bytes
    largest = max(part.bytes for part in (dataset.training, dataset.validation) if part)
    if largest <= limit:
        return None
    return Hold(
        HoldKind.FILE_TOO_LARGE,
        f"the dataset's file has {largest:,} bytes, and {account.provider} accepts files of at most {limit:,} bytes",
        "Make the dataset smaller, or train it at a provider that accepts larger files.",
    )


def _example_count_hold(account: Account, dataset: Dataset) -> Hold | None:
    """Return a hold if a file has more examples than the provider documents, so that nothing is uploaded."""
    offers, training = CAPABILITIES[account.provider], dataset.training.examples
    if offers.maximum_examples is not None and training > offers.maximum_examples:
        return Hold(
            HoldKind.FILE_TOO_LARGE,
            f"the training file has {training:,} examples, and {account.provider} accepts at most "
            f"{offers.maximum_examples:,}",
            "Make the dataset smaller, or train it at a provider that accepts more examples.",
        )
    if offers.validation_limit is None or dataset.validation is None:
        return None
    count, limit = dataset.validation.examples, offers.validation_limit.get_maximum(training)
    if count <= limit:
        return None
    return Hold(
        HoldKind.FILE_TOO_LARGE,
        f"the validation file has {count:,} examples, and {account.provider} accepts at most {limit:,} beside "
        f"{training:,} training examples",
        "Reduce `validation_fraction`, or make the file of `validation` smaller.",
    )


def _price_refused_hold(quote: Quote) -> Hold | None:
    if quote.refused is None:
        return None
    return Hold(HoldKind.PRICE_REFUSED, quote.refused, "Add credit at the provider, or make the dataset smaller.")


def _budget_hold(account: Account, job: Job | None, usd: float | None, database_state: DatabaseState) -> Hold | None:
    if job is not None and job.submitted_at is not None:
        return None
    committed = database_state.committed_usd.get(account.name, NO_COMMITTED_SPEND)
    return find_budget_hold(account, usd, committed, month_end=database_state.month_end)


def _price_hold(plan: Plan, options: RunOptions) -> Hold | None:
    lines = [line for line in plan.lines if not _is_untrainable(line)]
    total = _sum_prices([plan.earlier_usd, *(line.usd for line in lines)])
    if total is None:
        if options.allow_unknown_price:
            return None
        return _price_unknown_hold(plan.name, [line for line in lines if line.usd is None])
    if options.max_total_usd is not None and total + plan.deployment_usd > options.max_total_usd:
        earlier = f" ({format_usd(plan.earlier_usd)} of it for earlier rounds of jobs)" if plan.earlier_usd else ""
        deployed = f" and its deployments at {format_usd(plan.deployment_usd)}" if plan.deployment_usd else ""
        return Hold(
            HoldKind.RUN_TOO_EXPENSIVE,
            f"the run is estimated at {format_usd(total)}{earlier}{deployed}, more than "
            f"max_total_usd = {format_usd(options.max_total_usd)}",
            "Raise `max_total_usd`, list fewer accounts, or `orchestrator approve` the run.",
        )
    return None


def _find_limit(plan: Plan, options: RunOptions) -> float | None:
    """Return the largest price of the plan with which `_price_hold` does not hold it."""
    if options.max_total_usd is None:
        return None
    never_submitted = sum(line.usd or 0.0 for line in plan.lines if _is_untrainable(line))
    return round(options.max_total_usd - plan.deployment_usd + never_submitted, 4)


def _is_untrainable(line: PlanLine) -> bool:
    return line.hold is not None and line.hold.kind in UNTRAINABLE_HOLD_KINDS


def _price_unknown_hold(name: str, lines: Sequence[PlanLine]) -> Hold:
    """Build the hold of an unknown price. Its hint proposes only remedies that would make the price known."""
    unknown = sorted(
        {f"{line.provider} {line.base_model}{_format_reasons(line.unknown_price_reasons)}" for line in lines}
    )
    remedies = list(dict.fromkeys(why.remedy for line in lines for why in line.unknown_price_reasons if why.remedy))
    has_no_remedy = any(not why.remedy for line in lines for why in line.unknown_price_reasons)
    if has_no_remedy or not remedies:
        remedies = [] if has_no_remedy else ["Give n_epochs as a number and a price in the prices file"]
    allow = f"set `allow_unknown_price = true` for run {name}, or `orchestrator approve` the run."
    hint = ", ".join([*remedies[:1], *(remedy[0].lower() + remedy[1:] for remedy in remedies[1:]), allow])
    return Hold(
        HoldKind.PRICE_UNKNOWN, f"the price is not known for {', '.join(unknown)}", hint[0].upper() + hint[1:]
    )


def _format_reasons(unpriced: Sequence[UnknownPriceReason]) -> str:
    return f" ({'; '.join(why.reason for why in unpriced)})" if unpriced else ""


def _is_approved(run: Run, hold: Hold, total: float | None) -> bool:
    is_of_any_price = run.approved_at is not None and hold.kind == HoldKind.RETIRES_SOON
    return is_of_any_price or run.is_price_approved(total)


def _sum_prices(prices: Sequence[float | None]) -> float | None:
    known = [price for price in prices if price is not None]
    return round(sum(known), 4) if len(known) == len(prices) else None

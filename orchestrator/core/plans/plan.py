"""Plan: what a run would do and cost, before it does it. A value that can be printed, counted and refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from orchestrator.core.account import Account, ProviderName
from orchestrator.core.account_state import AccountState
from orchestrator.core.capabilities import CAPABILITIES
from orchestrator.core.dataset import Dataset
from orchestrator.core.hold import PLAN_HOLD_KINDS, UNTRAINABLE_HOLD_KINDS, Hold, HoldKind
from orchestrator.core.jobs.job import Job, JobId, RunId, job_id, run_id
from orchestrator.core.jobs.lifecycle import UNSUBMITTED_STATES, JobState
from orchestrator.core.jobs.run import Run
from orchestrator.core.moderation import Moderation
from orchestrator.core.plans.budget import NO_COMMITTED_SPEND, CommittedSpend, find_budget_hold
from orchestrator.core.plans.price import UNKNOWN_QUOTE, Quote, UnknownPriceReason
from orchestrator.core.spec import RunOptions, TrainingSpec
from orchestrator.core.text import format_usd


class PlanStep(StrEnum):
    """What will happen in an account."""

    NEW = "new job"
    IN_PROGRESS = "in progress"
    DONE = "already done"
    HELD = "held"
    FAILED = "failed before"
    CANCELLED = "cancelled before"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanLine:
    """One account's part of the plan. `usd` is the estimated price of its job, None where it is unknown.

    `price_source` is who says so, `unpriced` why nobody does.
    """

    account: str
    provider: ProviderName
    base_model: str
    job_id: JobId
    step: PlanStep
    usd: float | None
    price_source: str = UNKNOWN_QUOTE.source
    unknown_price_reasons: tuple[UnknownPriceReason, ...] = ()
    hold: Hold | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A run before it happens. `hold` is what an approval lifts; `moderation` is None where it was not asked for."""

    run_id: RunId
    name: str
    dataset: Dataset
    specs: Mapping[ProviderName, TrainingSpec]
    lines: tuple[PlanLine, ...]
    hold: Hold | None = None
    moderation: Moderation | None = None
    pin_auto: frozenset[ProviderName] = frozenset()
    warnings: tuple[str, ...] = ()

    @property
    def holds(self) -> tuple[Hold, ...]:
        """Everything that sets the whole run aside."""
        moderation = self.moderation.hold if self.moderation else None
        return tuple(hold for hold in (moderation, self.hold) if hold)

    def remaining_hold(self, run: Run | None) -> Hold | None:
        """What is left of the hold when the run, as it is now, has been approved."""
        if run is None or run.id != self.run_id or self.hold is None:
            return self.hold
        return None if _is_approved(run, self.hold, self.total_usd) else self.hold

    @property
    def total_usd(self) -> float | None:
        """The estimated price of the whole run, what is done included; None when a part is unknown."""
        return _sum_prices([line.usd for line in self.lines])

    @property
    def new_usd(self) -> float | None:
        """The estimated price of what is not submitted yet and is not held."""
        return _sum_prices([line.usd for line in self.lines if line.step is PlanStep.NEW])

    def count(self, step: PlanStep) -> int:
        """How many accounts take this step."""
        return sum(line.step is step for line in self.lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseState:
    """What the database already says: jobs by id, standings by account, what is committed by account."""

    jobs: Mapping[JobId, Job]
    account_states: Mapping[str, AccountState]
    committed_usd: Mapping[str, CommittedSpend]
    run: Run | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderFacts:
    """What the providers said when they were asked. An approval of the run covers `retirement`, too.

    `untunable` are providers whose base model cannot be trained; `quotes` are by account.
    """

    retirement: Hold | None = None
    untunable: Mapping[ProviderName, Hold] = field(default_factory=dict)
    quotes: Mapping[str, Quote] = field(default_factory=dict)
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
    """Compare what is wanted with what is known. `prices` is what one job costs at each provider."""
    used = {account.provider: specs[account.provider] for account in accounts}
    lines = tuple(
        _build_line(each, used[each.provider], dataset, prices[each.provider], database_state, facts)
        for each in accounts
    )
    plan = Plan(run_id=run_id(dataset.sha256, used), name=options.name, dataset=dataset, specs=used, lines=lines)
    plan = replace(plan, hold=_price_hold(plan, options) or facts.retirement)
    return replace(
        plan,
        moderation=moderation,
        hold=plan.remaining_hold(database_state.run),
        pin_auto=options.pin_auto,
        warnings=tuple(facts.warnings),
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
    standing = database_state.account_states.get(account.name)
    step, hold = _determine_step(job), None
    if step in {PlanStep.NEW, PlanStep.IN_PROGRESS}:
        hold = job.hold if job and job.hold and job.hold.kind not in PLAN_HOLD_KINDS else None
        hold = hold or (standing.hold if standing else None)
    quote = facts.quotes.get(account.name, price)
    if step is PlanStep.NEW and hold is None:
        hold = (
            _file_size_hold(account, dataset)
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
    most = CAPABILITIES[account.provider].maximum_bytes
    largest = max(part.bytes for part in (dataset.training, dataset.validation) if part)
    if largest <= most:
        return None
    return Hold(
        HoldKind.FILE_TOO_LARGE,
        f"the dataset's file has {largest:,} bytes, and {account.provider} takes files of at most {most:,}",
        "Make the dataset smaller, or train it at a provider that takes larger files.",
    )


def _price_refused_hold(quote: Quote) -> Hold | None:
    if quote.refused is None:
        return None
    return Hold(HoldKind.PRICE_REFUSED, quote.refused, "Add credit at the provider, or make the dataset smaller.")


def _budget_hold(account: Account, job: Job | None, usd: float | None, database_state: DatabaseState) -> Hold | None:
    submitted = job is not None and job.submitted_at is not None
    return (
        None
        if submitted
        else find_budget_hold(account, usd, database_state.committed_usd.get(account.name, NO_COMMITTED_SPEND))
    )


def _price_hold(plan: Plan, options: RunOptions) -> Hold | None:
    lines = [line for line in plan.lines if line.hold is None or line.hold.kind not in UNTRAINABLE_HOLD_KINDS]
    total = _sum_prices([line.usd for line in lines])
    if total is None:
        if options.allow_unknown_price:
            return None
        return _price_unknown_hold([line for line in lines if line.usd is None])
    if options.max_total_usd is not None and total > options.max_total_usd:
        return Hold(
            HoldKind.RUN_TOO_EXPENSIVE,
            f"the run is estimated at {format_usd(total)}, more than "
            f"max_total_usd = {format_usd(options.max_total_usd)}",
            "Raise `max_total_usd`, list fewer accounts, or `orchestrator approve` the run.",
        )
    return None


def _price_unknown_hold(lines: Sequence[PlanLine]) -> Hold:
    """Only what helps is proposed: no number of epochs gives pictures a price."""
    unknown = sorted(
        {f"{line.provider} {line.base_model}{_format_reasons(line.unknown_price_reasons)}" for line in lines}
    )
    remedies = list(dict.fromkeys(why.remedy for line in lines for why in line.unknown_price_reasons if why.remedy))
    helpless = any(not why.remedy for line in lines for why in line.unknown_price_reasons)
    if helpless or not remedies:
        remedies = [] if helpless else ["Give n_epochs as a number and a price in the prices file"]
    allow = "set `allow_unknown_price = true` in [run], or `orchestrator approve` the run."
    hint = ", ".join([*remedies[:1], *(remedy[0].lower() + remedy[1:] for remedy in remedies[1:]), allow])
    return Hold(
        HoldKind.PRICE_UNKNOWN, f"the price is not known for {', '.join(unknown)}", hint[0].upper() + hint[1:]
    )


def _format_reasons(unpriced: Sequence[UnknownPriceReason]) -> str:
    return f" ({'; '.join(why.reason for why in unpriced)})" if unpriced else ""


def _is_approved(run: Run, hold: Hold, total: float | None) -> bool:
    if run.approved_at is None:
        return False
    covered = run.approved_usd is None or (total is not None and total <= run.approved_usd)
    return covered or hold.kind == HoldKind.RETIRES_SOON


def _sum_prices(prices: Sequence[float | None]) -> float | None:
    known = [price for price in prices if price is not None]
    return round(sum(known), 4) if len(known) == len(prices) else None

"""Records the outcomes that wait for one commit: intents, ends and polls of many jobs with few statements."""

# Theory of operation
#
# The caller holds the write lock of the database, and all replicas wait for its next statement. So the statements of
# a batch are the same few for one job and for hundreds:
#
#   1. read the facts of all jobs: versions, and for intents the used slots of their accounts
#   2. decide which outcomes are plain: not stale, and intents with a slot, a budget and no hold that are beyond doubt
#   3. write the plain ones together (outcomes.record_many)
#   4. record the others one by one, after that, with the queries that a single outcome needs
#
# Nothing is decided here on what was read before the lock. The result is that of recording the outcomes one after
# another, the plain ones first, because plain ones do not decide about each other:
#
# * There is at most one of each account. Slots, budgets and the rank of runs concern the jobs of one account only; a
#   second outcome of an account comes in step 4, when the first one is written.
# * An intent to submit, also a renewed one, is not plain while its account or its run has a hold, which an operator
#   or a new plan may have set since the job was loaded: then the job is read again, and its holds decide as they do
#   for its next step.
# * An intent is not plain while another job of its account waits for a slot, whose run may come first, nor while its
#   run waits for the values that the provider selects for its first job: of two first jobs in one batch only one may
#   be submitted.
#
# A job that succeeds requests its deployment in the same transaction, if its run has one: a process that dies between
# two transactions would otherwise leave a model that nobody deploys.

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from orchestrator.core.account import Account
from orchestrator.core.deployment.deployment import Deployment
from orchestrator.core.errors import BudgetExceeded, JobLimitReached, StaleJob
from orchestrator.core.jobs.job import Job, JobId
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.jobs.next_action import is_submission_void, list_job_holds
from orchestrator.core.jobs.transitions import Outcome
from orchestrator.core.plans.budget import CommittedSpend, find_budget_hold, month_start, next_month_start
from orchestrator.core.structs import Struct
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.db.transaction import Transaction
from orchestrator.store.queries import costs, jobs, outcomes
from orchestrator.store.queries.deployments import deployment_requests

CAUSE = "service"  # stored with each event: the service itself changed the job
Refusal = JobLimitReached | BudgetExceeded | StaleJob
Facts = Mapping[JobId, jobs.RecordFacts]


class RecordRequest(Struct, frozen=True, kw_only=True):
    """An outcome to record, and what depends on it."""

    outcome: Outcome
    at: float
    limits_of: Account | None
    """The account whose limits must allow the job: the outcome is its first intent to submit."""
    stops_if_held: bool
    """Whether holds, and a run that was replaced, stop the outcome: it is an intent to submit, new or renewed."""
    rebase_on_cancel: bool
    """Whether the outcome is also recorded on top of a cancel request."""
    build_deployment: Callable[[Job, float], Deployment | None]
    """Returns the deployment that the recorded job requests."""

    @property
    def job(self) -> Job:
        """The job as it is to be recorded."""
        return self.outcome.job


async def record_batch(tx: Transaction, requests: Sequence[RecordRequest]) -> list[Outcome | Refusal]:
    """Record the outcomes. Returns for each what was recorded, or why it was not.

    Refusals are returned: an exception would make the group commit run all changes of its batch again.
    """
    results: dict[int, Outcome | Refusal] = {}
    firsts = _find_firsts(requests)
    facts = await _load_facts(tx.connection, [requests[position] for position in firsts])
    plain = [position for position in firsts if _is_plain(requests[position], facts)]
    results |= await _find_blockers(tx.connection, {position: requests[position] for position in plain}, facts)
    allowed = [position for position in plain if position not in results]
    steps = [(requests[position].outcome, requests[position].at) for position in allowed]
    if steps:
        await outcomes.record_many(tx, steps, cause=CAUSE, facts=facts)
    results |= {position: requests[position].outcome for position in allowed}
    for position, request in enumerate(requests):
        if position not in results:
            results[position] = await _record_single(tx, request)
    ordered = [results[position] for position in range(len(requests))]
    await _request_deployments(tx, requests, ordered)
    return ordered


def _find_firsts(requests: Sequence[RecordRequest]) -> list[int]:
    """Return the position of the first request of each account."""
    first: dict[str, int] = {}
    for position, request in enumerate(requests):
        first.setdefault(request.job.account, position)
    return list(first.values())


async def _load_facts(connection: StoreConnection, requests: Sequence[RecordRequest]) -> Facts:
    counted = [each.job.id for each in requests if each.stops_if_held or outcomes.frees_slot(each.outcome)]
    return await jobs.get_record_facts(connection, [each.job.id for each in requests], counted=counted)


def _is_plain(request: RecordRequest, facts: Facts) -> bool:
    """Whether the outcome is not stale and, for an intent to submit, only slots and budget of its account decide."""
    job, known = request.job, facts.get(request.job.id)
    if known is None or known.version != job.version - 1:
        return False
    if request.stops_if_held and known.may_be_held:
        return False
    is_pinned = known.pins.get(job.provider, {}) is not None
    return request.limits_of is None or (not known.ready_jobs and is_pinned)


async def _find_blockers(
    connection: StoreConnection, requests: Mapping[int, RecordRequest], facts: Facts
) -> dict[int, Outcome | Refusal]:
    """Return which of the plain intents the limits of their accounts do not allow, and why."""
    blockers: dict[int, Outcome | Refusal] = {}
    with_budget: dict[float, list[int]] = {}
    for position, request in requests.items():
        if request.limits_of is None:
            continue
        if facts[request.job.id].used_slots >= request.limits_of.max_running_jobs:
            blockers[position] = JobLimitReached(jobs.NO_SLOT_REASON)
        elif request.limits_of.budget_usd is not None:
            with_budget.setdefault(month_start(request.at), []).append(position)
    for since, positions in with_budget.items():
        run_of = {requests[position].job.account: requests[position].job.run_id for position in positions}
        committed = await costs.get_committed_many(connection, run_of, since)
        for position in positions:
            request = requests[position]
            if blocker := _find_budget_blocker(request, committed[request.job.account]):
                blockers[position] = blocker
    return blockers


def _find_budget_blocker(request: RecordRequest, committed: CommittedSpend) -> BudgetExceeded | None:
    if request.limits_of is None or request.limits_of.budget_usd is None:
        return None
    account, usd = request.limits_of, request.job.estimated_usd
    hold = find_budget_hold(account, usd, committed, month_end=next_month_start(request.at))
    if hold is None:
        return None
    refusal = BudgetExceeded(hold.reason, hint=hold.hint)
    refusal.until = hold.until
    return refusal


async def _record_single(tx: Transaction, request: RecordRequest) -> Outcome | Refusal:
    outcome, at = request.outcome, request.at
    # Checked here and not before: between a check and another transaction a second job could take the slot.
    if request.stops_if_held and (blocker := await _find_submit_blocker(tx.connection, request)):
        return blocker
    if await outcomes.record(tx, outcome, at=at, cause=CAUSE, caller_continues=True):
        return outcome
    if request.rebase_on_cancel and (rebased := await outcomes.record_rebased(tx, outcome, at, CAUSE)):
        return rebased
    return StaleJob(f"version {outcome.job.version - 1} of the job is no longer the latest")


async def _find_submit_blocker(connection: StoreConnection, request: RecordRequest) -> Refusal | None:
    """Return why holds, or the limits of an intent's account, do not allow the job now."""
    account, job, now = request.limits_of, request.job, request.at
    loaded = await jobs.load(connection, job.id)
    if loaded is None or _is_stopped(loaded, now):
        return StaleJob("the job was put on hold while its submission began")
    if account is None:
        return None
    if reason := await jobs.find_submit_blocker(connection, job, account.max_running_jobs, now):
        return JobLimitReached(reason)
    if account.budget_usd is None:
        return None
    return _find_budget_blocker(
        request, await costs.get_committed(connection, account.name, job.run_id, month_start(now))
    )


def _is_stopped(loaded: jobs.LoadedJob, now: float) -> bool:
    """Whether the job may not be submitted now, for the first time or again."""
    holds = list_job_holds(loaded.job, loaded.run, loaded.account_state)
    is_repeated = loaded.job.state is JobState.SUBMITTING
    return any(hold.is_active(now) for hold in holds) or (
        is_repeated and is_submission_void(loaded.job, loaded.run, now)
    )


async def _request_deployments(
    tx: Transaction, requests: Sequence[RecordRequest], results: Sequence[Outcome | Refusal]
) -> None:
    wanted: list[Deployment] = []
    for request, result in zip(requests, results, strict=True):
        if isinstance(result, Outcome) and (deployment := request.build_deployment(result.job, request.at)):
            wanted.append(deployment)
    if wanted:
        at = max(request.at for request in requests)
        await deployment_requests.request_deployments(tx, wanted, at=at, cause=CAUSE)

"""Views of runs and jobs, and how they are built from what is stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final

from orchestrator.core.account_state import AccountState
from orchestrator.core.capabilities import CAPABILITIES
from orchestrator.core.comparison.gate import NO_VERDICTS, ModelComparison, RunVerdicts, find_gate_obstacle
from orchestrator.core.config_refusal import ConfigRefusal
from orchestrator.core.deployment.deployment import Deployment
from orchestrator.core.errors import Failure
from orchestrator.core.hold import SELF_RELEASING_HOLD_KINDS, Hold
from orchestrator.core.jobs.checkpoint import Checkpoint
from orchestrator.core.jobs.job import Job
from orchestrator.core.jobs.lifecycle import TERMINAL_STATES, JobState
from orchestrator.core.jobs.next_action import list_job_holds
from orchestrator.core.jobs.pins import ValueUsage, list_differences
from orchestrator.core.jobs.run import Run
from orchestrator.core.plans.duplicate_accounts import format_shared_key_warning
from orchestrator.core.plans.retirement import days_left
from orchestrator.core.structs import Struct, asdict, field, replace
from orchestrator.status.moderation import format_iso, moderation_to_dict
from orchestrator.status.serving import ServingView, build_serving_view, serving_to_dict
from orchestrator.store.queries import runs
from orchestrator.store.queries.replicas import Replica

Checkpoints = Sequence[Checkpoint]


class JobView(Struct, frozen=True, kw_only=True):
    """A job with everything that clients may see. Times are epoch seconds, prices are USD."""

    account: str
    provider: str
    base_model: str
    labels: Sequence[str]
    organization: str | None
    job: str
    """Id of the job."""
    state: str
    """State of the job, see docs/states.md."""
    held: bool
    """Whether the job is on hold; `error` has the reason."""
    remote_file_id: str | None
    remote_job_id: str | None
    remote_status: str | None
    """Status as the provider reports it."""
    fine_tuned_model: str | None
    servable: bool | None
    """Whether the model can be called as it is; None while there is none."""
    serving_hint: str | None
    """How to make the model servable, if it is not."""
    progress: float | None
    """From 0 to 1; None when unknown."""
    error: Failure | None
    """Last error, or the reason for the hold."""
    warning: Failure | None
    """A problem that does not stop the job."""
    waits_for: str | None
    """What an open job waits for without an error."""
    attempts: int
    """Failed attempts of the current step."""
    round: int
    """Number of retries with a new remote job."""
    hyperparameters: Mapping[str, Any]
    """Effective values as the provider reports them."""
    trained_tokens: int | None
    estimated_usd: float | None
    quoted_usd: float | None
    """Price quoted by the provider."""
    retires_on: str | None
    """Last day on which the model can be called."""
    days_left: int | None
    gone_at: float | None
    """When the model was first missing at the provider."""
    created_at: float
    state_since: float
    changed_at: float
    """When state or progress last changed."""
    submitted_at: float | None
    finished_at: float | None
    wake_at: float | None
    """When the job is due next; None while it waits for an operator."""
    latest_event: str | None
    """Note of the newest event."""
    replica: str | None = None
    """Replica that last updated the job."""
    serving: ServingView | None = None
    """How the model is called now; None while there is none."""
    run: str = ""
    """Id of the run; documents name the run once, above its jobs."""
    checkpoints: Sequence[Checkpoint] = ()
    """Models that the provider kept besides the final one, the earliest first."""
    comparison: ModelComparison | None = None
    """What the latest comparison and operators say about the model; None if it was neither compared nor accepted."""
    gated: bool = False
    """Whether exports leave out the model unless it is alike or accepted; documents name it once, with the run."""

    @property
    def gate_obstacle(self) -> str | None:
        """Why exports leave out the model, or None; the text continues the account's name."""
        if not self.gated or not self.fine_tuned_model:
            return None
        return find_gate_obstacle(self.fine_tuned_model, self.comparison)

    @property
    def settled(self) -> bool:
        """Whether nothing changes any more without an operator's action."""
        return self.state in TERMINAL_STATES or (self.held and not self.continues)

    @property
    def continues(self) -> bool:
        """Whether the service itself releases the hold."""
        return self.held and self.error is not None and self.error.kind in SELF_RELEASING_HOLD_KINDS


class RunView(Struct, frozen=True, kw_only=True):
    """A run as a whole."""

    id: str
    name: str
    dataset_sha256: str
    examples: int
    tokens: int | None
    specs: Mapping[str, Mapping[str, Any]]
    started: bool
    approved_by: str | None
    planned_usd: float | None
    holds: Sequence[Failure]
    moderation: Mapping[str, Any] | None
    created_at: float
    pins: Mapping[str, Mapping[str, Any] | None] = field(default_factory=dict)
    warnings: Sequence[str] = field(default_factory=list)
    gate: bool = False
    """Whether exports hold only models that are alike or accepted."""
    priority: int = 0
    """Priority in the accounts file; documents show it beside the run."""


class StatusSnapshot(Struct, frozen=True, kw_only=True):
    """The current runs and all their jobs at the time `at` (epoch seconds).

    `refusal` is why the newest edit of the accounts file is not applied.
    """

    run: RunView | None
    """The current run; of several, the first by priority, then age."""
    jobs: tuple[JobView, ...] = ()
    """All jobs, run by run, by account name."""
    replicas: tuple[Replica, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    """Number of these jobs by state."""
    at: float = 0.0
    refusal: ConfigRefusal | None = None
    other_runs: tuple[RunView, ...] = ()
    """The other current runs, in the same order."""

    @property
    def runs(self) -> tuple[RunView, ...]:
        """All current runs, the one with the highest priority first."""
        return (self.run, *self.other_runs) if self.run else ()

    def split_by_run(self) -> list[StatusSnapshot]:
        """Return a snapshot for each current run."""
        if not self.other_runs:
            return [self] if self.run else []
        jobs: dict[str, list[JobView]] = {run.id: [] for run in self.runs}
        for job in self.jobs:
            jobs[job.run].append(job)
        return [
            replace(self, run=run, other_runs=(), jobs=tuple(jobs[run.id]), counts=count_by_state(jobs[run.id]))
            for run in self.runs
        ]

    @property
    def settled(self) -> bool:
        """Whether nothing changes any more without an operator's action."""
        return self.run is not None and all(job.settled for job in self.jobs)

    @property
    def succeeded(self) -> bool:
        """Whether every account has its model."""
        return self.run is not None and all(job.state == JobState.SUCCEEDED for job in self.jobs)


def count_by_state(jobs: Iterable[JobView]) -> dict[str, int]:
    """Count jobs by state, in alphabetical order; jobs on hold count as "held"."""
    return dict(sorted(Counter("held" if job.held else job.state for job in jobs).items()))


def view_to_dict(view: JobView | RunView | Replica) -> dict[str, Any]:
    """Return the view as plain values with times in ISO 8601."""
    # A job view holds plain values already, except error and warning; `asdict` would copy ten thousand deeply.
    values = _shallow_dict(view) if isinstance(view, JobView) else asdict(view)
    if isinstance(view, RunView):
        del values["priority"]
    for name, value in values.items():
        if name.endswith("_at") or name in {"state_since", "alive_until"}:
            values[name] = format_iso(value)
    return values


def _shallow_dict(view: JobView) -> dict[str, Any]:
    values = {name: getattr(view, name) for name in view.__struct_fields__ if name not in {"run", "gated"}}
    for name in ("error", "warning"):
        values[name] = asdict(values[name]) if values[name] else None
    values["serving"] = serving_to_dict(view.serving) if view.serving else None
    values["checkpoints"] = [asdict(each) for each in view.checkpoints]
    if view.comparison:
        values["comparison"] = view.comparison.as_dict() | {"at": format_iso(view.comparison.at)}
    return values


_COPIED_FIELDS: Final = (
    "account",
    "provider",
    "base_model",
    "state",
    "remote_file_id",
    "remote_job_id",
    "remote_status",
    "fine_tuned_model",
    "attempts",
    "round",
    "hyperparameters",
    "trained_tokens",
    "estimated_usd",
    "quoted_usd",
    "gone_at",
    "created_at",
    "state_since",
    "submitted_at",
    "finished_at",
    "wake_at",
    "replica",
)
"""Fields of a job that its view has under the same name."""
_get_copied_fields = attrgetter(*_COPIED_FIELDS)


def job_view(
    job: Job,
    run: Run,
    account_state: AccountState,
    latest_event: str | None,
    now: float,
    deployment: Deployment | None = None,
    kept: Checkpoints = (),
    comparisons: RunVerdicts = NO_VERDICTS,
) -> JobView:
    """Build the view of a job at the time `now`. `latest_event` is the note of its newest event.

    `deployment` is that of its model (`load_deployments`), `kept` are its checkpoints, and `comparisons` has the
    verdicts on the models of its run.
    """
    serving = build_serving_view(job, deployment)
    hold = _find_hold(job, run, account_state, now)
    held, error = hold is not None, _error(job, hold)
    return JobView(
        **dict(zip(_COPIED_FIELDS, _get_copied_fields(job), strict=True)),
        labels=account_state.labels,
        organization=account_state.organization,
        job=job.id,
        held=held,
        servable=job.servable if job.fine_tuned_model else None,
        serving_hint=None if serving and serving.callable else _serving_hint(job),
        progress=_progress(job, now),
        error=error,
        warning=None if job.warning == error else job.warning,
        waits_for=None if held else _waits_for(job, run),
        retires_on=job.retires_on.isoformat() if job.retires_on else None,
        days_left=days_left(job.retires_on, now) if job.retires_on else None,
        changed_at=job.changed_at or job.state_since,
        latest_event=latest_event,
        serving=serving,
        run=run.id,
        checkpoints=tuple(kept),
        comparison=comparisons.find(job.account, job.fine_tuned_model),
        gated=run.gate,
    )


def _find_hold(job: Job, run: Run, account_state: AccountState, now: float) -> Hold | None:
    """Return the hold that stops the job; an ended job has none."""
    if job.state in TERMINAL_STATES:
        return None
    return next((hold for hold in list_job_holds(job, run, account_state) if hold.is_active(now)), None)


_WAIT_REASONS: Final = {
    "daily_limit": "a slot",
    "slots_taken": "a slot",
    "rate_limited": "the provider",
    "not_ready": "its file",
}


def _waits_for(job: Job, run: Run) -> str | None:
    """Return what an open job waits for without an error: a job slot, the provider's rate limit, or a start."""
    if job.state is JobState.SUBMITTING and job.failure is not None:
        return _WAIT_REASONS.get(job.failure.kind)
    if job.state is not JobState.READY:
        return None
    if run.started_at is None:
        return "`orchestrator start`"
    first = run.pins.get(job.provider, {}) is None  # the run's first job shows what the provider chooses
    return "a slot, or for the provider's first job" if first else "a slot"


def _serving_hint(job: Job) -> str | None:
    return CAPABILITIES[job.provider].serving if job.fine_tuned_model and not job.servable else None


def _error(job: Job, hold: Hold | None) -> Failure | None:
    return hold.failure if hold else job.failure


def _progress(job: Job, now: float) -> float | None:
    """Return the progress from 0 to 1 by the provider's own estimate; None when it gives none."""
    if job.state is JobState.SUCCEEDED:
        return 1.0
    if job.state is not JobState.RUNNING:
        return None
    if job.progress is not None or job.estimated_finish is None:
        return job.progress
    return estimate_progress(job.state_since, job.estimated_finish, now)


def estimate_progress(running_since: float, estimated_finish: float, now: float) -> float | None:
    """Return the share of the time that has passed, from 0 to 0.99; None if there is none between the two times."""
    total_seconds = estimated_finish - running_since
    return round(min(max((now - running_since) / total_seconds, 0.0), 0.99), 2) if total_seconds > 0 else None


def run_view(
    run: Run,
    dataset: runs.DatasetRow,
    value_usage: Iterable[ValueUsage] = (),
    shared_keys: Iterable[tuple[str, list[str]]] = (),
) -> RunView:
    """Build the view of a run.

    `value_usage` are the hyperparameters its jobs were trained with, `shared_keys` the accounts that share a key.
    """
    return RunView(
        id=run.id,
        name=run.name,
        dataset_sha256=run.dataset_sha256,
        examples=dataset.examples,
        tokens=dataset.tokens,
        specs={name.value: spec.as_dict() for name, spec in run.specs.items()},
        started=run.started_at is not None,
        approved_by=run.approved_by,
        planned_usd=run.planned_usd,
        holds=[hold.failure for hold in run.holds],
        moderation=moderation_to_dict(run.moderation) if run.moderation else None,
        created_at=run.created_at,
        pins={name.value: values for name, values in run.pins.items()},
        warnings=[
            *list_differences(value_usage),
            *(format_shared_key_warning(names, fingerprint) for fingerprint, names in shared_keys),
        ],
        gate=run.gate,
        priority=run.priority,
    )


class Health(Struct, frozen=True, kw_only=True):
    """Whether the service can work. `problem` is why the current accounts file is not applied."""

    database: bool
    ticking: bool
    problem: Failure | None = None
    reason: str | None = None
    """Why it is not ready."""

    @property
    def ready(self) -> bool:
        """Whether the database is reachable and the scheduler is running."""
        return self.database and self.ticking

"""The set of models that is exported."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from orchestrator.core.account import Account, ProviderName
from orchestrator.core.jobs.checkpoint import BEST_CHECKPOINT, find_checkpoint
from orchestrator.core.providers import PROVIDERS
from orchestrator.core.structs import Struct, field, replace

if TYPE_CHECKING:  # half a second that the help of the commands does not need
    from orchestrator.status import JobView


class ModelSet(Struct, frozen=True, kw_only=True):
    """The jobs of a run, or of several runs, that are exported."""

    name: str
    """Name of the run, or of the model group; not used for several runs."""
    jobs: tuple[JobView, ...]
    accounts: Mapping[str, Account]
    """Listed accounts by name, with key reference and base URL."""
    left_out: tuple[JobView, ...] = ()
    """Selected jobs whose models cannot be called yet."""
    gate_obstacles: Mapping[str, str] = field(default_factory=dict)
    """Why the gate leaves out models, by job id."""
    run_names: Mapping[str, str] = field(default_factory=dict)
    """Names of the runs by id if the jobs are those of several runs; an account then has a model in each."""

    @property
    def is_gated(self) -> bool:
        """Whether a run of these models has its gate on, so that the formats say what is left out."""
        return any(job.gated for job in self.jobs)

    @property
    def has_several_runs(self) -> bool:
        """Whether the formats name the run of each model."""
        return bool(self.run_names)

    @property
    def omitted(self) -> tuple[JobView, ...]:
        """Jobs of which no model is exported although the format lists only models, or because of the gate."""
        return (*self.left_out, *(job for job in self.jobs if job.job in self.gate_obstacles))

    def split_by_run(self) -> list[ModelSet]:
        """Return the models of each run."""
        return [
            replace(
                self,
                name=name,
                jobs=tuple(job for job in self.jobs if job.run == run),
                left_out=tuple(job for job in self.left_out if job.run == run),
                run_names={},
            )
            for run, name in self.run_names.items()
        ] or [self]

    def get_run_name(self, job: JobView) -> str:
        """Return the name of the job's run."""
        return self.run_names[job.run] if self.run_names else self.name

    def with_only(self, is_included: Callable[[JobView], object]) -> ModelSet:
        """Return a set with the jobs that match; the others are in `left_out`."""
        return replace(
            self,
            jobs=tuple(job for job in self.jobs if is_included(job)),
            left_out=tuple(job for job in self.jobs if not is_included(job)),
        )


def apply_gate(models: ModelSet) -> ModelSet:
    """Remove the models of gated runs that are neither alike nor accepted; their accounts stay, with the reason."""
    obstacles = {job.job: obstacle for job in models.jobs if (obstacle := job.gate_obstacle) is not None}
    jobs = tuple(_remove_model(job, obstacles[job.job]) if job.job in obstacles else job for job in models.jobs)
    return replace(models, jobs=jobs, gate_obstacles=obstacles)


def _remove_model(job: JobView, why: str) -> JobView:
    return replace(job, fine_tuned_model=None, servable=None, serving=None, serving_hint=why)


def select_checkpoints(models: ModelSet, choice: str) -> ModelSet:
    """Replace each final model by a checkpoint: a number, "best" or an id, as in `find_checkpoint`.

    A job without that checkpoint keeps no model: the final one would be another model than the one that was chosen.
    """
    return replace(models, jobs=tuple(_select_checkpoint(job, choice) for job in models.jobs))


def _select_checkpoint(job: JobView, choice: str) -> JobView:
    found = find_checkpoint(job.checkpoints, choice)
    if found is not None:
        # `serving` is about the final model: its deployment must not be called in place of the checkpoint.
        deploy = f"needs a deployment of its own: `orchestrator deploy {job.account} --checkpoint {choice}`"
        return replace(job, fine_tuned_model=found.model, serving=None, serving_hint=None if job.servable else deploy)
    known = f"its checkpoints: 1 to {len(job.checkpoints)}" if job.checkpoints else "no checkpoint of it is known"
    which = "no checkpoint with a loss" if choice == BEST_CHECKPOINT else f"no checkpoint {choice}"
    hint = f"has {which}; {known}" if job.fine_tuned_model else None
    return replace(job, fine_tuned_model=None, servable=None, serving=None, serving_hint=hint)


def has_model(job: JobView) -> bool:
    """Whether the account has its model."""
    return bool(job.fine_tuned_model)


def is_servable(job: JobView) -> bool:
    """Whether the model can be called now: by itself, or through its deployment."""
    return has_model(job) and (bool(job.servable) or is_deployed(job)) and job.gone_at is None


def is_deployed(job: JobView) -> bool:
    """Whether the model is called through a deployment that is ready."""
    return job.serving is not None and job.serving.callable and job.serving.deployment is not None


def get_model_string(job: JobView) -> str:
    """Return what a client sends as `model`: the name of the deployment, else the model id; empty without a model."""
    deployed = job.serving.model if job.serving and is_deployed(job) else None
    return deployed or job.fine_tuned_model or ""


def select_models(
    name: str,
    jobs: Iterable[JobView],
    accounts: Mapping[str, Account],
    *,
    labels: Collection[str] = (),
    providers: Collection[str] = (),
    run_names: Mapping[str, str] | None = None,
) -> ModelSet:
    """Select jobs with one of the labels and at one of the providers; an empty filter matches all jobs.

    `run_names` are the names of the runs by id if the jobs are those of several runs.
    """
    selected = [
        job
        for job in jobs
        if (not labels or not set(labels).isdisjoint(job.labels)) and (not providers or job.provider in providers)
    ]
    return ModelSet(name=name, jobs=tuple(selected), accounts=accounts, run_names=run_names or {})


def left_out_reason(job: JobView) -> str:
    """Return why the account's model cannot be called."""
    if not has_model(job):
        return job.serving_hint or "has no model yet"
    if job.gone_at is None and job.serving_hint:
        return job.serving_hint
    return "is no longer at the provider"


def find_inference_url(models: ModelSet, job: JobView) -> str | None:
    """Return the base URL where the model is called; None for OpenAI's own, which every client knows."""
    if job.serving and job.serving.base_url and is_deployed(job):
        return job.serving.base_url
    info, account = PROVIDERS[ProviderName(job.provider)], models.accounts.get(job.account)
    own_url = account.base_url if account and info.serves_at_base_url else None
    if own_url and info.inference_path:
        return "{0.scheme}://{0.netloc}".format(urlsplit(own_url)) + info.inference_path
    return own_url or info.inference_url

"""Selection: what is exported."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from orchestrator.core.account import Account

if TYPE_CHECKING:  # half a second that the help of the commands does not need
    from orchestrator.status import JobView


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSet:
    """The run's `name`, its jobs, and the listed accounts by name: they say where a key is, and what is called.

    `left_out` are jobs that were wanted, but whose models nobody can call yet.
    """

    name: str
    jobs: tuple[JobView, ...]
    accounts: Mapping[str, Account]
    left_out: tuple[JobView, ...] = ()

    def with_only(self, is_included: Callable[[JobView], object]) -> ModelSet:
        """Those that are wanted; the others are left out."""
        return replace(
            self,
            jobs=tuple(job for job in self.jobs if is_included(job)),
            left_out=tuple(job for job in self.jobs if not is_included(job)),
        )


def has_model(job: JobView) -> bool:
    """Whether the account has its model."""
    return bool(job.fine_tuned_model)


def is_servable(job: JobView) -> bool:
    """Whether anybody with the account's key can call the model as it is."""
    return has_model(job) and bool(job.servable) and job.gone_at is None


def select_models(
    name: str,
    jobs: Iterable[JobView],
    accounts: Mapping[str, Account],
    *,
    labels: Collection[str] = (),
    providers: Collection[str] = (),
) -> ModelSet:
    """The jobs of accounts with one of the labels, at one of the providers; none given is no condition."""
    wanted = [
        job
        for job in jobs
        if (not labels or not set(labels).isdisjoint(job.labels)) and (not providers or job.provider in providers)
    ]
    return ModelSet(name=name, jobs=tuple(wanted), accounts=accounts)


def left_out_reason(job: JobView) -> str:
    """Why nobody can call the account's model."""
    if not has_model(job):
        return "has no model yet"
    if job.gone_at is None and job.serving_hint:
        return job.serving_hint
    return "is no longer at the provider"

"""Deployments at a provider, in a form common to all, and the search for the one that is ours."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from orchestrator.core.errors import DeploymentNameTaken
from orchestrator.core.structs import Struct


class RemoteDeploymentStatus(StrEnum):
    """The status of a remote deployment. UNKNOWN is not an end: it is polled again and `raw_status` is shown.

    ASLEEP is scaled to zero: the first call wakes it. STOPPED exists, is not billed and cannot be called.
    """

    CREATING = "creating"
    RUNNING = "running"
    ASLEEP = "asleep"
    DEGRADED = "degraded"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"
    UNKNOWN = "unknown"


CALLABLE_STATUSES = frozenset(
    {RemoteDeploymentStatus.RUNNING, RemoteDeploymentStatus.ASLEEP, RemoteDeploymentStatus.DEGRADED}
)
"""The known statuses in which a call may be answered."""


class RemoteDeployment(Struct, frozen=True, kw_only=True):
    """A deployment at the provider. None: the provider does not report it. Times are epoch seconds."""

    id: str
    status: RemoteDeploymentStatus
    raw_status: str
    model: str  # the provider's id of the served model; empty: not reported
    tag: str | None = None  # what it shows of our tag, in its name, its tags or its description
    model_string: str | None = None
    base_url: str | None = None
    usd_per_hour: float | None = None  # of one replica; 0: not billed by the hour
    price_source: str | None = None
    ready_replicas: int | None = None
    message: str | None = None  # why it failed, or what it waits for
    warning: str | None = None  # of a create: which option the provider has not kept, and what follows from it
    failed_by_conflict: bool = False  # another operation of the account was in progress: it may be created again
    created_at: float | None = None
    expires_at: float | None = None  # when the provider removes it by itself
    stop_at: float | None = None  # our own expiry, where it was written at the provider with the create
    request_id: str | None = None  # of the request that returned this

    @property
    def is_worth_a_call(self) -> bool:
        """Whether a call may be answered. An unknown status counts: the control plane may lag."""
        return self.status in CALLABLE_STATUSES or self.status is RemoteDeploymentStatus.UNKNOWN


class RemoteMatches(Struct, frozen=True):
    """The remote deployments of one tag: the one that is used, and others that are billed for nothing."""

    chosen: RemoteDeployment | None
    surplus: tuple[RemoteDeployment, ...] = ()


def select_remote_deployment(
    tag: str, model: str, found: Iterable[RemoteDeployment], *, named: RemoteDeployment | None = None
) -> RemoteMatches:
    """Select the remote deployment with our tag and our model. The oldest is used; more than one is a surplus.

    `named` is what the provider has under the name that we would use. Raises DeploymentNameTaken if that is not ours:
    a create under this name could change somebody else's deployment (Azure does so), so it must not be sent.
    """
    if named is not None and not _is_ours(tag, model, named):
        raise DeploymentNameTaken(
            f"the deployment {named.id} has the name that the service would use, but serves "
            f"{named.model or 'an unknown model'} and does not carry the tag {tag}"
        )
    candidates = {each.id: each for each in [*found, *([named] if named else [])] if _is_ours(tag, model, each)}
    in_order = sorted(candidates.values(), key=lambda each: (each.created_at or 0.0, each.id))
    return RemoteMatches(in_order[0] if in_order else None, tuple(in_order[1:]))


def _is_ours(tag: str, model: str, remote: RemoteDeployment) -> bool:
    """Return whether it carries the tag and serves the model. A model that is not reported matches."""
    return remote.tag == tag and remote.model in ("", model)

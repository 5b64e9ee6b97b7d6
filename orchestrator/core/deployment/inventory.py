"""Compares what a provider has with our tag with what the database has, after a lost database or a wrong end."""

# The provider is the truth about what is billed. Its list is read at the start and once a day. Five differences can
# be found, and only a leftover runs on without an end, until somebody removes it:
#
#   unknown     no record has its id: the database was lost, or is another one. It gets a record, and an expiry: the
#               one that was written at the provider, else ADOPTION_SECONDS from now. It is not stopped at once,
#               because somebody may use it, and because the plan may request it again in the next minute.
#   reappeared  its record has ended: it is removed.
#   leftover    it has the tag of an earlier round: the record is about another one, so it is reported and can only be
#               removed by its own id.
#
#   early       its record is wanted: the database was lost, and its job has requested it again. It is linked at once,
#               because a record that waits for an approval of its price would never be searched for, nor be stopped.
#   later       it has the tag of a later round than its record: the database was restored from a backup. It is linked
#               with the record, and keeps its end.
#
# A deployment that is being created is none of these: its own search finds it before a create.

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from orchestrator.core.account import ProviderName
from orchestrator.core.deployment.deployment import Deployment, DeploymentId, format_deployment_name
from orchestrator.core.deployment.deployment_offers import DEPLOYMENT_OFFERS
from orchestrator.core.deployment.deployment_spec import SECONDS_PER_HOUR, DeploymentKind, DeploymentSpec
from orchestrator.core.deployment.lifecycle import TERMINAL_DEPLOYMENT_STATES, DeploymentState
from orchestrator.core.deployment.remote_deployment import RemoteDeployment
from orchestrator.core.deployment.transitions import (
    DeploymentOutcome,
    record_created,
    record_reappearance,
    request_again,
    start_create,
)
from orchestrator.core.structs import Struct, replace

SHORTEST_READABLE_NAME: Final = len(format_deployment_name(f"{'0' * 16}.0"))
MAX_LATER_ROUNDS: Final = 1000  # that a backup can lack: anyone who uses the account can write a tag
ADOPTION_SECONDS: Final = 3600.0
"""How long a deployment without a record is kept if the provider does not show when it was to be stopped."""
# Anyone who uses the account can write a tag: a round that no column can hold must not stop the comparison.
_TAG: Final = re.compile(r"([0-9a-f]{16})\.([0-9]{1,9})")


class InventoryDifferences(Struct, frozen=True, kw_only=True):
    """What the provider has and the database does not expect."""

    unknown: tuple[Deployment, ...] = ()  # new records
    reappeared: tuple[DeploymentOutcome, ...] = ()
    leftovers: tuple[RemoteDeployment, ...] = ()
    early: tuple[tuple[Deployment, RemoteDeployment], ...] = ()  # the record of each, and what exists already
    later: tuple[tuple[Deployment, RemoteDeployment], ...] = ()  # the record of an earlier round, and what exists


def compare_inventory(
    account: str,
    provider: ProviderName,
    listed: Iterable[RemoteDeployment],
    recorded: Iterable[Deployment],
    *,
    now: float,
) -> InventoryDifferences:
    """Compare the deployments that the provider lists with our tag with the account's records."""
    by_id = {each.id: each for each in recorded}
    unknown: dict[DeploymentId, Deployment] = {}
    reappeared: dict[DeploymentId, DeploymentOutcome] = {}
    leftovers = []
    early: dict[DeploymentId, tuple[Deployment, RemoteDeployment]] = {}
    later: dict[DeploymentId, tuple[Deployment, RemoteDeployment]] = {}
    for remote in sorted(listed, key=lambda each: (each.created_at or 0.0, each.id)):
        tag = parse_deployment_tag(remote.tag or "") or _find_hashed_tag(provider, remote, by_id.values())
        if tag is None:  # not ours
            continue
        known = by_id.get(tag[0])
        if known is None and tag[0] not in unknown:
            unknown[tag[0]] = _adopt(account, provider, remote, tag, now)
        elif known is not None and _is_later_round(known, remote, tag[1]) and known.id not in later:
            later[known.id] = known, remote
        elif known is None or known.round != tag[1]:
            leftovers.append(remote)
        elif known.state is DeploymentState.WANTED:
            early.setdefault(known.id, (known, remote))
        elif known.state in TERMINAL_DEPLOYMENT_STATES:
            reappeared.setdefault(known.id, record_reappearance(known, remote, now=now))
    return InventoryDifferences(
        unknown=tuple(unknown.values()),
        reappeared=tuple(reappeared.values()),
        leftovers=tuple(leftovers),
        early=tuple(early.values()),
        later=tuple((known, remote) for known, remote in later.values() if known.id not in reappeared),
    )


def list_link_outcomes(deployment: Deployment, remote: RemoteDeployment, *, now: float) -> list[DeploymentOutcome]:
    """Return the two changes that link a wanted deployment with what exists already, without a create.

    Its price is no question any more: it is billed, since its create. The end that was written at the provider stays.
    """
    started = start_create(replace(deployment, hold=None, failure=None), now=now, intent_until=now)
    ends = [each for each in (remote.expires_at, remote.stop_at) if each is not None]
    linked = record_created(started.deployment, replace(remote, expires_at=min(ends, default=None)), now=now)
    created_at = min(remote.created_at or now, now)
    return [started, replace(linked, deployment=replace(linked.deployment, create_started_at=created_at))]


def list_later_outcomes(deployment: Deployment, remote: RemoteDeployment, *, now: float) -> list[DeploymentOutcome]:
    """Return the changes that link the record of an earlier round with what exists. No comparison stops it.

    How long it was to be kept follows from its create and its end, where the provider shows both.
    """
    tag = parse_deployment_tag(remote.tag or "")
    assert tag is not None  # see `compare_inventory`
    outcomes = [] if deployment.state is DeploymentState.WANTED else [request_again(deployment, now=now)]
    spec = deployment.spec
    if remote.stop_at is not None and remote.created_at is not None:
        spec = replace(spec, keep_hours=max(remote.stop_at - remote.created_at, 0.0) / SECONDS_PER_HOUR)
    latest = outcomes[-1].deployment if outcomes else deployment
    wanted = replace(latest, round=tag[1], spec=spec, comparison_id=None)
    return [*outcomes, *list_link_outcomes(wanted, remote, now=now)]


def _is_later_round(known: Deployment, remote: RemoteDeployment, number: int) -> bool:
    """Return whether the remote deployment belongs to a later round of a record that has none at the provider."""
    has_none = known.state is DeploymentState.WANTED or known.state in TERMINAL_DEPLOYMENT_STATES
    is_later = known.round < number <= known.round + MAX_LATER_ROUNDS
    return has_none and is_later and remote.tag is not None and remote.model in ("", known.model)


def parse_deployment_tag(tag: str) -> tuple[DeploymentId, int] | None:
    """Return the id and the round of a tag; None if it is no tag of a deployment."""
    match = _TAG.fullmatch(tag)
    return (DeploymentId(match[1]), int(match[2])) if match else None


def _find_hashed_tag(
    provider: ProviderName, remote: RemoteDeployment, recorded: Iterable[Deployment]
) -> tuple[DeploymentId, int] | None:
    """Return the id and the round of a remote deployment without a tag, whose name is a hash of one.

    A hash cannot be read, so it is compared with the names that the records would have. None: it is not ours, or the
    database was lost; then it is found when its plan exists again.
    """
    length = DEPLOYMENT_OFFERS[provider].name_length
    if remote.tag is not None or length >= SHORTEST_READABLE_NAME:
        return None
    for each in recorded:
        for number in range(each.round, -1, -1):
            name = format_deployment_name(f"{each.id}.{number}", length)
            if remote.id.endswith(f"-{name}") and remote.model in ("", each.model):
                return each.id, number
    return None


def _adopt(
    account: str, provider: ProviderName, remote: RemoteDeployment, tag: tuple[DeploymentId, int], now: float
) -> Deployment:
    """Build a record for a deployment without one. It counts as billed by the hour: that is the safe side."""
    created_at = min(remote.created_at or now, now)
    ends = [remote.stop_at if remote.stop_at is not None else now + ADOPTION_SECONDS]
    if remote.expires_at is not None:
        ends.append(remote.expires_at)
    expires_at = min(ends)
    return Deployment(
        id=tag[0],
        job_id=None,
        account=account,
        provider=provider,
        model=remote.model,
        spec=DeploymentSpec(
            kind=DeploymentKind.HOUR, keep_hours=max(expires_at - created_at, 0.0) / SECONDS_PER_HOUR
        ),
        state=DeploymentState.STARTING,
        round=tag[1],
        wake_at=now,
        expires_at=expires_at,
        remote_id=remote.id,
        remote_status=remote.raw_status,
        model_string=remote.model_string,
        base_url=remote.base_url,
        usd_per_hour=remote.usd_per_hour,
        price_source=remote.price_source,
        created_at=now,
        state_since=now,
        create_started_at=created_at,
    )

"""Run: one dataset and one training spec a provider, across a set of accounts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator.core.account import ProviderName
from orchestrator.core.hold import SELF_RELEASING_HOLD_KINDS, Hold
from orchestrator.core.jobs.job import RunId
from orchestrator.core.jobs.pins import PinnedValues
from orchestrator.core.moderation import Moderation
from orchestrator.core.spec import TrainingSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What is known of a run. Times are epoch seconds, UTC.

    Only one run is `current`: what the accounts file says now. `started_at` is None while files are only replicated
    (`upload`). `planned_usd` is None where the price is unknown; an approval covers a price up to `approved_usd`, or
    any when that is None. `hold` is about the price.
    """

    id: RunId
    name: str
    dataset_sha256: str
    specs: Mapping[ProviderName, TrainingSpec]
    current: bool = True
    created_at: float
    started_at: float | None = None
    approved_at: float | None = None
    approved_by: str | None = None
    approved_usd: float | None = None
    pins: Mapping[ProviderName, PinnedValues | None] = field(default_factory=dict)
    planned_usd: float | None = None
    hold: Hold | None = None
    moderation: Moderation | None = None

    @property
    def holds(self) -> tuple[Hold, ...]:
        """Everything that sets the run aside before its jobs are submitted; first what needs a person."""
        moderation = self.moderation.hold if self.moderation else None
        holds = [hold for hold in (moderation, self.hold) if hold]
        return tuple(sorted(holds, key=lambda hold: hold.kind in SELF_RELEASING_HOLD_KINDS))


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountState:
    """What is known of an account besides the accounts file: whose key it is, and whether it is held.

    `definition` is the digest of everything that says which key is used where; when it changes, the account is
    verified anew. `webhook_seen_at` is when its provider last told us of a job of ours.
    """

    name: str
    provider: ProviderName
    definition: str
    key_fingerprint: str
    organization: str | None = None
    project: str | None = None
    labels: tuple[str, ...] = ()
    verified_at: float | None = None
    removed_at: float | None = None
    hold: Hold | None = None
    webhook_seen_at: float | None = None

"""A run: one dataset, and one training spec for each provider, across a set of accounts."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.core.account import ProviderName
from orchestrator.core.hold import SELF_RELEASING_HOLD_KINDS, Hold
from orchestrator.core.jobs.job import RunId
from orchestrator.core.jobs.pins import PinnedValues
from orchestrator.core.moderation import Moderation
from orchestrator.core.spec import TrainingSpec
from orchestrator.core.structs import Struct, field


class Run(Struct, frozen=True, kw_only=True):
    """The stored state of a run. Times are epoch seconds, UTC."""

    id: RunId  # derived from the dataset and the specs: the same work has the same id
    name: str  # of the run in the accounts file; no part of its identity
    dataset_sha256: str
    specs: Mapping[ProviderName, TrainingSpec]
    current: bool = True  # whether the accounts file describes it now
    priority: int = 0  # a free job slot of an account goes to the run with the higher priority, then to the older run
    gate: bool = False  # whether exports hold only models that are alike or accepted (core/comparison/gate.py)
    created_at: float
    started_at: float | None = None  # None while files are only uploaded (`orchestrator upload`)
    approved_at: float | None = None  # when an operator approved the run despite a hold of its price or base model
    approved_by: str | None = None
    approved_usd: float | None = None  # the price that the approval covers; None covers any price
    pins: Mapping[ProviderName, PinnedValues | None] = field(default_factory=dict)
    """The values that the provider chose for the first job and that the others use.

    None: the others wait for them. A provider without an entry does not pin values.
    """
    planned_usd: float | None = None  # estimated price of the whole run; None: a part is unknown
    planned_limit_usd: float | None = None  # the largest `planned_usd` that `max_total_usd` allows; None: any
    hold: Hold | None = None  # set by the plan: price, or a base model that retires soon
    moderation: Moderation | None = None  # None: no moderation is required

    def is_price_approved(self, usd: float | None) -> bool:
        """Return whether an operator approved the run at this price; None is a price with an unknown part."""
        is_covered = self.approved_usd is None or (usd is not None and usd <= self.approved_usd)
        return self.approved_at is not None and is_covered

    @property
    def rank(self) -> tuple[int, float, str]:
        """The order of runs that compete for a job slot: the run with the lowest rank is first."""
        return (-self.priority, self.created_at, self.id)

    @property
    def holds(self) -> tuple[Hold, ...]:
        """Return the holds that stop jobs which are not submitted yet; those that need an operator come first."""
        moderation = self.moderation.hold if self.moderation else None
        holds = [hold for hold in (moderation, self.hold) if hold]
        return tuple(sorted(holds, key=lambda hold: hold.kind in SELF_RELEASING_HOLD_KINDS))

"""Deployment specs: how the models of one provider are deployed. Values of `[run.PROVIDER.deployment]`."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Self

from orchestrator.core.structs import Struct, asdict

SECONDS_PER_HOUR = 3600.0


class DeploymentKind(StrEnum):
    """How a deployment is billed. The values are stored, and written in the accounts file."""

    TOKEN = "token"  # noqa: S105 - a unit of text
    HOUR = "hour"


class DeploymentSpec(Struct, frozen=True, kw_only=True):
    """How a model is deployed. The field names are the keys of the accounts file.

    It is no part of an identity: with other options the same model still has one deployment, not two.
    """

    kind: DeploymentKind
    keep_hours: float  # from the create on; the service then stops the deployment
    hardware: str | None = None  # the provider's word, such as "nvidia-h100-80gb"; None: the provider chooses
    shape: str | None = None  # fireworks: a preset that fixes accelerator and precision
    config: str | None = None  # together: id of a configuration; azure: the type, "Standard" or "GlobalStandard"
    capacity: int | None = None  # azure: in thousands of tokens a minute; None: DEFAULT_CAPACITY of its adapter
    min_replicas: int | None = None  # None: the smallest number that the provider allows
    max_replicas: int | None = None
    idle_stop_minutes: int | None = None  # the provider stops it after this time without calls; None: never
    precision: str | None = None  # such as "FP8"; the same in all accounts, so that their answers are comparable

    @property
    def keep_seconds(self) -> float:
        """The time from the create to the expiry."""
        return self.keep_hours * SECONDS_PER_HOUR

    @property
    def billed_replicas(self) -> int:
        """The largest number of replicas that can be billed at the same time."""
        return max(self.max_replicas or 1, self.min_replicas or 1)

    def as_dict(self) -> dict[str, Any]:
        """Convert to plain values for the database; options without a value are left out."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build a spec from the values of `as_dict`."""
        return cls(**{**values, "kind": DeploymentKind(values["kind"])})

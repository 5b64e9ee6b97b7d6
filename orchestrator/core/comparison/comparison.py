"""A comparison of the models of a run, as it is stored: which models are asked which probes, and what it cost.

The answers are rows of their own. A comparison is continued by whoever claims it next: what has been answered is not
asked again.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Self

from orchestrator.core.comparison.measurement import ComparisonMargins
from orchestrator.core.comparison.probe import DEFAULT_HELD_OUT_PROBES
from orchestrator.core.comparison.quality import ScoringMethod
from orchestrator.core.comparison.request_plan import InferencePrice
from orchestrator.core.structs import Struct, asdict, field


class ComparisonState(StrEnum):
    """The states of a comparison. These values are stored and are part of the API."""

    ASKING = "asking"
    FINISHED = "finished"
    STOPPED = "stopped"  # a limit was reached, or the comparison cannot be continued; `message` says why


class ComparisonSettings(Struct, frozen=True, kw_only=True):
    """What an operator chooses for a comparison."""

    probes: int = DEFAULT_HELD_OUT_PROBES  # held-out examples, at most
    probes_file: str | None = None  # absolute path of the operator's own probes, instead of held-out examples
    behaviour_probes: bool = True  # also the questions that are shipped with the program
    max_output_tokens: int | None = None  # None: from the lengths of the reference answers
    scoring: ScoringMethod = ScoringMethod.TEXT
    quality_margin: float | None = None  # None: that of ComparisonMargins
    max_usd: float | None = None
    store_answers: bool = True  # False: the texts of answers are deleted when the comparison ends
    round_gap_seconds: float = 300.0  # between the two rounds
    seed: int = 0
    deploy: bool = False  # deploy the models that need it, and stop these deployments at the end

    @property
    def margins(self) -> ComparisonMargins:
        """The largest differences that count as alike."""
        return ComparisonMargins() if self.quality_margin is None else ComparisonMargins(quality=self.quality_margin)

    def as_dict(self) -> dict[str, Any]:
        """Convert to plain values."""
        values = asdict(self)
        if self.probes_file is None:
            del values["probes_file"]  # a replica of an earlier revision would not know it
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build settings from the values of `as_dict`. Those that only a later version knows are ignored."""
        known = {name: value for name, value in values.items() if name in cls.__struct_fields__}
        return cls(**{**known, "scoring": ScoringMethod(values.get("scoring", ScoringMethod.TEXT))})


class ModelToAsk(Struct, frozen=True, kw_only=True):
    """A model of a comparison: the fine-tuned model of an account, or the untuned base model of a group."""

    name: str  # of the account; of a base model, `base GROUP`
    account: str  # whose key is used
    group: str  # provider and base model
    model: str
    base_url: str
    is_base: bool = False
    job_id: str | None = None
    fine_tuned_model: str | None = None  # its id, which a deployment's `model` does not show; None: of a base model
    price: InferencePrice | None = None  # None: unknown
    deployment_id: str | None = None  # the deployment that is waited for; `base_url` is empty until it is ready
    starts_deployment: bool = False  # whether the comparison requests it, and stops it
    hosting_usd: float | None = 0.0  # highest price of a deployment that the comparison starts; None: unknown
    hosted_before_usd: float | None = None  # what that deployment had cost before, in earlier rounds; None: unknown
    scores_references: bool = False  # whether the log-probability of reference answers is requested
    reference_logprobs: Mapping[str, float | None] = field(default_factory=dict)  # by probe; None: not certain

    def calculate_usd(self, prompt_tokens: int | None, output_tokens: int | None) -> float | None:
        """Return the price of one call; None if the price or a number of tokens is unknown."""
        if self.price is None or prompt_tokens is None or output_tokens is None:
            return None
        return self.price.calculate_usd(prompt_tokens, output_tokens)

    def as_dict(self) -> dict[str, Any]:
        """Convert to plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build a model from the values of `as_dict`."""
        price = values["price"]
        known = {name: value for name, value in values.items() if name in cls.__struct_fields__}
        return cls(**{**known, "price": InferencePrice(**price) if price else None})


class Comparison(Struct, frozen=True, kw_only=True):
    """One comparison of a run's models."""

    id: str
    run_id: str
    state: ComparisonState
    created_at: float  # epoch seconds
    created_by: str  # actor, as in the event history
    settings: ComparisonSettings
    models: tuple[ModelToAsk, ...]
    probe_set: str  # hash of the probes
    probe_ids: tuple[str, ...]
    max_output_tokens: int
    requests: int = 0  # sent, failed ones included
    spent_usd: float | None = None  # for the calls; None: a price is unknown
    hosting_usd: float | None = 0.0  # for the deployments that it started; None: a price is unknown
    first_round_at: float | None = None  # when the first round was complete
    claimed_by: str | None = None  # process that asks
    claimed_until: float | None = None
    finished_at: float | None = None
    result: Mapping[str, Any] | None = field(default=None)  # the JSON document
    message: str | None = None

    @property
    def total_usd(self) -> float | None:
        """What the calls and the deployments cost until now; None: a price is unknown."""
        if self.spent_usd is None or self.hosting_usd is None:
            return None
        return self.spent_usd + self.hosting_usd

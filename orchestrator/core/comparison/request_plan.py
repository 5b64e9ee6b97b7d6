"""The requests of a comparison: how many, in which order, what they cost, and when to stop.

Prices are estimated before the first request and counted while the comparison runs. An unknown price is never a
guess: with a limit in US dollars, a model without a price is not queried.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from orchestrator.core.comparison.probe import Probe
from orchestrator.core.structs import Struct
from orchestrator.core.text import format_count, format_different_usd

ROUNDS: Final = 2
REFERENCE_ROUND: Final = 0  # of the requests about reference answers, which have no stored answer
MIN_ROUND_GAP_SECONDS: Final = 300.0  # so that the rounds do not share a batch at the provider
MIN_OUTPUT_TOKENS, MAX_OUTPUT_TOKENS = 16, 512
_OUTPUT_FACTOR: Final = 1.5
_BYTES_PER_TOKEN: Final = 3  # low for English, so that the estimate is rather too high
_MESSAGE_TOKENS: Final = 8
CALLS_PER_MODEL: Final = 4  # at the same time
MAX_START_HOURS: Final = 0.75
_SECONDS_PER_CALL: Final = 2.0
_HOSTING_STEP_HOURS: Final = 0.25


class InferencePrice(Struct, frozen=True, kw_only=True):
    """The price of calling one model, in US dollars."""

    usd_per_million_input_tokens: float
    usd_per_million_output_tokens: float
    usd_per_hour: float = 0.0  # of its deployment

    def calculate_usd(self, input_tokens: int, output_tokens: int) -> float:
        """Return the price of the tokens, without the deployment."""
        usd = input_tokens * self.usd_per_million_input_tokens + output_tokens * self.usd_per_million_output_tokens
        return usd / 1_000_000


class ComparedModel(Struct, frozen=True, kw_only=True):
    """A model that is queried."""

    name: str  # of the account, or of the base model of a group
    price: InferencePrice | None  # None: unknown
    rounds: int = ROUNDS  # a base model is queried once
    hosting_usd: float | None = 0.0  # highest price of its deployment until that is stopped; None: unknown
    scores_references: bool = False  # whether each reference answer is sent once, for its log-probability


class ProbeRequest(Struct, frozen=True):
    """One request of the plan. Its key identifies the stored answer, so that a request is never sent twice."""

    model: str
    probe_id: str
    round: int  # from 1

    @property
    def key(self) -> tuple[str, str, int]:
        return self.model, self.probe_id, self.round


class ModelEstimate(Struct, frozen=True, kw_only=True):
    """What the requests to one model are expected to cost."""

    name: str
    requests: int
    input_tokens: int
    output_tokens: int  # at most: with the maximum of every answer
    token_usd: float | None  # None: the price is unknown
    hosting_usd: float | None

    @property
    def usd(self) -> float | None:
        if self.token_usd is None or self.hosting_usd is None:
            return None
        return self.token_usd + self.hosting_usd


class RequestLimits(Struct, frozen=True, kw_only=True):
    """Limits of one comparison. None is no limit."""

    max_usd: float | None = None
    max_requests: int | None = None


class RequestPlan(Struct, frozen=True, kw_only=True):
    """All requests of a comparison with their estimated price."""

    models: tuple[ComparedModel, ...]
    probes: tuple[Probe, ...]
    max_output_tokens: int
    estimates: tuple[ModelEstimate, ...]
    limits: RequestLimits
    seed: int = 0

    @property
    def requests(self) -> int:
        return sum(each.requests for each in self.estimates)

    @property
    def usd(self) -> float | None:
        """The estimated price, or None if the price of a model is unknown."""
        known = [each.usd for each in self.estimates if each.usd is not None]
        return sum(known) if len(known) == len(self.estimates) else None

    def find_obstacle(self) -> str | None:
        """Return why the plan must not be executed, with the next step, or None."""
        limits = self.limits
        if limits.max_requests is not None and self.requests > limits.max_requests:
            return (
                f"the comparison needs {format_count(self.requests, 'request')}, the limit is "
                f"{limits.max_requests}. Use fewer probes or raise the limit"
            )
        if limits.max_usd is None:
            return None
        unknown = [each.name for each in self.estimates if each.usd is None]
        if unknown:
            return f"the price of {unknown[0]} is unknown. Add it to a prices file, or remove max_usd"
        if self.usd is not None and self.usd > limits.max_usd:
            usd, limit = format_different_usd(self.usd, limits.max_usd)
            return f"the comparison is estimated at {usd}, the limit is {limit}. Use fewer probes or raise max_usd"
        return None

    def iter_requests(self, answered: frozenset[tuple[str, str, int]] = frozenset()) -> Iterator[ProbeRequest]:
        """Yield the requests that have no stored answer: round by round, with the models in mixed order.

        Models are mixed for each probe, so that a change of a provider's load or version affects all of them. The
        order depends on the seed only, so a comparison that was interrupted continues in the same order.
        """
        for round_number in range(1, ROUNDS + 1):
            generator = random.Random(f"{self.seed} {round_number}")
            probes = list(self.probes)
            generator.shuffle(probes)
            for probe in probes:
                models = [model for model in self.models if round_number <= model.rounds]
                generator.shuffle(models)
                for model in models:
                    request = ProbeRequest(model.name, probe.probe_id, round_number)
                    if request.key not in answered:
                        yield request


def build_request_plan(
    models: Sequence[ComparedModel],
    probes: Sequence[Probe],
    *,
    limits: RequestLimits | None = None,
    hosting_hours: float = 0.0,
    seed: int = 0,
    max_output_tokens: int | None = None,
) -> RequestPlan:
    """Plan the requests. `hosting_hours` is how long deployments that are paid by the hour are expected to run.

    Without `max_output_tokens` the maximum follows from the lengths of the references.
    """
    maximum = max_output_tokens or calculate_max_output_tokens(probes)
    input_tokens = sum(map(_estimate_input_tokens, probes))
    scored = [probe for probe in probes if probe.reference is not None]
    scored_tokens = sum(_estimate_input_tokens(probe) + estimate_reference_tokens(probe) for probe in scored)
    estimates = []
    for model in models:
        sent, received = model.rounds * input_tokens, model.rounds * len(probes) * maximum
        requests = model.rounds * len(probes)
        if model.scores_references:
            sent, received, requests = sent + scored_tokens, received + len(scored), requests + len(scored)
        price = model.price
        estimates.append(
            ModelEstimate(
                name=model.name,
                requests=requests,
                input_tokens=sent,
                output_tokens=received,
                token_usd=price.calculate_usd(sent, received) if price else None,
                hosting_usd=_add_hosting(model, hosting_hours),
            )
        )
    return RequestPlan(
        models=tuple(models),
        probes=tuple(probes),
        max_output_tokens=maximum,
        estimates=tuple(estimates),
        limits=limits or RequestLimits(),
        seed=seed,
    )


def _estimate_input_tokens(probe: Probe) -> int:
    return estimate_tokens(probe.messages) + _MESSAGE_TOKENS


def estimate_reference_tokens(probe: Probe) -> int:
    """Estimate the tokens that the reference answer adds to a prompt."""
    return estimate_tokens(probe.reference or "") + _MESSAGE_TOKENS


def _add_hosting(model: ComparedModel, hours: float) -> float | None:
    if model.hosting_usd is None or model.price is None:
        return None
    return model.hosting_usd + model.price.usd_per_hour * hours


def estimate_hosting_hours(probes: int, round_gap_seconds: float) -> float:
    """Estimate how long a deployment is needed at most: until it is ready, and twice as long as asking takes."""
    asking = probes * ROUNDS * _SECONDS_PER_CALL / CALLS_PER_MODEL + round_gap_seconds
    hours = MAX_START_HOURS + 2 * asking / 3600
    return math.ceil(hours / _HOSTING_STEP_HOURS) * _HOSTING_STEP_HOURS


def calculate_max_output_tokens(probes: Sequence[Probe]) -> int:
    """Return 1.5 times the 95th percentile of the references' lengths, within 16 to 512 tokens."""
    lengths = sorted(estimate_tokens(probe.reference) for probe in probes if probe.reference is not None)
    if not lengths:
        return MAX_OUTPUT_TOKENS
    percentile = lengths[math.ceil(0.95 * len(lengths)) - 1]
    return min(max(math.ceil(_OUTPUT_FACTOR * percentile), MIN_OUTPUT_TOKENS), MAX_OUTPUT_TOKENS)


def estimate_tokens(text: str) -> int:
    """Estimate the number of tokens of a text from its bytes, rather too high than too low."""
    return math.ceil(len(text.encode()) / _BYTES_PER_TOKEN)


class SpendingMeter:
    """Counts what the requests of a comparison cost, and stops it before a request that could exceed the limit."""

    def __init__(self, plan: RequestPlan, spent_usd: float = 0.0, requests: int = 0) -> None:
        """`spent_usd` and `requests` are what was counted before an interruption."""
        self._limits = plan.limits
        self._prices: Mapping[str, InferencePrice | None] = {model.name: model.price for model in plan.models}
        self._max_output_tokens = plan.max_output_tokens
        self._input_tokens = {probe.probe_id: _estimate_input_tokens(probe) for probe in plan.probes}
        self._reserved_usd: dict[tuple[str, str, int], float] = {}
        self.spent_usd = spent_usd
        self.requests = requests

    def acquire_request(self, request: ProbeRequest, hosting_usd: float = 0.0, *, more_tokens: int = 0) -> bool:
        """Reserve the highest price of a request, or return False if it could exceed a limit.

        `hosting_usd` is what the deployments of the comparison cost until now, `more_tokens` is what is sent besides
        the prompt. Concurrent requests count with their reservation, because their real price is not known yet.
        """
        price = self._prices[request.model]
        tokens = self._input_tokens[request.probe_id] + more_tokens
        usd = price.calculate_usd(tokens, self._max_output_tokens) if price else 0.0
        limits = self._limits
        if limits.max_requests is not None and self.requests >= limits.max_requests:
            return False
        committed_usd = self.spent_usd + sum(self._reserved_usd.values()) + usd + hosting_usd
        if limits.max_usd is not None and (price is None or committed_usd > limits.max_usd):
            return False
        self._reserved_usd[request.key] = usd
        self.requests += 1
        return True

    def keep_reservations(self) -> None:
        """Count the calls in flight as spent: they end without an answer, and may be billed."""
        self.spent_usd += sum(self._reserved_usd.values())
        self._reserved_usd.clear()

    def release_request(self, request: ProbeRequest, input_tokens: int | None, output_tokens: int | None) -> None:
        """Replace the reservation by the price of the tokens that the provider counted.

        Without a count, the reservation is kept as spent: the provider may bill a request without an answer.
        """
        reserved = self._reserved_usd.pop(request.key)
        price = self._prices[request.model]
        if price is None:
            return
        if input_tokens is None or output_tokens is None:
            self.spent_usd += reserved
        else:
            self.spent_usd += price.calculate_usd(input_tokens, output_tokens)

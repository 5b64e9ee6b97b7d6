"""What a run costs: planned, submitted, quoted and trained prices, by provider and over time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from orchestrator.core.plans.price import Price
from orchestrator.core.structs import Struct

FindPrice = Callable[[str, str], Price | None]
"""Finds the price of a base model at a provider."""

MAX_BUCKETS: Final = 30
_BUCKET_SECONDS: Final = (60, 600, 3600, 6 * 3600, 86_400, 7 * 86_400)


class JobCost(Struct, frozen=True, kw_only=True):
    """What is stored about the price of one job. Prices are in US dollars, None is unknown."""

    provider: str
    base_model: str
    method: str
    planned_usd: float | None
    submitted_usd: float | None  # estimated price of its remote jobs of all rounds; None: unknown
    is_submitted: bool
    quoted_usd: float | None
    trained_tokens: int | None
    submitted_at: float | None


class Amount(Struct, frozen=True, kw_only=True):
    """A sum of known prices in US dollars, and the number of jobs of which the price is known and unknown."""

    usd: float = 0.0
    known: int = 0
    unknown: int = 0


class ProviderSpending(Struct, frozen=True, kw_only=True):
    """The prices of a run's jobs at one provider. No supported provider reports what it billed for a job."""

    provider: str
    planned: Amount
    submitted: Amount
    quoted: Amount
    trained: Amount
    trained_tokens: int


class SpendingPoint(Struct, frozen=True):
    """The estimated price of all jobs that were submitted until the end of an interval."""

    until: float
    jobs: int
    usd: float


def calculate_trained_usd(trained_tokens: int | None, method: str, price: Price | None) -> float | None:
    """Price the tokens that the provider reports as trained, in US dollars; None if tokens or price are unknown.

    The reported tokens include all epochs. The price file has no prices of dpo.
    """
    if trained_tokens is None or price is None or method == "dpo":
        return None
    return trained_tokens * price.usd_per_million_tokens / 1_000_000


def sum_by_provider(costs: Iterable[JobCost], find_price: FindPrice) -> list[ProviderSpending]:
    """Sum the prices of the jobs at each provider, sorted by provider."""
    by_provider: dict[str, list[JobCost]] = {}
    for cost in costs:
        by_provider.setdefault(cost.provider, []).append(cost)
    return [_sum_provider(name, by_provider[name], find_price) for name in sorted(by_provider)]


def sum_providers(providers: Sequence[ProviderSpending]) -> ProviderSpending:
    """Add up the prices of all providers; the sum's provider is `all`."""
    return ProviderSpending(
        provider="all",
        planned=add_amounts(each.planned for each in providers),
        submitted=add_amounts(each.submitted for each in providers),
        quoted=add_amounts(each.quoted for each in providers),
        trained=add_amounts(each.trained for each in providers),
        trained_tokens=sum(each.trained_tokens for each in providers),
    )


def add_amounts(amounts: Iterable[Amount]) -> Amount:
    """Add up sums of prices."""
    listed = list(amounts)
    return Amount(
        usd=sum(each.usd for each in listed),
        known=sum(each.known for each in listed),
        unknown=sum(each.unknown for each in listed),
    )


def _sum_provider(provider: str, costs: list[JobCost], find_price: FindPrice) -> ProviderSpending:
    submitted = [cost for cost in costs if cost.is_submitted]
    trained = [
        calculate_trained_usd(cost.trained_tokens, cost.method, find_price(provider, cost.base_model))
        for cost in costs
        if cost.trained_tokens is not None
    ]
    return ProviderSpending(
        provider=provider,
        planned=_sum_amount(cost.planned_usd for cost in costs),
        submitted=_sum_amount(cost.submitted_usd for cost in submitted),
        quoted=_sum_amount(cost.quoted_usd for cost in submitted),
        trained=_sum_amount(trained),
        trained_tokens=sum(cost.trained_tokens or 0 for cost in costs),
    )


def _sum_amount(prices: Iterable[float | None]) -> Amount:
    values = list(prices)
    known = [usd for usd in values if usd is not None]
    return Amount(usd=sum(known), known=len(known), unknown=len(values) - len(known))


def sum_over_time(costs: Iterable[JobCost]) -> list[SpendingPoint]:
    """Return the submitted price at the end of each interval in which jobs were submitted, at most MAX_BUCKETS.

    An unknown price counts as 0. Jobs count at the time of their latest submission.
    """
    dated = sorted(
        (cost.submitted_at, cost.submitted_usd or 0.0)
        for cost in costs
        if cost.is_submitted and cost.submitted_at is not None
    )
    if not dated:
        return []
    length = dated[-1][0] - dated[0][0]
    fitting = (each for each in _BUCKET_SECONDS if length / each < MAX_BUCKETS - 1)
    width = next(fitting, max(length / (MAX_BUCKETS - 1), 1.0))
    points: dict[int, SpendingPoint] = {}
    for number, (at, usd) in enumerate(dated, start=1):
        before = next(reversed(points.values())).usd if points else 0.0
        bucket = int(at // width)
        points[bucket] = SpendingPoint((bucket + 1) * width, number, before + usd)
    return list(points.values())

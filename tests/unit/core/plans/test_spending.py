from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from orchestrator.core.plans.price import Price
from orchestrator.core.plans.spending import (
    MAX_BUCKETS,
    Amount,
    JobCost,
    ProviderSpending,
    calculate_trained_usd,
    sum_by_provider,
    sum_over_time,
    sum_providers,
)

PRICE = Price(usd_per_million_tokens=5.0, as_of=date(2026, 1, 1), source="test")


def cost(**values: Any) -> JobCost:
    known: dict[str, Any] = {
        "provider": "openai",
        "base_model": "m",
        "method": "supervised",
        "planned_usd": 0.6,
        "submitted_usd": 0.6,
        "is_submitted": True,
        "quoted_usd": None,
        "trained_tokens": None,
        "submitted_at": 100.0,
    }
    return JobCost(**known | values)


@pytest.mark.parametrize(
    ("tokens", "method", "price", "usd"),
    [
        (200_000, "supervised", PRICE, 1.0),
        (None, "supervised", PRICE, None),
        (200_000, "supervised", None, None),
        (200_000, "dpo", PRICE, None),
    ],
)
def test_trained_tokens_are_priced_by_the_price_file(
    tokens: int | None, method: str, price: Price | None, usd: float | None
) -> None:
    assert calculate_trained_usd(tokens, method, price) == usd


def test_prices_are_summed_by_provider_and_unknown_ones_are_counted() -> None:
    jobs = [
        cost(trained_tokens=200_000),
        cost(planned_usd=None, submitted_usd=None),
        cost(is_submitted=False, submitted_at=None),
        cost(provider="fireworks", quoted_usd=0.7, trained_tokens=5),
    ]
    fireworks, openai = sum_by_provider(jobs, lambda provider, _: PRICE if provider == "openai" else None)
    assert openai.planned == Amount(usd=1.2, known=2, unknown=1)
    assert openai.submitted == Amount(usd=0.6, known=1, unknown=1)
    assert openai.trained == Amount(usd=1.0, known=1)
    assert (fireworks.quoted, fireworks.trained) == (Amount(usd=0.7, known=1), Amount(unknown=1))


def test_submitted_price_grows_over_time() -> None:
    points = sum_over_time([cost(submitted_at=5.0), cost(submitted_at=130.0), cost(submitted_at=None)])
    assert [(point.until, point.jobs, point.usd) for point in points] == [(60, 1, 0.6), (180, 2, 1.2)]
    assert sum_over_time([]) == []


@pytest.mark.parametrize("step", [1, 977, 86_400, 40 * 86_400])
def test_number_of_points_is_limited(step: int) -> None:
    points = sum_over_time([cost(submitted_at=1e9 + step * number) for number in range(200)])
    assert len(points) <= MAX_BUCKETS
    assert points[-1].jobs == 200


def test_prices_of_all_providers_are_added_up() -> None:
    one = ProviderSpending(
        provider="openai",
        planned=Amount(usd=2.0, known=2),
        submitted=Amount(usd=1.0, known=1, unknown=1),
        quoted=Amount(),
        trained=Amount(usd=0.5, known=1),
        trained_tokens=7,
    )
    whole = sum_providers([one, one])
    assert (whole.planned, whole.submitted) == (Amount(usd=4.0, known=4), Amount(usd=2.0, known=2, unknown=2))
    assert (whole.quoted, whole.trained, whole.trained_tokens) == (Amount(), Amount(usd=1.0, known=2), 14)


def test_points_are_an_interval_apart_that_depends_on_the_time_covered_and_not_on_the_date() -> None:
    for start in (0.0, 1.8e9):
        points = sum_over_time([cost(submitted_at=start), cost(submitted_at=start + 60)])
        assert [point.until - start for point in points] == [60, 120]

"""The costs page: planned, submitted, quoted and trained prices, by provider and over time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from orchestrator.core.plans.spending import Amount, ProviderSpending, sum_providers
from orchestrator.core.structs import Struct, replace
from orchestrator.core.text import format_number, format_time, format_usd
from orchestrator.status import RunCosts


class CostRow(Struct, frozen=True, kw_only=True):
    """The prices at one provider, as text."""

    provider: str
    planned: str
    submitted: str
    quoted: str
    trained: str
    trained_tokens: str
    is_total: bool = False  # of all providers


class CostBar(Struct, frozen=True, kw_only=True):
    """The price of all jobs submitted until a time; `length` is in thousandths of the largest price."""

    until: str
    jobs: int
    price: str
    length: float


class CostsPage(Struct, frozen=True, kw_only=True):
    """View of the page."""

    run: str | None
    rows: tuple[CostRow, ...]
    bars: tuple[CostBar, ...]


def build_costs_page(costs: RunCosts | None) -> CostsPage:
    """Build the page; without a run it has no rows."""
    if costs is None:
        return CostsPage(run=None, rows=(), bars=())
    most = max((point.usd for point in costs.over_time), default=0.0)
    return CostsPage(
        run=costs.run_name,
        rows=tuple(_build_rows(costs.providers)),
        bars=tuple(
            CostBar(
                until=format_time(point.until),
                jobs=point.jobs,
                price=format_usd(point.usd),
                length=round(1000 * point.usd / most, 1) if most else 0.0,
            )
            for point in costs.over_time
        ),
    )


def format_amount(amount: Amount, none: str) -> str:
    """Format a sum; `none` is the text if no price is known, and unknown prices are counted beside the sum."""
    if not amount.known:
        return none
    return format_usd(amount.usd) + (f" + {format_number(amount.unknown)} unknown" if amount.unknown else "")


def _build_rows(providers: Sequence[ProviderSpending]) -> Iterator[CostRow]:
    """Yield a row for each provider, and their sum if there are several."""
    for each in providers:
        yield _build_row(each)
    if len(providers) > 1:
        yield replace(_build_row(sum_providers(providers)), is_total=True)


def _build_row(each: ProviderSpending) -> CostRow:
    return CostRow(
        provider=each.provider,
        planned=format_amount(each.planned, "unknown"),
        submitted=format_amount(each.submitted, "unknown" if each.submitted.unknown else "none"),
        quoted=format_amount(each.quoted, "not reported"),
        trained=format_amount(each.trained, "unknown" if each.trained.unknown else "not reported"),
        trained_tokens=format_number(each.trained_tokens) if each.trained_tokens else "not reported",
    )

"""The page of loss curves: single curves of a few accounts, or the median, the band and the outliers of many.

The tables contain what the chart shows, for those who cannot see it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from orchestrator.core.jobs.loss import Loss
from orchestrator.core.jobs.loss_summary import BandPoint, Outlier
from orchestrator.core.structs import Struct, replace
from orchestrator.core.text import format_number
from orchestrator.status import LastLoss, LossOverview
from orchestrator.web.dashboard.page_query import ROWS_PER_PAGE, PageQuery, PaginatedView, count_pages

MAX_SINGLE_CURVES: Final = 8  # drawn one by one: as many as there are colours that can be distinguished
MAX_SUMMARISED_CURVES: Final = 1000
MAX_DRAWN_OUTLIERS: Final = 6
MAX_BAND_ROWS: Final = 12
_MIN_NAMED_DISTANCE: Final = 10


class LossRow(Struct, frozen=True, kw_only=True):
    """The last losses of an account, and how they compare with those of the others."""

    account: str
    step: str
    training: str
    validation: str
    comparison: str  # empty while there is no band
    is_outlier: bool


class BandRow(Struct, frozen=True, kw_only=True):
    """A row of the table of the bands."""

    step: str
    accounts: str
    median: str
    band: str
    validation: str
    validation_band: str


class CurvesPage(PaginatedView, frozen=True, kw_only=True):
    """View of the page. The script loads the points of the chart from `data_href`."""

    run: str | None
    total: int  # number of matching jobs
    curve_count: int  # number of them with a curve
    data_href: str
    version: str  # changes with the points of the chart
    is_summary: bool  # whether the chart shows the band instead of single curves
    band_rows: tuple[BandRow, ...]
    outliers: tuple[Outlier, ...]
    rows: tuple[LossRow, ...]

    @property
    def summarised_count(self) -> int:
        """Number of accounts whose curves are summarised."""
        return min(self.curve_count, MAX_SUMMARISED_CURVES)

    def page_href(self, page: int) -> str:
        """Return the URL of another page of the table."""
        return replace(self.query, page=page).href_for("/curves")


def build_curves_page(overview: LossOverview | None, query: PageQuery) -> CurvesPage:
    """Build the page; outliers come first in the table."""
    ordered = _sort_losses(overview) if overview else []
    query = replace(query, page=min(query.page, count_pages(len(ordered))))
    start = (query.page - 1) * ROWS_PER_PAGE
    is_summary = overview is not None and shows_summary(overview)
    return CurvesPage(
        query=query,
        match_count=len(ordered),
        run=overview.run_name if overview else None,
        total=overview.total if overview else 0,
        curve_count=overview.curve_count if overview else 0,
        data_href=query.with_changes(page=1).href_for("/curves.json"),
        version=_build_version(ordered),
        is_summary=is_summary,
        band_rows=_build_band_rows(overview) if overview and is_summary else (),
        outliers=overview.summary.outliers if overview and is_summary else (),
        rows=tuple(_build_row(each, overview) for each in ordered[start : start + ROWS_PER_PAGE]) if overview else (),
    )


def shows_summary(overview: LossOverview) -> bool:
    """Whether the chart shows the band: there are too many curves to distinguish, and enough for a band."""
    return overview.curve_count > MAX_SINGLE_CURVES and bool(overview.summary.training)


def build_chart_data(curves: Mapping[str, Sequence[Loss]]) -> dict[str, Any]:
    """Return the data of single curves: the steps and both losses of each, None where a loss is not reported."""
    return {"curves": [_encode_curve(account, curve) for account, curve in curves.items()]}


def build_summary_data(overview: LossOverview) -> dict[str, Any]:
    """Return the data of the bands and of the most distant outliers."""
    summary = overview.summary
    drawn = summary.outliers[:MAX_DRAWN_OUTLIERS]
    return {
        "summary": {"training": _encode_band(summary.training), "validation": _encode_band(summary.validation)},
        "curves": [_encode_curve(each.account, overview.outlier_curves[each.account]) for each in drawn],
    }


def _encode_curve(account: str, curve: Sequence[Loss]) -> dict[str, Any]:
    return {
        "account": account,
        "steps": [loss.step for loss in curve],
        "training": [loss.training for loss in curve],
        "validation": [loss.validation for loss in curve],
    }


def _encode_band(band: Sequence[BandPoint]) -> dict[str, Any]:
    return {
        "steps": [point.step for point in band],
        "low": [point.low for point in band],
        "median": [point.median for point in band],
        "high": [point.high for point in band],
    }


def _sort_losses(overview: LossOverview) -> list[LastLoss]:
    if not shows_summary(overview):
        return list(overview.last_losses)
    places = {each.account: place for place, each in enumerate(overview.summary.outliers)}
    return sorted(overview.last_losses, key=lambda each: (places.get(each.account, len(places)), each.account))


def _build_version(last_losses: Sequence[LastLoss]) -> str:
    """Return a text that changes when a point is added to any curve."""
    return f"{len(last_losses)}-{sum(each.step for each in last_losses)}"


def _build_row(last: LastLoss, overview: LossOverview) -> LossRow:
    outliers = {each.account: each for each in overview.summary.outliers} if shows_summary(overview) else {}
    outlier = outliers.get(last.account)
    usual = "like the others" if shows_summary(overview) else ""
    return LossRow(
        account=last.account,
        step=format_number(last.step),
        training=format_loss(last.training),
        validation=format_loss(last.validation),
        comparison=describe_distance(outlier) if outlier else usual,
        is_outlier=outlier is not None,
    )


def describe_distance(outlier: Outlier) -> str:
    """Describe how far an outlier is from the band."""
    side = "above" if outlier.distance > 0 else "below"
    distance = abs(outlier.distance)
    if distance >= _MIN_NAMED_DISTANCE:
        return f"far {side} the others"
    return f"{side} the others, by {distance:.1f} band widths"


def _build_band_rows(overview: LossOverview) -> tuple[BandRow, ...]:
    """Build a row for at most MAX_BAND_ROWS steps, with the last validation losses since the row before."""
    training, rows, previous = overview.summary.training, [], 0
    spacing = max(1, -(-len(training) // MAX_BAND_ROWS))
    shown = training[::-spacing][::-1]  # counted from the end: the last step is always among them
    for point in shown:
        since = [each for each in overview.summary.validation if previous < each.step <= point.step]
        rows.append(_build_band_row(point, since[-1] if since else None))
        previous = point.step
    return tuple(rows)


def _build_band_row(point: BandPoint, validation: BandPoint | None) -> BandRow:
    return BandRow(
        step=format_number(point.step),
        accounts=format_number(point.accounts),
        median=format_loss(point.median),
        band=_format_band(point),
        validation=format_loss(validation.median if validation else None),
        validation_band=_format_band(validation) if validation else "–",
    )


def _format_band(point: BandPoint) -> str:
    return f"{format_loss(point.low)} to {format_loss(point.high)}"


def format_loss(value: float | None) -> str:
    """Format a loss with four digits; a dash if the provider does not report it."""
    return "–" if value is None else f"{value:.4f}"

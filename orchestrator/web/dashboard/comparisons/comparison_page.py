"""The page about the comparisons of a run: verdicts, heat map, and the progress of the one that is being asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Self
from urllib.parse import urlencode

from orchestrator.core.comparison.comparison import ComparisonState
from orchestrator.core.comparison.verdict import ComparisonVerdict
from orchestrator.core.structs import Struct, replace
from orchestrator.core.text import (
    format_count,
    format_exact_duration,
    format_number,
    format_time,
    format_usd,
    to_percent,
)
from orchestrator.status import ComparisonProgress, RunComparisons
from orchestrator.web.dashboard.comparisons.result_view import (
    COMPARISON_PATH,
    AccountCard,
    ResultView,
)

MAX_CARDS: Final = 200  # of one page; a filter selects others
MAX_OPEN_CARDS: Final = 6  # opened at first: more would bury the heat map


class ComparisonQuery(Struct, frozen=True, kw_only=True):
    """What the URL selects. Empty: everything, and the latest finished comparison."""

    run: str = ""
    id: str = ""
    verdict: str = ""
    text: str = ""

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, str], run: str) -> Self:
        """Parse the parameters of a URL; an unknown verdict selects everything."""
        verdict = parameters.get("verdict", "")
        return cls(
            run=parameters.get("run", "") or run,
            id=parameters.get("id", ""),
            verdict=verdict if verdict in set(ComparisonVerdict) else "",
            text=parameters.get("q", "").strip(),
        )

    @property
    def href(self) -> str:
        """The URL of the page."""
        values = {"run": self.run, "id": self.id, "verdict": self.verdict, "q": self.text}
        text = urlencode({name: value for name, value in values.items() if value})
        return f"{COMPARISON_PATH}?{text}" if text else COMPARISON_PATH

    def matches(self, card: AccountCard) -> bool:
        """Whether the filter selects the account."""
        return self.verdict in {"", card.verdict} and self.text.casefold() in card.account.casefold()


class VerdictChip(Struct, frozen=True, kw_only=True):
    """A verdict with its number of accounts, as a filter."""

    verdict: str
    word: str
    tone: str
    count: int
    href: str
    chosen: bool


class ProgressView(Struct, frozen=True, kw_only=True):
    """The comparison whose models are being asked."""

    id: str
    percent: int
    text: str
    facts: tuple[tuple[str, str], ...]


class EarlierComparison(Struct, frozen=True, kw_only=True):
    """A link to another comparison of the run."""

    id: str
    label: str
    href: str
    chosen: bool


class ComparisonPage(Struct, frozen=True, kw_only=True):
    """View of the page."""

    query: ComparisonQuery
    run: str | None
    run_id: str
    is_current: bool
    result: ResultView | None
    progress: ProgressView | None
    stopped: str  # why the latest comparison, or the shown one, ended without a result
    chips: tuple[VerdictChip, ...]
    cards: tuple[AccountCard, ...]
    match_count: int
    open_cards: int
    earlier: tuple[EarlierComparison, ...]
    answers_href: str
    report_href: str


def build_comparison_page(
    found: RunComparisons | None, result: ResultView | None, query: ComparisonQuery, now: float
) -> ComparisonPage:
    """Build the page. `result` is the view of the shown comparison, if that has a result."""
    cards = [card for card in result.cards if query.matches(card)] if result else []
    failing = sum(card.verdict != ComparisonVerdict.ALIKE for card in cards)
    selected = urlencode({"run": found.run, "id": result.comparison_id}) if found and result else ""
    return ComparisonPage(
        query=query,
        run=found.run_name if found else None,
        run_id=found.run if found else "",
        is_current=found is not None and found.is_current,
        result=result,
        progress=_build_progress(found.asking, now) if found and found.asking else None,
        stopped=_find_stop(found) if found else "",
        chips=_build_chips(result, query) if result else (),
        cards=tuple(cards[:MAX_CARDS]),
        match_count=len(cards),
        open_cards=failing if failing <= MAX_OPEN_CARDS else 0,
        earlier=_list_earlier(found, query) if found else (),
        answers_href=f"{COMPARISON_PATH}/answers?{selected}" if selected else "",
        report_href=f"{COMPARISON_PATH}/report?{selected}" if selected else "",
    )


def _build_chips(result: ResultView, query: ComparisonQuery) -> tuple[VerdictChip, ...]:
    return tuple(
        VerdictChip(
            verdict=verdict,
            word=word,
            tone=tone,
            count=count,
            href=replace(query, verdict="" if verdict == query.verdict else verdict).href,
            chosen=verdict == query.verdict,
        )
        for verdict, word, tone, count in result.counts
        if count
    )


def _build_progress(progress: ComparisonProgress, now: float) -> ProgressView:
    comparison, planned = progress.comparison, max(progress.planned, 1)
    tuned = sum(not model.is_base for model in comparison.models)
    wait = (comparison.first_round_at or 0.0) + comparison.settings.round_gap_seconds - now
    is_waiting = comparison.first_round_at is not None and wait > 0
    limit = comparison.settings.max_usd
    cost = format_usd(comparison.total_usd) + (f" of at most {format_usd(limit)}" if limit is not None else "")
    what = f"{format_count(tuned, 'model')}, {format_count(len(comparison.probe_ids), 'probe')}"
    return ProgressView(
        id=comparison.id,
        percent=to_percent(min(progress.answered / planned, 1.0)),
        text=f"{format_number(progress.answered)} of {format_number(planned)} answers",
        facts=(
            ("Size", what),
            ("Cost so far", cost),
            ("Started", f"{format_time(comparison.created_at)} by {comparison.created_by}"),
            ("Round", f"2 of 2, begins in {format_exact_duration(wait)}" if is_waiting else _format_round(progress)),
        ),
    )


def _format_round(progress: ComparisonProgress) -> str:
    return "1 of 2" if progress.comparison.first_round_at is None else "2 of 2"


def _find_stop(found: RunComparisons) -> str:
    """Return why there is no result: of the shown comparison, or of the latest one."""
    if found.shown is not None and found.shown.state is ComparisonState.STOPPED:
        return found.shown.message or "unknown reason"
    latest = found.latest[0] if found.latest else None
    is_requested = found.shown is not None and latest is not None and latest.created_at < found.shown.created_at
    if latest is None or latest.state is not ComparisonState.STOPPED or is_requested:
        return ""
    return f"{latest.message or 'unknown reason'} ({format_time(latest.finished_at or latest.created_at)})"


def _list_earlier(found: RunComparisons, query: ComparisonQuery) -> tuple[EarlierComparison, ...]:
    shown = found.shown.id if found.shown else ""
    ended = [each for each in found.latest if each.state is not ComparisonState.ASKING]
    return tuple(
        EarlierComparison(
            id=each.id,
            label=f"{format_time(each.finished_at or each.created_at)}"
            + ("" if each.state is ComparisonState.FINISHED else f", {each.state.value}"),
            href=replace(query, id=each.id, verdict="", text="").href,
            chosen=each.id == shown,
        )
        for each in ended
    )

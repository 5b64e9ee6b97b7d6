"""The table of a comparison: a verdict for each account, its reasons, and the yardsticks of each group."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.cli.tables import Column, Output, fit_table
from orchestrator.core.comparison.comparator import ComparisonResult, GroupSummary
from orchestrator.core.comparison.document import ComparisonFacts
from orchestrator.core.comparison.verdict import AccountVerdict, ComparisonVerdict
from orchestrator.core.text import format_count, format_number, format_usd
from orchestrator.core.text_sanitizer import sanitize_line

_LABELS = {
    ComparisonVerdict.ALIKE: "ALIKE",
    ComparisonVerdict.DIFFERENT: "DIFFERENT",
    ComparisonVerdict.NOT_SURE: "NOT SURE",
    ComparisonVerdict.NOT_COMPARABLE: "NOT COMPARABLE",
}
_COLOURS = {"ALIKE": "green", "DIFFERENT": "red", "NOT SURE": "yellow", "NOT COMPARABLE": "red"}
COLUMNS = (
    Column(heading="account"),
    Column(heading="verdict", colours=_COLOURS),
    Column(heading="reason", wraps=True),
)


def build_comparison_table(
    result: ComparisonResult, facts: ComparisonFacts, width: int | None, *, borders: bool = True
) -> Output:
    """Build the table of a result in a form that fits the width."""
    title = (
        f"Comparison of run {facts.run_id}",
        f"{format_count(facts.probes, 'probe')} (set {facts.probe_set[:16]}), "
        f"{format_count(facts.requests, 'request')}, {format_usd(facts.usd)}",
    )
    rows = [_build_row(each) for each in result.gate.verdicts]
    table = fit_table(COLUMNS, rows, width, borders=borders)
    below = [line for group in result.groups for line in _iter_group_lines(group)]
    below.append(_format_counts(result))
    return table.place_between(map(sanitize_line, title), map(sanitize_line, below))


def _build_row(verdict: AccountVerdict) -> tuple[str, str, str]:
    return verdict.account, _LABELS[verdict.verdict], sanitize_line("; ".join(_iter_notes(verdict)))


def _iter_notes(verdict: AccountVerdict) -> Iterator[str]:
    yield from verdict.reasons
    if verdict.verdict is ComparisonVerdict.DIFFERENT:
        probe_ids = dict.fromkeys(probe_id for each in verdict.decisive for probe_id in each.probe_ids)
        yield f"see the probes {', '.join(list(probe_ids)[:3])}"
    if verdict.needed_probes is not None:
        yield f"about {format_number(verdict.needed_probes)} probes would decide"
    if verdict.is_alone and verdict.obstacle is None:
        yield "no other account has the same provider and base model, so distances were not measured"
    if verdict.accepted_by is not None:
        yield f"accepted by {verdict.accepted_by}"


def _iter_group_lines(group: GroupSummary) -> Iterator[str]:
    yield f"{group.group}:"
    ceiling = "not measured" if group.ceiling is None else f"{group.ceiling:.2f}"
    yield f"  distance of a model from itself {group.floor:.2f}, from another {group.spread:.2f}"
    yield f"  distance of a model from its untuned base model {ceiling}"
    if group.relative_spread is not None:
        yield f"  relative spread {group.relative_spread:.2f} (0: as one model, 1: as if not trained)"


def _format_counts(result: ComparisonResult) -> str:
    verdicts = [each.verdict for each in result.gate.verdicts]
    counts = {verdict: verdicts.count(verdict) for verdict in ComparisonVerdict}
    return ", ".join(f"{_LABELS[verdict]}: {count}" for verdict, count in counts.items() if count) or "No accounts"

"""The table of a comparison: a verdict for each account, its reasons, and the yardsticks of each group."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.cli.tables import Column, Output, fit_table
from orchestrator.core.comparison.distances.account_drift import format_drift
from orchestrator.core.comparison.verdict import ComparisonVerdict
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


def build_comparison_table(document: Mapping[str, Any], width: int | None, *, borders: bool = True) -> Output:
    """Build the table of a result document (core/comparison/document.py) in a form that fits the width."""
    title = (
        f"Comparison of run {document['run']}",
        f"{format_count(document['probes'], 'probe')} (set {document['probe_set'][:16]}), "
        f"{format_count(document['requests'], 'request')}, {format_usd(document['usd'])}",
    )
    rows = [_build_row(each) for each in document["accounts"]]
    table = fit_table(COLUMNS, rows, width, borders=borders)
    below = [line for group in document["groups"] for line in _iter_group_lines(group)]
    below.append(_format_counts(document))
    return table.place_between(map(sanitize_line, title), map(sanitize_line, below))


def _build_row(account: Mapping[str, Any]) -> tuple[str, str, str]:
    label = _LABELS[ComparisonVerdict(account["verdict"])]
    return account["account"], label, sanitize_line("; ".join(_iter_notes(account)))


def _iter_notes(account: Mapping[str, Any]) -> Iterator[str]:
    yield from account["reasons"]
    if account["verdict"] == ComparisonVerdict.DIFFERENT:
        different = [each for each in account["measurements"] if each["conclusion"] == "different"]
        probe_ids = dict.fromkeys(probe_id for each in different for probe_id in each["probes"])
        yield f"see the probes {', '.join(list(probe_ids)[:3])}"
    if account["needed_probes"] is not None:
        yield f"about {format_number(account['needed_probes'])} probes would decide"
    if account["alone"] and account["obstacle"] is None:
        yield "no other account has the same provider and base model, so distances were not measured"
    if account["accepted_by"] is not None:
        yield f"accepted by {account['accepted_by']}"
    if (account.get("drift") or {}).get("changed") and (drift := format_drift(account)):
        yield drift


def _iter_group_lines(group: Mapping[str, Any]) -> Iterator[str]:
    yield f"{group['group']}:"
    ceiling = "not measured" if group["ceiling"] is None else f"{group['ceiling']:.2f}"
    yield f"  distance of a model from itself {group['floor']:.2f}, from another {group['spread']:.2f}"
    yield f"  distance of a model from its untuned base model {ceiling}"
    if group["relative_spread"] is not None:
        yield f"  relative spread {group['relative_spread']:.2f} (0: as one model, 1: as if not trained)"


def _format_counts(document: Mapping[str, Any]) -> str:
    verdicts = [each["verdict"] for each in document["accounts"]]
    counts = {verdict: verdicts.count(verdict.value) for verdict in ComparisonVerdict}
    return ", ".join(f"{_LABELS[verdict]}: {count}" for verdict, count in counts.items() if count) or "No accounts"

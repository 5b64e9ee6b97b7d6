"""The report of a comparison as one HTML file that needs neither the service nor scripts, for archives and mail.

The texts in it are other people's: the template escapes them, and the file forbids itself scripts and any request.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from orchestrator.core.comparison.comparison import Comparison
from orchestrator.core.comparison.probe import Probe
from orchestrator.core.comparison.verdict import ComparisonVerdict
from orchestrator.core.structs import Struct
from orchestrator.core.text import format_time
from orchestrator.status import StoredAnswer
from orchestrator.web.dashboard.comparisons.answers_page import AnswerCard, build_answer_cards
from orchestrator.web.dashboard.comparisons.result_view import (
    ResultView,
    build_result_view,
    list_messages,
    list_shown_probes,
)
from orchestrator.web.page_renderer import STATIC_FOLDER, render_document

MAX_REPORTED_PROBES: Final = 60
MAX_REPORTED_ANSWERS: Final = 12  # different ones, of each probe; the page of the service shows all


class ReportedProbe(Struct, frozen=True, kw_only=True):
    """A probe with its answers."""

    probe_id: str
    accounts: tuple[str, ...]  # whose verdict it shows
    messages: tuple[tuple[str, str], ...]
    reference: str | None
    cards: tuple[AnswerCard, ...]
    left_out: int  # different answers that are not shown


class ComparisonReport(Struct, frozen=True, kw_only=True):
    """View of the report."""

    result: ResultView
    probes: tuple[ReportedProbe, ...]
    created: str


def list_reported_probes(comparison: Comparison) -> tuple[str, ...]:
    """Return the probes whose answers are in the report: those that show the verdicts other than alike."""
    accounts = (comparison.result or {}).get("accounts", ())
    shown = (each for account in accounts if _is_notable(account) for each in list_shown_probes(account))
    return tuple(dict.fromkeys(shown))[:MAX_REPORTED_PROBES]


def _is_notable(account: Mapping[str, Any]) -> bool:
    return bool(account["verdict"] != ComparisonVerdict.ALIKE)


def render_report(
    comparison: Comparison, run_name: str, probes: Mapping[str, Probe], answers: Sequence[StoredAnswer], now: float
) -> str:
    """Render the report of a comparison that has a result. `answers` are those of `list_reported_probes`."""
    by_probe: dict[str, list[StoredAnswer]] = {}
    for answer in answers:
        by_probe.setdefault(answer.probe_id, []).append(answer)
    view = ComparisonReport(
        result=build_result_view(comparison, run_name, probes),
        probes=tuple(
            _build_probe(comparison, each, probes.get(each), by_probe.get(each, ()))
            for each in list_reported_probes(comparison)
        ),
        created=format_time(now),
    )
    style = (STATIC_FOLDER / "style.css").read_text(encoding="utf-8")
    return render_document("comparison_report.html", view=view, style=style)


def _build_probe(
    comparison: Comparison, probe_id: str, probe: Probe | None, answers: Sequence[StoredAnswer]
) -> ReportedProbe:
    accounts = tuple(
        each["account"]
        for each in (comparison.result or {})["accounts"]
        if _is_notable(each) and probe_id in list_shown_probes(each)
    )
    cards = build_answer_cards(comparison, answers, accounts[0])
    shown = [card for number, card in enumerate(cards) if card.is_base or number < MAX_REPORTED_ANSWERS]
    return ReportedProbe(
        probe_id=probe_id,
        accounts=accounts,
        messages=tuple(list_messages(probe)) if probe else (),
        reference=probe.reference if probe else None,
        cards=tuple(shown),
        left_out=len(cards) - len(shown),
    )


def build_report_name(comparison: Comparison, run_name: str) -> str:
    """Return the name of the file: of plain characters only, because a run's name may have others."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", run_name).strip("-") or "run"
    return f"comparison-{name}-{comparison.id[:8]}.html"

"""The result of a comparison as cards, groups and heat maps: the part that the page and the report share."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from orchestrator.core.comparison.comparison import Comparison
from orchestrator.core.comparison.distances.account_drift import format_drift
from orchestrator.core.comparison.probe import Probe
from orchestrator.core.comparison.verdict import VERDICT_DESCRIPTIONS, ComparisonVerdict
from orchestrator.core.structs import Struct
from orchestrator.core.text import format_count, format_number, format_time, format_usd
from orchestrator.web.dashboard.comparisons.heat_map import HeatMap, build_heat_maps
from orchestrator.web.dashboard.comparisons.measurement_rows import MeasurementRow, build_measurement_rows

COMPARISON_PATH: Final = "/comparison"
ANSWERS_PATH: Final = f"{COMPARISON_PATH}/answers"
SHOWN_PROBES: Final = 3
_PROMPT_CHARACTERS: Final = 110
VERDICT_WORDS: Final = {
    ComparisonVerdict.DIFFERENT: "different",
    ComparisonVerdict.NOT_COMPARABLE: "not comparable",
    ComparisonVerdict.NOT_SURE: "not sure",
    ComparisonVerdict.ALIKE: "alike",
}  # in the order of the page: what needs somebody's attention comes first
VERDICT_TONES: Final = {
    ComparisonVerdict.DIFFERENT: "bad",
    ComparisonVerdict.NOT_COMPARABLE: "bad",
    ComparisonVerdict.NOT_SURE: "warn",
    ComparisonVerdict.ALIKE: "good",
}
_MEASURES: Final = {
    "text": "the share of three-character sequences that differ",
    "exact": "the share of answers that are not equal",
    "field": "the share of JSON fields that differ",
}


class ProbeLink(Struct, frozen=True, kw_only=True):
    """A probe with the beginning of its prompt."""

    probe_id: str
    prompt: str
    href: str


class AccountCard(Struct, frozen=True, kw_only=True):
    """The verdict on one account with everything that it rests on."""

    account: str
    verdict: str
    word: str
    tone: str
    meaning: str
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    measurements: tuple[MeasurementRow, ...]
    probes: tuple[ProbeLink, ...]


class GroupRow(Struct, frozen=True, kw_only=True):
    """The yardsticks of one group of accounts."""

    group: str
    accounts: int
    floor: str
    spread: str
    ceiling: str
    relative_spread: str
    explained: str


class ResultView(Struct, frozen=True, kw_only=True):
    """View of a finished comparison. It never changes, so it is built once."""

    comparison_id: str
    run: str
    summary: str
    passed: bool
    facts: tuple[tuple[str, str], ...]
    counts: tuple[tuple[str, str, str, int], ...]  # verdict, word, tone, number of accounts
    cards: tuple[AccountCard, ...]
    groups: tuple[GroupRow, ...]
    maps: tuple[HeatMap, ...]
    measure: str


def build_result_view(comparison: Comparison, run_name: str, probes: Mapping[str, Probe]) -> ResultView:
    """Build the view. Takes a while for a hundred accounts, so call it in a thread. The comparison has a result."""
    document = comparison.result or {}
    cards = [_build_card(each, comparison, probes) for each in document["accounts"]]
    order = {verdict.value: number for number, verdict in enumerate(VERDICT_WORDS)}
    counts = Counter(card.verdict for card in cards)
    return ResultView(
        comparison_id=comparison.id,
        run=run_name,
        summary=document["summary"],
        passed=document["passed"],
        facts=tuple(_list_facts(comparison, document)),
        counts=tuple(
            (verdict.value, word, VERDICT_TONES[verdict], counts[verdict.value])
            for verdict, word in VERDICT_WORDS.items()
        ),
        cards=tuple(sorted(cards, key=lambda card: (order[card.verdict], card.account))),
        groups=tuple(_build_group(each) for each in document["groups"]),
        maps=build_heat_maps(document, comparison.id),
        measure=_MEASURES[document["measure"]],
    )


def _list_facts(comparison: Comparison, document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "Finished", format_time(comparison.finished_at or comparison.created_at)
    yield "Requested by", comparison.created_by
    yield "Probes", f"{format_number(document['probes'])}, set {document['probe_set'][:8]}"
    yield "Requests", format_number(document["requests"])
    limit = comparison.settings.max_usd
    yield "Cost", format_usd(document["usd"]) + (f" of at most {format_usd(limit)}" if limit is not None else "")
    yield "Texts of answers", "stored" if comparison.settings.store_answers else "deleted at the end"


def _build_card(account: Mapping[str, Any], comparison: Comparison, probes: Mapping[str, Probe]) -> AccountCard:
    verdict = ComparisonVerdict(account["verdict"])
    return AccountCard(
        account=account["account"],
        verdict=verdict.value,
        word=VERDICT_WORDS[verdict],
        tone=VERDICT_TONES[verdict],
        meaning=VERDICT_DESCRIPTIONS[verdict][0],
        reasons=tuple(account["reasons"]),
        notes=tuple(_list_notes(account)),
        measurements=build_measurement_rows(account["measurements"]),
        probes=tuple(
            ProbeLink(
                probe_id=probe_id,
                prompt=summarise_prompt(probes.get(probe_id)),
                href=build_answers_href(comparison, probe_id, account["account"]),
            )
            for probe_id in list_shown_probes(account)
        ),
    )


def _list_notes(account: Mapping[str, Any]) -> Iterator[str]:
    if account["needed_probes"] is not None:
        yield f"About {format_count(account['needed_probes'], 'probe')} would decide."
    if account["alone"] and account["obstacle"] is None:
        yield "No other account has the same provider and base model, so distances were not measured."
    if account["accepted_by"] is not None:
        yield f"Accepted by {account['accepted_by']}."
    if drift := format_drift(account):
        yield f"{drift[0].upper()}{drift[1:]}."


def list_shown_probes(account: Mapping[str, Any]) -> list[str]:
    """List the probes that show best why an account has its verdict: those of decisive measurements first."""
    rank = {"different": 0, "unsure": 1, "same": 2}
    ordered: Sequence[Mapping[str, Any]] = sorted(account["measurements"], key=lambda each: rank[each["conclusion"]])
    return list(dict.fromkeys(probe_id for each in ordered for probe_id in each["probes"]))[:SHOWN_PROBES]


def build_answers_href(comparison: Comparison, probe_id: str = "", account: str = "") -> str:
    """Return the URL of the answers to one probe, or of the list of probes."""
    values = {"run": comparison.run_id, "id": comparison.id, "probe": probe_id, "account": account}
    return f"{ANSWERS_PATH}?{urlencode({name: value for name, value in values.items() if value})}"


def list_messages(probe: Probe) -> list[tuple[str, str]]:
    """Return the role and the text of each message of a probe; parts that are no text are named."""
    return [(str(each.get("role", "")), _to_text(each.get("content"))) for each in json.loads(probe.messages)]


def _to_text(content: Any) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(str(part.get("text") or f"[{part.get('type', 'part')}]") for part in content)
    return "" if content is None else json.dumps(content, ensure_ascii=False)


def summarise_prompt(probe: Probe | None) -> str:
    """Return the beginning of the last message of a probe; empty if its text is not on this machine."""
    if probe is None:
        return ""
    text = " ".join(list_messages(probe)[-1][1].split())
    return text if len(text) <= _PROMPT_CHARACTERS else text[: _PROMPT_CHARACTERS - 1] + "…"


def _build_group(group: Mapping[str, Any]) -> GroupRow:
    return GroupRow(
        group=group["group"],
        accounts=len(group["accounts"]),
        floor=_format_number(group["floor"]),
        spread=_format_number(group["spread"]),
        ceiling=_format_number(group["ceiling"]),
        relative_spread=_format_number(group["relative_spread"]),
        explained="–" if group["explained"] is None else f"{round(100 * group['explained'])}%",
    )


def _format_number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"

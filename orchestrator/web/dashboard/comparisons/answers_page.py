"""The answers of all models to one probe, side by side; equal answers are shown once, with their accounts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlencode

from orchestrator.core.comparison.answer import TEXT_OUTCOMES, AnswerOutcome
from orchestrator.core.comparison.comparison import Comparison
from orchestrator.core.comparison.probe import Probe, ProbeKind
from orchestrator.core.structs import Struct
from orchestrator.core.text import format_count, format_list, format_number
from orchestrator.dataset.browse.chat_difference import mark_changed_words
from orchestrator.dataset.browse.chat_display import Span, fold_spans
from orchestrator.status import ProbeSummary, StoredAnswer
from orchestrator.web.dashboard.comparisons.result_view import (
    COMPARISON_PATH,
    build_answers_href,
    list_messages,
    summarise_prompt,
)

MAX_LISTED_PROBES: Final = 500
MAX_NAMED_ACCOUNTS: Final = 12
MAX_COMPARED_TEXTS: Final = 60  # whose differences are marked: the comparison of words takes milliseconds each
OUTCOME_WORDS: Final = {
    AnswerOutcome.ANSWERED: "answered",
    AnswerOutcome.REFUSED_TEXT: "refused",
    AnswerOutcome.FILTERED_PROMPT: "prompt filtered",
    AnswerOutcome.FILTERED_ANSWER: "answer filtered",
    AnswerOutcome.TRUNCATED: "truncated",
    AnswerOutcome.EMPTY: "empty",
    AnswerOutcome.ERROR: "failed",
}
OUTCOME_TONES: Final = {AnswerOutcome.ANSWERED: "good", AnswerOutcome.ERROR: "bad"}


class AnswerCard(Struct, frozen=True, kw_only=True):
    """One answer with the models that gave it in the first round."""

    key: str  # unique within the page
    title: str
    is_base: bool
    accounts: tuple[str, ...]
    more_accounts: tuple[str, ...]  # folded
    outcome: str
    tone: str
    is_common: bool  # the answer of the most accounts, which the others are compared with
    is_selected: bool  # of the account that the link named
    head: tuple[Span, ...]
    rest: tuple[Span, ...]
    facts: str
    note: str


class ProbeRow(Struct, frozen=True, kw_only=True):
    """A probe in the list, with how far its answers are apart."""

    probe_id: str
    prompt: str
    kind: str
    distinct: str
    unusual: str
    href: str


class AnswersPage(Struct, frozen=True, kw_only=True):
    """View of the page: the list of probes, or the answers to one."""

    run_name: str
    back: str
    list_href: str
    account: str
    rows: tuple[ProbeRow, ...] = ()
    total: int = 0  # number of probes
    probe_id: str = ""
    kind: str = ""
    position: str = ""
    messages: tuple[tuple[str, str], ...] = ()
    reference: str | None = None
    is_known: bool = True  # whether the text of the probe is on this machine
    previous: str = ""
    next: str = ""
    summary: str = ""
    cards: tuple[AnswerCard, ...] = ()
    note: str = ""


def build_probe_list(
    comparison: Comparison, run_name: str, probes: Mapping[str, Probe], summaries: Sequence[ProbeSummary]
) -> AnswersPage:
    """Build the list of probes, those with the most different answers first."""
    ordered = sort_probes(summaries)
    return AnswersPage(
        run_name=run_name,
        back=_build_back(comparison),
        list_href="",
        account="",
        rows=tuple(
            ProbeRow(
                probe_id=each.probe_id,
                prompt=summarise_prompt(probes.get(each.probe_id)),
                kind=_format_kind(probes.get(each.probe_id)),
                distinct=f"{format_number(each.distinct)} of {format_number(each.answers)}",
                unusual=format_number(each.unusual) if each.unusual else "–",
                href=build_answers_href(comparison, each.probe_id),
            )
            for each in ordered[:MAX_LISTED_PROBES]
        ),
        total=len(ordered),
    )


def sort_probes(summaries: Sequence[ProbeSummary]) -> list[ProbeSummary]:
    """Sort probes by the number of different answers, then of unusual ones."""
    return sorted(summaries, key=lambda each: (-each.distinct, -each.unusual, each.probe_id))


def build_answers_page(
    comparison: Comparison,
    run_name: str,
    probe_id: str,
    probe: Probe | None,
    answers: Sequence[StoredAnswer],
    order: Sequence[str],
    account: str = "",
) -> AnswersPage:
    """Build the page of one probe. `order` is that of all probes in the list, for the links to its neighbours."""
    place = order.index(probe_id) if probe_id in order else 0
    cards = build_answer_cards(comparison, answers, account)
    return AnswersPage(
        run_name=run_name,
        back=_build_back(comparison),
        list_href=build_answers_href(comparison),
        account=account,
        probe_id=probe_id,
        kind=_format_kind(probe),
        position=f"{format_number(place + 1)} of {format_count(len(order), 'probe')}",
        messages=tuple(list_messages(probe)) if probe else (),
        reference=probe.reference if probe else None,
        is_known=probe is not None,
        previous=build_answers_href(comparison, order[place - 1], account) if place > 0 else "",
        next=build_answers_href(comparison, order[place + 1], account) if place + 1 < len(order) else "",
        summary=_summarise(comparison, answers, cards),
        cards=cards,
        note="" if _has_texts(answers) else "The texts of the answers were deleted when the comparison ended.",
    )


def _build_back(comparison: Comparison) -> str:
    return f"{COMPARISON_PATH}?{urlencode({'run': comparison.run_id, 'id': comparison.id})}"


def _has_texts(answers: Sequence[StoredAnswer]) -> bool:
    return not answers or any(each.text is not None for each in answers)


def _format_kind(probe: Probe | None) -> str:
    if probe is None:
        return ""
    return "held-out example" if probe.kind is ProbeKind.HELD_OUT else "shipped question"


def build_answer_cards(
    comparison: Comparison, answers: Sequence[StoredAnswer], account: str = ""
) -> tuple[AnswerCard, ...]:
    """Build one card for each different answer of the first round: the most common one first, base models last."""
    bases = {model.name for model in comparison.models if model.is_base}
    second = {each.model: each for each in answers if each.round == 2}
    shared: dict[tuple[bool, str, str], list[StoredAnswer]] = {}
    for each in answers:
        if each.round == 1:
            key = (each.model in bases, each.outcome.value, each.message or each.text_sha256)
            shared.setdefault(key, []).append(each)
    ordered = sorted(
        shared.values(),
        key=lambda group: (group[0].model in bases, -len(group), group[0].model),
    )
    if not ordered:
        return ()
    common = ordered[0]
    selected = next((group for group in ordered if any(each.model == account for each in group)), None)
    if selected is not None and selected is not common:  # beside the most common one
        ordered = [common, selected, *(group for group in ordered if group not in (common, selected))]
    return tuple(
        _build_card(number, group, common, second, bases, is_selected=group is selected)
        for number, group in enumerate(ordered, start=1)
    )


def _build_card(
    number: int,
    group: Sequence[StoredAnswer],
    common: Sequence[StoredAnswer],
    second: Mapping[str, StoredAnswer],
    bases: set[str],
    *,
    is_selected: bool,
) -> AnswerCard:
    first, names = group[0], tuple(each.model for each in group)
    text = first.message or "" if first.outcome is AnswerOutcome.ERROR else first.text or ""
    spans: tuple[Span, ...] = (Span(text),) if text else ()
    difference = ""
    if group is not common and {first.outcome, common[0].outcome} <= TEXT_OUTCOMES and number <= MAX_COMPARED_TEXTS:
        spans, difference = mark_difference(common[0].text or "", text)
    head, rest = fold_spans(text, spans)
    is_base = first.model in bases
    return AnswerCard(
        key=f"{first.probe_id[:8]}-{number}",
        title="Untuned base model"
        if is_base
        else names[0]
        if len(names) == 1
        else format_count(len(names), "account"),
        is_base=is_base,
        accounts=names[:MAX_NAMED_ACCOUNTS],
        more_accounts=names[MAX_NAMED_ACCOUNTS:],
        outcome=OUTCOME_WORDS[first.outcome],
        tone=OUTCOME_TONES.get(first.outcome, "warn"),
        is_common=group is common and not is_base,
        is_selected=is_selected,
        head=head,
        rest=rest,
        facts=_format_facts(first),
        note=" ".join(filter(None, (difference, _describe_second_round(group, second)))),
    )


def mark_difference(common: str, text: str) -> tuple[tuple[Span, ...], str]:
    """Mark the words that the common answer does not have. A text that is marked as a whole would be unreadable."""
    before, after = mark_changed_words(common, text)
    if after and all(span.mark for span in after):
        return (Span(text),), "Shares little with the most common answer."
    is_shortened = any(span.mark for span in before) and not any(span.mark for span in after)
    note = "Leaves out words of the most common answer." if is_shortened else ""
    return tuple(Span(span.text, "mark" if span.mark else "") for span in after), note


def _format_facts(answer: StoredAnswer) -> str:
    facts = []
    if answer.output_tokens is not None:
        facts.append(format_count(answer.output_tokens, "token"))
    if answer.finish_reason:
        facts.append(f"finish reason {answer.finish_reason}")
    if answer.mean_logprob is not None:
        facts.append(f"mean log-probability {answer.mean_logprob:.2f}")
    return ", ".join(facts)


def _describe_second_round(group: Sequence[StoredAnswer], second: Mapping[str, StoredAnswer]) -> str:
    """Name the models whose second answer differs from the first: their serving is not steady at this probe."""
    changed = [
        each.model
        for each in group
        if (other := second.get(each.model))
        and (other.outcome, other.text_sha256) != (each.outcome, each.text_sha256)
    ]
    if not changed:
        return "The same in both rounds." if any(each.model in second for each in group) else ""
    if len(group) == 1:
        return "Another answer in the second round."
    return f"Another answer in the second round: {format_list(changed, limit=5)}."


def _summarise(comparison: Comparison, answers: Sequence[StoredAnswer], cards: Sequence[AnswerCard]) -> str:
    tuned = [card for card in cards if not card.is_base]
    if not tuned:
        return "No account has answered this probe yet."
    total = sum(not model.is_base for model in comparison.models)
    same = len(tuned[0].accounts) + len(tuned[0].more_accounts)
    if len(tuned) == 1:
        return f"All {format_count(same, 'account')} gave the same answer."
    return (
        f"{format_number(len(tuned))} different answers of {format_count(total, 'account')}; "
        f"{format_number(same)} gave the most common one. What differs from it is marked."
    )

"""The views of a comparison: what the page, the heat map and the side-by-side answers show."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from compared_run import BASE_MODEL, ComparedRun, create_compared_run
from comparison_worlds import World

from orchestrator.core.comparison.answer import AnswerOutcome
from orchestrator.core.comparison.comparison import ComparisonState
from orchestrator.core.structs import replace
from orchestrator.status import ComparisonProgress, ProbeSummary, RunComparisons
from orchestrator.store.queries.comparisons.comparison_records import ComparisonLine
from orchestrator.web.dashboard.comparisons import answers_page, comparison_page
from orchestrator.web.dashboard.comparisons.comparison_page import ComparisonQuery
from orchestrator.web.dashboard.comparisons.heat_map import LEVELS, HeatMap, build_heat_maps
from orchestrator.web.dashboard.comparisons.measurement_rows import build_measurement_row, build_measurement_rows
from orchestrator.web.dashboard.comparisons.result_view import build_result_view

WORLD = World(seed=5, accounts=4, probes=60)


@pytest.fixture(scope="module")
def compared() -> ComparedRun:
    return create_compared_run(WORLD, replace(WORLD, refused=0.4))


def found_of(run: ComparedRun, **values: Any) -> RunComparisons:
    known: dict[str, Any] = {"run": "run-1", "run_name": "support", "dataset_sha256": "00", "is_current": True}
    known |= {"shown": run.comparison, "asking": None, "latest": ()}
    return RunComparisons(**known | values)


def test_account_that_refuses_comes_first_with_its_reason_and_three_probes(compared: ComparedRun) -> None:
    result = build_result_view(compared.comparison, "support", compared.probes)
    [first, *others] = result.cards
    assert first.account == "outlier-1"
    assert first.word == "different"
    assert first.reasons[0].startswith("refuses ")
    assert len(first.probes) == 3
    refused = {each.probe_id for each in compared.answers if each.outcome is AnswerOutcome.REFUSED_TEXT}
    assert {probe.probe_id for probe in first.probes} <= refused
    assert all(probe.prompt.startswith("How do I get ") for probe in first.probes)
    [refusals] = [row for row in first.measurements if row.kind == "refused"]
    assert (refusals.conclusion, refusals.tone) == ("different", "bad")
    assert refusals.others == "0%"
    assert {card.verdict for card in others} <= {"alike", "not_sure"}
    assert {verdict: count for verdict, _, _, count in result.counts}["different"] == 1


def test_filter_selects_by_verdict_and_name(compared: ComparedRun) -> None:
    result = build_result_view(compared.comparison, "support", compared.probes)
    query = ComparisonQuery.from_parameters({"verdict": "different", "run": "support"}, "")
    page = comparison_page.build_comparison_page(found_of(compared), result, query, 0)
    assert [card.account for card in page.cards] == ["outlier-1"]
    [chip] = [chip for chip in page.chips if chip.chosen]
    assert (chip.verdict, chip.href) == ("different", "/comparison?run=support")
    named = comparison_page.build_comparison_page(found_of(compared), result, ComparisonQuery(text="ACCOUNT-00"), 0)
    assert len(named.cards) == 4
    assert ComparisonQuery.from_parameters({"verdict": "<b>"}, "").verdict == ""


def test_progress_counts_answers_and_cost_and_names_the_wait_between_the_rounds(compared: ComparedRun) -> None:
    asking = replace(
        compared.comparison, state=ComparisonState.ASKING, result=None, spent_usd=0.21, first_round_at=1000.0
    )
    planned = 60 * (5 * 2 + 1)
    progress = ComparisonProgress(comparison=asking, answered=planned // 2)
    page = comparison_page.build_comparison_page(
        found_of(compared, shown=None, asking=progress), None, ComparisonQuery(), now=1060.0
    )
    assert page.progress is not None
    assert (page.progress.percent, page.progress.text) == (50, "330 of 660 answers")
    facts = dict(page.progress.facts)
    assert facts["Cost so far"] == "$0.21 of at most $5.00"
    assert facts["Round"] == "2 of 2, begins in 4 min"
    assert facts["Size"] == "5 models, 60 probes"


def test_stopped_comparison_says_why_and_the_earlier_result_stays(compared: ComparedRun) -> None:
    stopped = ComparisonLine("2", ComparisonState.STOPPED, 5e9, "operator:me", 5e9, "max_usd would be exceeded")
    finished = ComparisonLine("1", ComparisonState.FINISHED, 1.0, "operator:me", 2.0, None)
    result = build_result_view(compared.comparison, "support", compared.probes)
    page = comparison_page.build_comparison_page(
        found_of(compared, latest=(stopped, finished)), result, ComparisonQuery(), 0
    )
    assert page.stopped.startswith("max_usd would be exceeded (")
    assert page.result is result
    assert [each.label.endswith(", stopped") for each in page.earlier] == [True, False]


def test_heat_map_has_each_cell_once_and_the_outlier_last(compared: ComparedRun) -> None:
    [drawn] = build_heat_maps(compared.document, "c0ffee")
    assert drawn.accounts[-1] == "outlier-1"
    assert count_cells(drawn) == drawn.size * (drawn.size - 1)
    assert "Different: outlier-1." in drawn.description
    values = drawn.values.split(",")
    pairs = {tuple(each["accounts"]): each["distance"] for each in compared.document["distances"]}
    one, other = drawn.accounts[1], drawn.accounts[0]
    assert values[0] == str(round(100 * pairs.get((one, other), pairs.get((other, one), -1))))
    assert len(values) == drawn.size * (drawn.size - 1) // 2
    assert drawn.rows[0].account == "outlier-1"


def count_cells(drawn: HeatMap) -> int:
    widths = [int(part.split("h")[1].split("v")[0]) for level in drawn.levels for part in level.path.split("M")[1:]]
    return sum(widths)


def test_labels_of_neighbouring_outliers_do_not_overlap() -> None:
    names = [f"account-{number:03}" for number in range(100)]
    outliers = set(names[40:46])
    document = {
        "accounts": [{"account": name, "verdict": "different" if name in outliers else "alike"} for name in names],
        "groups": [{"group": "openai gpt", "accounts": names, "floor": 0.02}],
        "distances": [
            {"accounts": [one, other], "distance": 0.4 if {one, other} & outliers else 0.1}
            for number, one in enumerate(names)
            for other in names[number + 1 :]
        ],
    }
    [drawn] = build_heat_maps(document, "c0ffee")
    assert set(drawn.accounts[-6:]) == outliers
    assert {label.account for label in drawn.labels} == outliers
    places = [label.y for label in drawn.labels]
    assert all(later - earlier > 2 for earlier, later in pairwise(places))
    assert {level.level for level in drawn.levels} == {1, LEVELS - 1}
    assert sum(len(level.path) for level in drawn.levels) < 40_000
    assert drawn.numbers == ()


def test_alike_models_are_not_drawn_as_if_they_were_apart() -> None:
    names = ["a", "b", "c"]
    document = {
        "accounts": [{"account": name, "verdict": "alike"} for name in names],
        "groups": [{"group": "openai gpt", "accounts": names, "floor": 0.01}],
        "distances": [
            {"accounts": ["a", "b"], "distance": 0.011},
            {"accounts": ["a", "c"], "distance": 0.02},
            {"accounts": ["b", "c"], "distance": 0.012},
        ],
    }
    [drawn] = build_heat_maps(document, "c0ffee")
    assert {level.level for level in drawn.levels} == {0}


@pytest.mark.parametrize(
    ("kind", "values", "shown"),
    [
        ("refused", (-0.004, 0.11, 0.2, 0.1), ("+11%", "+0% to +20%", "-10% to +10%")),
        ("wrong_language", (-0.004, 0.11, 0.2, 0.1), ("+11%", "+0% to +20%", "-10% to +10%")),
        ("length", (-0.0953, 0.0, 0.0953, 0.2231), ("×1.00", "×0.91 to ×1.10", "×0.80 to ×1.25")),
        ("distance", (0.1, 0.19, 0.28, 0.03), ("+0.19", "+0.10 to +0.28", "up to +0.03")),
    ],
)
def test_measurements_have_the_unit_of_their_kind(
    kind: str, values: tuple[float, ...], shown: tuple[str, ...]
) -> None:
    low, difference, high, margin = values
    row = build_measurement_row(
        {"kind": kind, "conclusion": "unsure", "low": low, "difference": difference, "high": high, "margin": margin}
        | {"own": None, "others": 0.5, "probes": []}
    )
    assert (row.difference, row.interval, row.margin) == shown
    assert row.own == "–"
    drawing = row.drawing
    assert 0 <= drawing.start <= drawing.estimate <= drawing.start + drawing.length <= 1000


def test_measurement_of_a_later_version_is_left_out(compared: ComparedRun) -> None:
    assert compared.comparison.result is not None
    known = compared.comparison.result["accounts"][0]["measurements"]
    rows = build_measurement_rows([*known, {**known[0], "kind": "tone_of_voice"}])
    assert [row.kind for row in rows] == [each["kind"] for each in known]


def test_equal_answers_are_one_card_and_the_linked_account_is_beside_the_most_common(compared: ComparedRun) -> None:
    probe_id = next(
        each.probe_id
        for each in compared.answers
        if each.model == "outlier-1" and each.outcome is AnswerOutcome.REFUSED_TEXT
    )
    answers = [each for each in compared.answers if each.probe_id == probe_id]
    page = answers_page.build_answers_page(
        compared.comparison, "support", probe_id, compared.probes[probe_id], answers, [probe_id], "outlier-1"
    )
    first, second, *_, last = page.cards
    assert first.is_common
    assert (second.title, second.outcome, second.is_selected) == ("outlier-1", "refused", True)
    assert (last.title, last.is_base) == ("Untuned base model", True)
    tuned = [name for card in page.cards if not card.is_base for name in (*card.accounts, *card.more_accounts)]
    assert sorted(tuned) == sorted({each.model for each in answers} - {BASE_MODEL})
    assert page.messages[0] == ("system", "You answer briefly.")
    assert (page.previous, page.next) == ("", "")


def test_differences_are_marked_and_long_answers_folded(compared: ComparedRun) -> None:
    probe_id = compared.comparison.probe_ids[0]
    plain = [each for each in compared.answers if each.probe_id == probe_id and each.round == 1]
    common = " ".join(f"word{number}" for number in range(400))
    texts = {plain[0].model: common.replace("word3 ", "other "), plain[1].model: "nothing alike"}
    texts[plain[2].model] = common.replace("word7 ", "")
    answers = [
        replace(each, text=text, text_sha256=str(hash(text)), outcome=AnswerOutcome.ANSWERED)
        for each in plain
        for text in [texts.get(each.model, common)]
    ]
    cards = {
        card.title: card for card in answers_page.build_answer_cards(compared.comparison, answers) if not card.is_base
    }
    changed, strange, shortened = (cards[each.model] for each in plain[:3])
    assert [span.text for span in changed.head if span.mark] == ["other"]
    assert changed.rest
    assert strange.note.startswith("Shares little")
    assert not any(span.mark for span in strange.head)
    assert shortened.note.startswith("Leaves out words")


def test_unsteady_serving_and_deleted_texts_are_named(compared: ComparedRun) -> None:
    probe_id = compared.comparison.probe_ids[0]
    first = next(each for each in compared.answers if each.probe_id == probe_id)
    answers = [replace(first, text=None), replace(first, text=None, round=2, text_sha256="0" * 64)]
    page = answers_page.build_answers_page(compared.comparison, "support", probe_id, None, answers, [probe_id])
    assert page.note == "The texts of the answers were deleted when the comparison ended."
    assert page.cards[0].note == "Another answer in the second round."
    assert not page.is_known


def test_probes_with_the_most_different_answers_come_first(compared: ComparedRun) -> None:
    summaries = [ProbeSummary("a", 5, 1, 0), ProbeSummary("b", 5, 4, 0), ProbeSummary("c", 5, 4, 2)]
    page = answers_page.build_probe_list(compared.comparison, "support", {}, summaries)
    assert [row.probe_id for row in page.rows] == ["c", "b", "a"]
    assert [row.distinct for row in page.rows] == ["4 of 5", "4 of 5", "1 of 5"]


@pytest.mark.parametrize(
    ("changed", "note"),
    [
        (True, "Model changed since 2026-11-28 06:00 UTC (comparison c0): 60 probes, p = 0.001."),
        (False, "No change found since 2026-11-28 06:00 UTC (comparison c0): 60 probes, p = 0.001."),
        (None, "Too few probes to see a change since 2026-11-28 06:00 UTC (comparison c0): 60 probes, p = 0.001."),
    ],
)
def test_card_states_whether_the_model_changed(compared: ComparedRun, changed: bool | None, note: str) -> None:
    document = dict(compared.comparison.result or {})
    drift = {
        "comparison": "c0",
        "at": "2026-11-28T06:00:00+00:00",
        "changed": changed,
        "p_value": 0.001,
        "probes": 60,
    }
    first, second, *others = document["accounts"]
    without = {key: value for key, value in second.items() if key != "drift"}  # as an earlier version stored it
    document["accounts"] = [{**first, "drift": drift}, without, *others]
    result = build_result_view(replace(compared.comparison, result=document), "support", compared.probes)
    notes = {card.account: card.notes for card in result.cards}
    assert note in notes[first["account"]]
    assert not any("change" in each for each in notes[second["account"]])

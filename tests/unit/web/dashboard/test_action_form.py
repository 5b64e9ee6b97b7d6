"""The fields of dialogs: typed by anybody, so nothing in them is trusted."""

from __future__ import annotations

import pytest

from orchestrator.core.jobs.operator_action import OperatorAction
from orchestrator.web.dashboard.action_form import ActionForm, parse_number, parse_whole_number
from orchestrator.web.problem import ProblemError


@pytest.mark.parametrize(
    ("typed", "price"), [("1.5", 1.5), ("0", 0.0), ("", None), ("nan", None), ("inf", None), ("-inf", None)]
)
def test_price_shown_in_the_dialog_is_a_number_or_unknown(typed: str, price: float | None) -> None:
    assert ActionForm.parse(f"usd={typed}").expected_usd == price
    assert ActionForm.parse("").expected_usd is None


@pytest.mark.parametrize(
    ("typed", "count"), [("3", 3), ("0", 0), ("", -1), ("-4", -1), ("%C2%B2", -1), ("9" * 9, -1)]
)
def test_count_shown_in_the_dialog_equals_no_selection_if_it_is_none(typed: str, count: int) -> None:
    assert ActionForm.parse(f"expect={typed}").expected_count == count


@pytest.mark.parametrize("back", ["https://elsewhere", "//elsewhere", "/%5Celsewhere", "/%0D%0Aa:b", ""])
def test_dialog_returns_to_no_other_host(back: str) -> None:
    assert ActionForm.parse(f"back={back}").get_back("/runs") == "/runs"
    assert ActionForm.parse("back=/plan%3Frun%3Da").get_back("/runs") == "/plan?run=a"


@pytest.mark.parametrize("text", ["verb=nothing", "", "verb=hold&account=%00"])
def test_unknown_action_or_nul_is_refused(text: str) -> None:
    with pytest.raises(ProblemError) as refused:
        ActionForm.parse(text).get_action(OperatorAction)
    assert refused.value.status == 422


@pytest.mark.parametrize("typed", ["", "one", "-1", "nan", "inf", "1e999"])
def test_typed_number_that_is_none_is_named(typed: str) -> None:
    with pytest.raises(ProblemError, match="The limit must be a number, not ") as refused:
        parse_number(typed, "The limit must be a number", "Correct it.")
    assert (refused.value.status, refused.value.hint) == (422, "Correct it.")
    assert parse_number("2,5", "", "") == 2.5


@pytest.mark.parametrize("typed", ["", "1", "13", "2.0", "²", "1000000000"])
def test_typed_whole_number_outside_of_its_limits_is_named(typed: str) -> None:
    with pytest.raises(ProblemError, match="Choose from 2 to 12, not ") as refused:
        parse_whole_number(typed, "Choose from 2 to 12", "Correct it.", limits=range(2, 13))
    assert refused.value.status == 422
    assert [parse_whole_number(each, "", "", limits=range(2, 13)) for each in ("2", "12")] == [2, 12]

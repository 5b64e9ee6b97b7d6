from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core.jobs.job_filter import JobFilter
from orchestrator.core.jobs.job_sort_order import JobColumn, JobSortOrder

CRITERIA: list[dict[str, Any]] = [
    {"state": "failed"}, {"held": False}, {"provider": "openai"}, {"label": "eu"}, {"error": "timeout"},
    {"text": "acme"}, {"accounts": ("acme",)},
]  # fmt: skip


@pytest.mark.parametrize("criterion", CRITERIA, ids=str)
def test_each_criterion_narrows_the_selection(criterion: dict[str, Any]) -> None:
    assert JobFilter(**criterion).is_narrowing is True


def test_filter_without_a_criterion_selects_the_whole_run() -> None:
    assert JobFilter().is_narrowing is False


def test_filter_without_its_state_keeps_the_other_criteria() -> None:
    chosen = JobFilter(state="failed", held=True, provider="openai", text="acme", accounts=("a",))
    assert chosen.without_state == JobFilter(provider="openai", text="acme", accounts=("a",))


def test_default_order_is_left_out_of_addresses() -> None:
    assert str(JobSortOrder()) == ""
    assert str(JobSortOrder(JobColumn.PRICE, descending=True)) == "-price"
    assert JobSortOrder().text == "account"


def test_second_click_on_a_heading_reverses_the_order() -> None:
    by_price = JobSortOrder().select_column(JobColumn.PRICE)
    assert by_price == JobSortOrder(JobColumn.PRICE)
    assert by_price.select_column(JobColumn.PRICE) == JobSortOrder(JobColumn.PRICE, descending=True)
    assert by_price.select_column(JobColumn.PRICE).select_column(JobColumn.PRICE) == by_price
    assert by_price.select_column(JobColumn.PRICE).select_column(JobColumn.STATE) == JobSortOrder(JobColumn.STATE)


def test_order_is_read_from_its_text_and_unknown_texts_are_the_default() -> None:
    assert JobSortOrder.parse("-price") == JobSortOrder(JobColumn.PRICE, descending=True)
    assert JobSortOrder.parse("state") == JobSortOrder(JobColumn.STATE)
    assert JobSortOrder.parse("-nothing") == JobSortOrder.parse("") == JobSortOrder()

"""The texts in which every part of the program shows numbers, prices, durations, times and lists."""

from __future__ import annotations

import pytest

from orchestrator.core.text import (
    format_age,
    format_bytes,
    format_count,
    format_days_left,
    format_different_usd,
    format_duration,
    format_exact_duration,
    format_list,
    format_number,
    format_percent,
    format_remaining_time,
    format_time,
    format_timestamp,
    format_usd,
    format_usd_limit,
)

NOON = 1_790_856_000.0  # 2026-10-01 12:00:00 UTC


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (None, "unknown"),
        (0, "$0.00"),
        (0.00001, "under $0.0001"),
        (0.0031, "$0.0031"),
        (0.00996, "$0.01"),
        (0.01, "$0.01"),
        (0.5, "$0.50"),
        (1234.5, "$1,234.50"),
    ],
)
def test_usd_has_cents_and_keeps_the_digits_of_less(amount: float | None, text: str) -> None:
    assert format_usd(amount) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 accounts"), (1, "1 account"), (2, "2 accounts"), (12345, "12,345 accounts")]
)
def test_count_agrees_with_its_noun(count: int, text: str) -> None:
    assert format_count(count, "account") == text
    assert format_number(count) == text.split()[0]


def test_count_takes_an_irregular_plural() -> None:
    assert format_count(1, "reply", "replies") == "1 reply"
    assert format_count(3, "reply", "replies") == "3 replies"


@pytest.mark.parametrize(
    ("items", "limit", "total", "text"),
    [
        ([], 3, None, ""),
        (["a", "b"], None, None, "a, b"),
        (["a", "b", "c"], 3, None, "a, b, c"),
        (["a", "b", "c", "d"], 3, None, "a, b, c and 1 more"),
        (["a"], None, 2000, "a and 1,999 more"),
        (["a", "b"], 1, 5, "a and 4 more"),
    ],
)
def test_list_names_the_first_items_and_counts_the_rest(
    items: list[str], limit: int | None, total: int | None, text: str
) -> None:
    assert format_list(items, limit=limit, total=total) == text


def test_list_takes_another_separator() -> None:
    assert format_list(["x", "y", "z"], limit=2, separator="; ") == "x; y; and 1 more"


@pytest.mark.parametrize(
    ("seconds", "duration", "age"),
    [
        (-1, "0 s", "just now"),
        (59.9, "59 s", "just now"),
        (60, "1 min", "1 min ago"),
        (3 * 3600, "3 h", "3 h ago"),
        (2 * 86400, "2 d", "2 d ago"),
    ],
)
def test_duration_is_a_whole_number_of_its_largest_unit(seconds: float, duration: str, age: str) -> None:
    assert format_duration(seconds) == duration
    assert format_age(seconds) == age


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (10, "under a minute"),
        (61, "about 1 min"),
        (99 * 60, "about 99 min"),
        (110 * 60, "about 2 h"),
        (47 * 3600, "about 47 h"),
        (50 * 3600, "about 2 days"),
    ],
)
def test_remaining_time_is_rounded(seconds: float, text: str) -> None:
    assert format_remaining_time(seconds) == text


def test_times_are_in_utc_and_say_so() -> None:
    assert format_time(NOON + 59) == "2026-10-01 12:00 UTC"
    assert format_timestamp(NOON + 59) == "2026-10-01 12:00:59 UTC"


@pytest.mark.parametrize(("fraction", "text"), [(0, "0%"), (0.29, "29%"), (0.999, "99%"), (1, "100%")])
def test_percentage_is_complete_only_at_the_end(fraction: float, text: str) -> None:
    assert format_percent(fraction) == text


@pytest.mark.parametrize(
    ("count", "text"), [(3 << 30, "3 GiB"), (16 << 20, "16 MiB"), (1 << 10, "1 KiB"), (1025, "1,025 bytes")]
)
def test_byte_counts_use_the_largest_whole_unit(count: int, text: str) -> None:
    assert format_bytes(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0 s"),
        (45.9, "45 s"),
        (725, "12 min 5 s"),
        (3600, "1 h"),
        (22_800, "6 h 20 min"),
        (183_600, "2 d 3 h"),
    ],
)
def test_exact_duration_has_two_units(seconds: float, text: str) -> None:
    assert format_exact_duration(seconds) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0.0, "0.00"),
        (0.00001, "0.01"),
        (0.02, "0.02"),
        (0.0203, "0.03"),
        (0.07, "0.07"),
        (0.29, "0.29"),
        (1234.501, "1234.51"),
    ],
)
def test_price_limit_is_never_below_the_price(amount: float, text: str) -> None:
    assert format_usd_limit(amount) == text
    assert float(text) >= amount


@pytest.mark.parametrize(
    ("first", "second", "texts"),
    [
        (0.5, 0.2, ("$0.50", "$0.20")),
        (0.0203, 0.02, ("$0.0203", "$0.0200")),
        (0.000002, 0.000001, ("$0.000002", "$0.000001")),
        (0.1 + 0.2, 0.3, ("$0.30000000000000004", "$0.29999999999999999")),
    ],
)
def test_different_amounts_look_different(first: float, second: float, texts: tuple[str, str]) -> None:
    assert format_different_usd(first, second) == texts


def test_amount_that_is_not_positive_has_cents() -> None:
    assert format_usd(-0.001) == "$-0.00"
    assert format_usd(0.0001) == "$0.0001"
    assert format_usd(0.00994) == "$0.0099"


@pytest.mark.parametrize(
    ("days", "text"),
    [(None, "in the past"), (-1, "in the past"), (0, "today"), (1, "in 1 day"), (30, "in 30 days")],
)
def test_days_left_are_counted_from_today(days: int | None, text: str) -> None:
    assert format_days_left(days) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"), (1, "1 s"), (59, "59 s"), (60, "1 min"), (61, "1 min 1 s"), (3599, "59 min 59 s"),
        (3660, "1 h 1 min"), (86_399, "23 h 59 min"), (86_400, "1 d"), (90_000, "1 d 1 h"),
    ],
)  # fmt: skip
def test_exact_duration_changes_its_units_at_full_minutes_hours_and_days(seconds: float, text: str) -> None:
    assert format_exact_duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (59, "under a minute"), (60, "about 1 min"), (99.4 * 60, "about 99 min"), (99.6 * 60, "about 2 h"),
        (47.4 * 3600, "about 47 h"), (47.6 * 3600, "about 2 days"), (72 * 3600, "about 3 days"),
    ],
)  # fmt: skip
def test_remaining_time_changes_its_unit_where_the_number_would_be_long(seconds: float, text: str) -> None:
    assert format_remaining_time(seconds) == text

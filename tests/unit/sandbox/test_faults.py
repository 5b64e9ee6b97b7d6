"""Fault rules: which requests they affect, and how often."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.sandbox import faults
from orchestrator.sandbox.app import ROUTES
from orchestrator.sandbox.fault_injector import FaultInjector
from orchestrator.sandbox.faults import (
    FAULT_KINDS,
    OPERATIONS,
    WEBHOOK_OPERATION,
    Fault,
    FaultError,
    faults_to_json,
    parse_faults,
)
from orchestrator.sandbox.request_pipeline import ERROR_BY_FAULT_KIND


def list_affected(rule: Fault, *requests: tuple[str, str]) -> list[bool]:
    book = FaultInjector(1, (rule,))
    return [rule.kind in book.draw(account, operation) for account, operation in requests]


def test_every_operation_has_its_route() -> None:
    assert sorted(OPERATIONS) == sorted([WEBHOOK_OPERATION, *(operation for _, _, operation, _ in ROUTES)])


def test_every_fault_kind_is_in_the_table() -> None:
    rows = [line.split("|")[1].strip() for line in str(faults.__doc__).splitlines() if line.startswith("| ")]
    assert sorted(rows[1:]) == sorted(FAULT_KINDS)
    assert ERROR_BY_FAULT_KIND.keys() < FAULT_KINDS.keys()


def test_fault_applies_to_its_accounts_and_operations() -> None:
    requests = ("a-1", "files.create"), ("b", "files.create"), ("a-1", "jobs.create")
    assert list_affected(Fault("drop"), *requests) == [True, True, True]
    assert list_affected(Fault("drop", accounts=("a-*",)), *requests) == [True, False, True]
    assert list_affected(Fault("drop", operations=("jobs.*",)), *requests) == [False, False, True]
    assert list_affected(Fault("forbidden"), *requests) == [False, False, True]
    assert list_affected(Fault("forbidden", operations=("files.create",)), *requests) == [True, True, False]
    assert list_affected(Fault("fail_job", operations=("files.create",)), *requests) == [False, False, False]


def test_fault_applies_to_webhooks_only_when_named() -> None:
    request = ("a", WEBHOOK_OPERATION)
    assert (
        list_affected(Fault("drop"), request) == list_affected(Fault("slow", operations=("*",)), request) == [False]
    )
    assert list_affected(Fault("drop", operations=(WEBHOOK_OPERATION,)), request, ("a", "jobs.list")) == [True, False]
    assert list_affected(Fault("twice"), request) == list_affected(Fault("forged"), request) == [True]


def test_times_counts_applied_faults_only() -> None:
    assert list_affected(
        Fault("drop", times=2, accounts=("a",)), *[("b", "files.list"), ("a", "files.list")] * 3
    ) == [
        False,
        True,
        False,
        True,
        False,
        False,
    ]


def test_only_one_rule_decides_the_response_and_counts() -> None:
    book = FaultInjector(1, (Fault("drop", times=1), Fault("lose_answer", times=1), Fault("slow", times=1)))
    assert set(book.draw("a", "files.list")) == {"drop", "slow"}
    assert set(book.draw("a", "files.list")) == {"lose_answer"}
    assert book.draw("a", "files.list") == {}


def test_rate_is_reproducible_for_any_order_of_requests() -> None:
    rule = Fault("drop", rate=0.25)
    one = list_affected(rule, *[("a", "files.list")] * 2000)
    assert 0.2 < sum(one) / 2000 < 0.3
    mixed = list_affected(rule, *[("a", "files.list"), ("b", "files.list"), ("a", "jobs.list")] * 2000)
    assert mixed[::3] == one
    assert mixed[1::3] != one
    assert list_affected(Fault("drop", rate=0), *[("a", "files.list")] * 50) == [False] * 50


def test_rules_survive_a_round_trip_through_json() -> None:
    rules: list[dict[str, Any]] = [
        {"kind": "slow", "rate": 0.5, "seconds": 2, "accounts": ["a"]},
        {"kind": "page_size", "size": 3},
    ]
    parsed = parse_faults({"faults": rules})
    assert parse_faults({"faults": faults_to_json(parsed)}) == parsed
    assert faults_to_json(parsed)[1] == rules[1]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ([], "list `faults`"),
        ({"faults": {}}, "list `faults`"),
        (
            {"fault": [{"kind": "drop"}]},
            "'fault' is not known (did you mean 'faults'?): rules are written [[faults",
        ),
        ({"faults": [], "seed": 1}, "'seed' is not known: rules are written"),
        (
            {"faults": [{"kind": "drop", "rates": 0.1}]},
            "unknown option 'rates' (did you mean 'rate'?); known: kind,",
        ),
        ({"faults": [{"kind": "dropp"}]}, "unknown kind 'dropp' (did you mean 'drop'?)"),
        ({"faults": ["drop"]}, "table with a `kind`"),
        ({"faults": [{"kind": "fog"}]}, "unknown kind 'fog'"),
        ({"faults": [{"kind": "drop", "rate": "often"}]}, "rate='often'"),
        ({"faults": [{"kind": "drop", "accounts": "a"}]}, "accounts='a'"),
        ({"faults": [{"kind": "drop", "rate": -1}]}, "rate must be from 0 to 1"),
        ({"faults": [{"kind": "drop", "times": 0}]}, "times must be 1 or more"),
        ({"faults": [{"kind": "slow", "seconds": -1}]}, "seconds must not be negative"),
        ({"faults": [{"kind": "page_size", "size": 0}]}, "size must be 1 or more"),
        ({"faults": [{"kind": "drop", "operations": ["jobs.dance"]}]}, "jobs.dance"),
    ],
)
def test_invalid_fault_rule_is_refused(document: Any, expected: str) -> None:
    with pytest.raises(FaultError) as raised:
        parse_faults(document)
    assert expected in str(raised.value)

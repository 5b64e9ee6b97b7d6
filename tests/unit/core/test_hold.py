from __future__ import annotations

from datetime import date

import pytest
from core_values import NOW, PERMANENT_HOLD

from orchestrator.core.errors import Failure
from orchestrator.core.hold import ACCOUNT_REMOVED_HOLD, HOLD_DESCRIPTIONS, SUPERSEDED_HOLD, Hold, HoldKind
from orchestrator.core.loopback import is_loopback
from orchestrator.core.plans.price import Price, calculate_training_usd
from orchestrator.core.spec import Auto


@pytest.mark.parametrize(("until", "holds"), [(None, True), (NOW - 1, False), (NOW, False), (NOW + 1, True)])
def test_a_hold_ends_at_its_time(until: float | None, holds: bool) -> None:
    assert Hold("kind", "reason", "hint", until).is_active(NOW) is holds


@pytest.mark.parametrize(
    "hold", [PERMANENT_HOLD, ACCOUNT_REMOVED_HOLD, SUPERSEDED_HOLD, Hold("kind", "reason", "hint", NOW)]
)
def test_a_hold_survives_the_database_and_can_be_shown(hold: Hold) -> None:
    assert Hold.from_dict(hold.as_dict()) == hold
    assert hold.failure == Failure(hold.kind, hold.reason, hold.hint)
    assert hold.hint


def test_absent_hold_survives_the_database() -> None:
    assert Hold.from_dict(None) is None


@pytest.mark.parametrize(
    ("host", "inside"),
    [
        ("localhost", True),
        ("LOCALHOST", True),
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("[::1]", True),
        ("0.0.0.0", False),
        ("10.0.0.1", False),
        ("::", False),
        ("localhost.example.com", False),
        ("", False),
    ],
)
def test_loopback_addresses_are_recognised(host: str, inside: bool) -> None:
    assert is_loopback(host) is inside


PRICE = Price(usd_per_million_tokens=5.0, as_of=date(2026, 11, 1), source="price list")


@pytest.mark.parametrize(
    ("tokens", "n_epochs", "price", "usd"),
    [
        (200_000, 3, PRICE, 3.0),
        (0, 3, PRICE, 0.0),
        (None, 3, PRICE, None),
        (200_000, "auto", PRICE, None),
        (200_000, 3, None, None),
    ],
)
def test_price_is_known_or_none(
    tokens: int | None, n_epochs: int | Auto, price: Price | None, usd: float | None
) -> None:
    assert calculate_training_usd(tokens, n_epochs, price) == usd


def test_every_kind_of_hold_is_described() -> None:
    assert set(HOLD_DESCRIPTIONS) == set(HoldKind)
    assert all(text.endswith(".") for texts in HOLD_DESCRIPTIONS.values() for text in texts)

"""Prices: known ones from dated data, unknown ones never guessed."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from orchestrator.core.errors import ConfigError
from orchestrator.core.plans.price import Price, calculate_training_usd
from orchestrator.dataset.tokens.encodings import find_encoding_name
from orchestrator.dataset.tokens.openai import find_context_limit
from orchestrator.inputs.prices import load_prices
from orchestrator.sandbox.simulation.model_catalogue import CATALOGUE

PRICE = Price(usd_per_million_tokens=5.0, as_of=date(2025, 6, 1), source="a page")


@pytest.mark.parametrize(
    ("base_model", "usd"),
    [
        ("gpt-4.1-2025-04-14", 25.0),
        ("gpt-4.1", 25.0),
        ("gpt-4.1-mini-2025-04-14", 5.0),
        ("gpt-4.1-nano-2025-04-14", 1.5),
        ("gpt-4o-2024-08-06", 25.0),
        ("gpt-4o-mini-2024-07-18", 3.0),
        ("ft:gpt-4.1-mini-2025-04-14:acme:tone:abc", 5.0),
        ("gpt-4o-2024-05-13", None),
        ("gpt-4.1-micro", None),
        ("gpt-4.1-mini-preview", None),
    ],
)
def test_shipped_price_list_is_valid(base_model: str, usd: float | None) -> None:
    price = load_prices().find("openai", base_model)
    assert (price and price.usd_per_million_tokens) == usd


def test_price_belongs_to_its_provider() -> None:
    assert load_prices().find("azure", "gpt-4.1-2025-04-14") is None


def test_job_price_is_tokens_times_rate() -> None:
    assert calculate_training_usd(2_000_000, 3, PRICE) == 30.0


@pytest.mark.parametrize(("tokens", "price", "known"), [(None, PRICE, False), (1, None, False), (0, PRICE, True)])
def test_unknown_price_is_none(tokens: int | None, price: Price | None, known: bool) -> None:
    assert (calculate_training_usd(tokens, 3, price) is not None) is known
    assert calculate_training_usd(tokens, "auto", price) is None


@pytest.mark.parametrize("name", [name for name in CATALOGUE if name.startswith("sandbox-")])
def test_sandbox_model_has_price_encoding_and_context_and_never_retires(name: str) -> None:
    price = load_prices().find("openai", name)
    assert price is not None
    assert price.fixed
    assert find_encoding_name(name) == find_encoding_name(f"ft:{name}:acme:tone:abc") == "o200k_base"
    assert find_context_limit(name)
    assert CATALOGUE[name].shutdown_date is None


def test_custom_price_list_replaces_the_shipped_list(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(
        '[[price]]\nprovider = "nebius"\nbase_model = "llama"\nusd_per_million_tokens = 2\n'
        'as_of = 2026-01-31\nsource = "contract"\n'
    )
    price = Price(usd_per_million_tokens=2.0, as_of=date(2026, 1, 31), source="contract")
    assert load_prices(path).find("nebius", "llama") == price


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("[[price]]\n", 5),
        (
            '[[price]]\nprovider = 1\nbase_model = "a"\nusd_per_million_tokens = nan\nas_of = 2026-01-31\n'
            'source = ""\n',
            2,
        ),
        ("[[price]]\nusd = 1\n", 6),
        (
            '[[price]]\nprovider = "a"\nbase_model = "a"\nusd_per_million_tokens = 1\nas_of = 2026-01-31\n'
            'source = ""\nfixed = 1\n',
            1,
        ),
        ("price = 1\n", 1),
        ("[[prices]]\n", 1),
        ("price = []\nas_of = 2026-01-31\n", 1),
        ("price = [1]\n", 1),
    ],
)
def test_every_problem_of_a_list_is_reported(tmp_path: Path, text: str, problems: int) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_prices(path)
    assert len(caught.value.problems) == problems


def test_misspelt_model_suggests_the_nearest_name(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text("[[prices]]\nprovider = 'openai'\n")
    with pytest.raises(ConfigError, match='prices is not a known key; did you mean "price"'):
        load_prices(path)


@pytest.mark.parametrize("text", [b"[[price]", b"\xff"])
def test_price_list_without_toml_is_refused(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "prices.toml"
    path.write_bytes(text)
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_prices(path)


def test_missing_price_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_prices(tmp_path / "prices.toml")

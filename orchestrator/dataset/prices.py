"""Prices: the dated price list, shipped as data and replaceable by the operator's own."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Any

from orchestrator.core.errors import ConfigError
from orchestrator.core.price import Price

_KEYS = {"provider": str, "base_model": str, "usd_per_million_tokens": int | float, "as_of": date, "source": str}
_OPTIONAL = {"fixed"}
HINT = "Each [[price]] has provider, base_model, usd_per_million_tokens, as_of (a date) and source."


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices by provider and base model."""

    entries: Mapping[tuple[str, str], Price]

    def find(self, provider: str, base_model: str) -> Price | None:
        """The price of a base model or, without its date, of its kind; None where it is not known.

        Training on from an own `ft:…` model costs what its base model costs.
        """
        plain = re.sub(r"^ft:([^:]*).*", r"\1", base_model)
        kind = re.sub(r"-\d{4}-\d{2}-\d{2}$", "", plain)
        return self.entries.get((provider, plain)) or self.entries.get((provider, kind))


def load_prices(path: Path | None = None) -> Prices:
    """The list at `path`, or the one that is shipped. Raises ConfigError with every fault of the file."""
    name = str(path or "prices.toml")
    try:
        text = path.read_text("utf-8") if path else files(__package__).joinpath("prices.toml").read_text("utf-8")
        entries = tomllib.loads(text).get("price", [])
    except OSError as error:
        raise ConfigError(
            f"the price list {name} cannot be read: {error.strerror}", hint="Correct its path."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"the price list {name} is not valid TOML: {error}", hint=HINT) from None
    if problems := _faults(entries):
        raise ConfigError(f"{name}: {problems[0]}", hint=HINT, problems=problems)
    return Prices({(entry["provider"], entry["base_model"]): _price(entry) for entry in entries})


def _faults(entries: object) -> list[str]:
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        return ["price must be a list of [[price]] tables"]
    return [fault for number, entry in enumerate(entries, 1) for fault in _faults_of(number, entry)]


def _faults_of(number: int, entry: dict[str, Any]) -> list[str]:
    wrong = [f"price {number}: {key} is missing or wrong" for key, kind in _KEYS.items() if not _is(entry, key, kind)]
    wrong += [
        f"price {number}: {key} must be true or false" for key in _OPTIONAL if type(entry.get(key, True)) is not bool
    ]
    return wrong + [f"price {number}: {key} is not known" for key in entry if key not in {*_KEYS, *_OPTIONAL}]


def _is(entry: dict[str, Any], key: str, kind: Any) -> bool:
    value = entry.get(key)
    if isinstance(value, bool) or not isinstance(value, kind):
        return False
    return not isinstance(value, int | float) or 0 <= value < float("inf")


def _price(entry: dict[str, Any]) -> Price:
    usd = float(entry["usd_per_million_tokens"])
    return Price(
        usd_per_million_tokens=usd, as_of=entry["as_of"], source=entry["source"], fixed=entry.get("fixed", False)
    )

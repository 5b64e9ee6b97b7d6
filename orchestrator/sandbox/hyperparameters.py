"""Hyperparameters: which a method has, what they may be, and what `auto` becomes when training starts."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Any

from orchestrator.sandbox.answer import invalid

Check = Callable[[Any], bool]


def _integer(least: int, most: int | None = None) -> Check:
    def check(value: Any) -> bool:
        return type(value) is int and least <= value and (most is None or value <= most)

    return check


def _number(above: float, most: float | None = None) -> Check:
    def check(value: Any) -> bool:
        return type(value) in (int, float) and above < value and (most is None or value <= most)

    return check


COMMON: dict[str, Check] = {
    "batch_size": _integer(1, 256),
    "learning_rate_multiplier": _number(0),
    "n_epochs": _integer(1, 50),
}
METHODS: dict[str, dict[str, Check]] = {
    "supervised": COMMON,
    "dpo": COMMON | {"beta": _number(0, 2)},
    "reinforcement": COMMON
    | {
        "reasoning_effort": {"default", "low", "medium", "high"}.__contains__,
        "compute_multiplier": _number(1e-5, 10),
        "eval_interval": _integer(1),
        "eval_samples": _integer(1),
    },
}


def check_hyperparameters(given: Any, method: str, where: str) -> dict[str, Any]:
    """All that the method has, `auto` where nothing was said. Raises Refusal (400)."""
    given = {} if given is None else given
    if not isinstance(given, dict):
        raise invalid(f"Invalid type for '{where}': expected an object.", where, "invalid_type")
    rules = METHODS[method]
    for name, value in given.items():
        if name not in rules:
            raise invalid(f"Unknown parameter: '{where}.{name}'.", f"{where}.{name}", "unknown_parameter")
        if value != "auto" and not rules[name](value):
            raise invalid(f"Invalid '{where}.{name}': {value!r} is out of range.", f"{where}.{name}")
    return dict.fromkeys(COMMON, "auto") | given


def resolve_hyperparameters(asked: dict[str, Any], examples: int) -> dict[str, Any]:
    """The values that a job with this many examples is trained with."""
    automatic = {
        "n_epochs": 3 if examples >= 10 else 10,
        "batch_size": max(1, min(256, ceil(examples * 0.002))),
        "learning_rate_multiplier": 1.8,
        "beta": 0.1,
        "compute_multiplier": 1.0,
        "eval_interval": 5,
        "eval_samples": 10,
    }
    return {name: automatic.get(name, value) if value == "auto" else value for name, value in asked.items()}

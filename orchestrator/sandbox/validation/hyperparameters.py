"""Hyperparameters of each method: their valid values, and the values of `auto`."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Any

from orchestrator.sandbox.response import bad_request

HyperparameterRule = Callable[[Any], bool]


def _integer_rule(minimum: int, maximum: int | None = None) -> HyperparameterRule:
    def check(value: Any) -> bool:
        return type(value) is int and minimum <= value and (maximum is None or value <= maximum)

    return check


def _number_rule(above: float, maximum: float | None = None) -> HyperparameterRule:
    def check(value: Any) -> bool:
        return type(value) in (int, float) and above < value and (maximum is None or value <= maximum)

    return check


COMMON_RULES: dict[str, HyperparameterRule] = {
    "batch_size": _integer_rule(1, 256),
    "learning_rate_multiplier": _number_rule(0),
    "n_epochs": _integer_rule(1, 50),
}
METHOD_RULES: dict[str, dict[str, HyperparameterRule]] = {
    "supervised": COMMON_RULES,
    "dpo": COMMON_RULES | {"beta": _number_rule(0, 2)},
    "reinforcement": COMMON_RULES
    | {
        "reasoning_effort": {"default", "low", "medium", "high"}.__contains__,
        "compute_multiplier": _number_rule(1e-5, 10),
        "eval_interval": _integer_rule(1),
        "eval_samples": _integer_rule(1),
    },
}


def validate_hyperparameters(requested: Any, method: str, where: str) -> dict[str, Any]:
    """Validate hyperparameters, and add `auto` for the missing ones. Raises SandboxApiError (400)."""
    requested = {} if requested is None else requested
    if not isinstance(requested, dict):
        raise bad_request(f"Invalid type for '{where}': expected an object.", where, "invalid_type")
    rules = METHOD_RULES[method]
    for name, value in requested.items():
        if name not in rules:
            raise bad_request(f"Unknown parameter: '{where}.{name}'.", f"{where}.{name}", "unknown_parameter")
        if value != "auto" and not rules[name](value):
            raise bad_request(f"Invalid '{where}.{name}': {value!r} is out of range.", f"{where}.{name}")
    return dict.fromkeys(COMMON_RULES, "auto") | requested


def resolve_hyperparameters(requested: dict[str, Any], examples: int) -> dict[str, Any]:
    """Return the values used in training: `auto` depends on the number of examples."""
    automatic = {
        "n_epochs": 3 if examples >= 10 else 10,
        "batch_size": max(1, min(256, ceil(examples * 0.002))),
        "learning_rate_multiplier": 1.8,
        "beta": 0.1,
        "compute_multiplier": 1.0,
        "eval_interval": 5,
        "eval_samples": 10,
    }
    return {name: automatic.get(name, value) if value == "auto" else value for name, value in requested.items()}

"""Checks of single values of a JSON body that several endpoints share. Each raises Refusal (400)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from orchestrator.sandbox.response import bad_request

JsonBody = Mapping[str, Any]
ValueCheck = tuple[str, Callable[[Any], bool]]
"""What is expected, in words, and whether a value is that."""


def number_between(least: float, most: float) -> ValueCheck:
    """A number, inclusive of both ends."""

    def fits(value: Any) -> bool:
        return type(value) in (int, float) and least <= value <= most

    return f"a number from {least:g} to {most:g}", fits


def integer_between(least: int, most: int | None = None) -> ValueCheck:
    """An integer; a number without a fraction is one, as in JSON Schema."""

    def fits(value: Any) -> bool:
        whole = type(value) is int or (type(value) is float and value.is_integer())
        return whole and value >= least and (most is None or value <= most)

    return f"an integer of {least} or more" if most is None else f"an integer from {least} to {most}", fits


IS_BOOLEAN: ValueCheck = ("true or false", lambda value: isinstance(value, bool))
IS_STRING: ValueCheck = ("a string", lambda value: isinstance(value, str))
IS_OBJECT: ValueCheck = ("an object", lambda value: isinstance(value, dict))
IS_FALSE: ValueCheck = ("false: this provider stores no answers", lambda value: value is False)


def one_of(*values: str) -> ValueCheck:
    """One of these strings."""
    return f"one of {', '.join(values)}", lambda value: isinstance(value, str) and value in values


def validate_values(body: JsonBody, checks: Mapping[str, ValueCheck]) -> None:
    """Every value that is given, and not null, is what it must be."""
    for name, (expected, fits) in checks.items():
        value = body.get(name)
        if value is not None and not fits(value):
            raise bad_request(f"Invalid '{name}': expected {expected}, but got {value!r}.", name)


def reject_unknown_parameters(body: JsonBody, known: Collection[str], unsupported: Collection[str] = ()) -> None:
    """No parameter is skipped: what has no effect here is refused."""
    for name in sorted(body.keys() - set(known)):
        if name in unsupported:
            if body[name]:
                raise bad_request(f"Unsupported parameter: '{name}'.", name, "unsupported_parameter")
        else:
            raise bad_request(f"Unknown parameter: '{name}'.", name, "unknown_parameter")


def get_model_name(body: JsonBody) -> str:
    """The name of the model."""
    name = body.get("model")
    if not isinstance(name, str):
        raise bad_request("you must provide a model parameter", "model", "missing_required_parameter")
    return name

"""Checks of single values of a JSON body, shared by several endpoints. They raise SandboxApiError (400)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from orchestrator.sandbox.response import bad_request

JsonBody = Mapping[str, Any]
ValueCheck = tuple[str, Callable[[Any], bool]]
"""A description of the expected value, and the function that tests a value."""


def number_between(minimum: float, maximum: float) -> ValueCheck:
    """Build the check of a number in a range that includes both ends."""

    def fits(value: Any) -> bool:
        return type(value) in (int, float) and minimum <= value <= maximum

    return f"a number from {minimum:g} to {maximum:g}", fits


def integer_between(minimum: int, maximum: int | None = None) -> ValueCheck:
    """Build the check of an integer in a range. A number without a fraction is an integer, as in JSON Schema."""

    def fits(value: Any) -> bool:
        is_integer = type(value) is int or (type(value) is float and value.is_integer())
        return is_integer and value >= minimum and (maximum is None or value <= maximum)

    return f"an integer of {minimum} or more" if maximum is None else f"an integer from {minimum} to {maximum}", fits


IS_BOOLEAN: ValueCheck = ("true or false", lambda value: isinstance(value, bool))
IS_STRING: ValueCheck = ("a string", lambda value: isinstance(value, str))
IS_OBJECT: ValueCheck = ("an object", lambda value: isinstance(value, dict))
IS_FALSE: ValueCheck = ("false: this provider stores no answers", lambda value: value is False)


def one_of(*values: str) -> ValueCheck:
    """Build the check of one of several strings."""
    return f"one of {', '.join(values)}", lambda value: isinstance(value, str) and value in values


def validate_values(body: JsonBody, checks: Mapping[str, ValueCheck]) -> None:
    """Check every value that is present and not null."""
    for name, (expected, fits) in checks.items():
        value = body.get(name)
        if value is not None and not fits(value):
            raise bad_request(f"Invalid '{name}': expected {expected}, but got {value!r}.", name)


def reject_unknown_parameters(body: JsonBody, known: Collection[str], unsupported: Collection[str] = ()) -> None:
    """Refuse unknown parameters, and unsupported ones with a value: none is ignored silently."""
    for name in sorted(body.keys() - set(known)):
        if name in unsupported:
            if body[name]:
                raise bad_request(f"Unsupported parameter: '{name}'.", name, "unsupported_parameter")
        else:
            raise bad_request(f"Unknown parameter: '{name}'.", name, "unknown_parameter")


def get_model_name(body: JsonBody) -> str:
    """Return the name of the model."""
    name = body.get("model")
    if not isinstance(name, str):
        raise bad_request("you must provide a model parameter", "model", "missing_required_parameter")
    return name

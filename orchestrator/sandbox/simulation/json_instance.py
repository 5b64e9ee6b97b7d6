"""Builds a JSON value that matches a JSON Schema, for structured outputs and function calls.

It supports the keywords of OpenAI's structured outputs. A schema with any other keyword that restricts values is
refused, so that no answer violates its schema.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

from orchestrator.sandbox.response import bad_request

Schema = Mapping[str, Any]
UNSUPPORTED_KEYWORDS = frozenset(
    {"not", "if", "then", "else", "pattern", "patternProperties", "prefixItems", "contains", "propertyNames"}
    | {"dependentRequired", "dependentSchemas", "uniqueItems", "minProperties", "unevaluatedProperties"}
)
EXAMPLE_BY_FORMAT = {
    "date-time": "2024-01-01T00:00:00Z",
    "date": "2024-01-01",
    "time": "00:00:00Z",
    "duration": "P1D",
    "email": "someone@example.org",
    "hostname": "example.org",
    "uri": "https://example.org/",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
LIMIT_CHECKS: dict[str, Callable[[float, float | None], bool]] = {
    "minimum": lambda value, limit: limit is None or value >= limit,
    "maximum": lambda value, limit: limit is None or value <= limit,
    "exclusiveMinimum": lambda value, limit: limit is None or value > limit,
    "exclusiveMaximum": lambda value, limit: limit is None or value < limit,
}
MAX_DEPTH = 32  # a schema that needs more is taken for infinitely recursive
NULL_PREFERENCE_DEPTH = 4  # deeper alternatives prefer null, which ends a recursion


class JsonInstanceBuilder:
    """Builds values for one schema. Strings without a format contain `text`; `param` names the schema in errors."""

    def __init__(self, schema: Schema, text: str, param: str) -> None:
        self._root = schema
        self._text = text
        self._param = param

    def build(self) -> Any:
        """Build the value. Raises SandboxApiError (400) for a schema that is wrong or too complicated."""
        return self._build_value(self._root, 0)

    def _build_value(self, schema: Any, depth: int) -> Any:
        if not isinstance(schema, Mapping):
            raise self._schema_error("expected an object where a schema belongs")
        if depth > MAX_DEPTH:
            raise self._schema_error("it requires values without end")
        if unknown := sorted(UNSUPPORTED_KEYWORDS & schema.keys()):
            raise self._schema_error(f"the keyword '{unknown[0]}' is not supported")
        for keyword, build in self._keyword_builders().items():
            if keyword in schema:
                return build(schema, depth)
        kind = _get_type(schema)
        if not isinstance(kind, str) or kind not in self._type_builders():
            raise self._schema_error(f"{kind!r} is not a type")
        return self._type_builders()[kind](schema, depth)

    def _keyword_builders(self) -> dict[str, Callable[[Schema, int], Any]]:
        """Return the builders by keyword, in order of precedence."""
        return {
            "$ref": lambda schema, depth: self._build_value(self._resolve_reference(schema["$ref"]), depth + 1),
            "const": lambda schema, _: schema["const"],
            "enum": lambda schema, _: self._get_list(schema, "enum")[0],
            "anyOf": lambda schema, depth: self._build_alternative(self._get_list(schema, "anyOf"), depth),
            "oneOf": lambda schema, depth: self._build_alternative(self._get_list(schema, "oneOf"), depth),
            "allOf": lambda schema, depth: self._build_single(self._get_list(schema, "allOf"), depth),
        }

    def _type_builders(self) -> dict[Any, Callable[[Schema, int], Any]]:
        return {
            "object": self._build_object,
            "array": self._build_array,
            "string": lambda schema, _: self._build_string(schema),
            "integer": lambda schema, _: self._build_number(schema),
            "number": lambda schema, _: self._build_number(schema),
            "boolean": lambda *_: False,
            "null": lambda *_: None,
        }

    def _build_object(self, schema: Schema, depth: int) -> dict[str, Any]:
        properties, required = schema.get("properties", {}), schema.get("required", [])
        if not isinstance(properties, Mapping) or not isinstance(required, list):
            raise self._schema_error("'properties' must be an object and 'required' a list")
        if not all(isinstance(name, str) for name in required):
            raise self._schema_error("'required' must be a list of names")
        return {name: self._build_value(properties.get(name, {}), depth + 1) for name in required}

    def _build_array(self, schema: Schema, depth: int) -> list[Any]:
        return [
            self._build_value(schema.get("items", {}), depth + 1) for _ in range(self._get_count(schema, "minItems"))
        ]

    def _build_string(self, schema: Schema) -> str:
        if "format" in schema:
            if str(schema["format"]) not in EXAMPLE_BY_FORMAT:
                raise self._schema_error(f"the format {schema['format']!r} is not supported")
            return EXAMPLE_BY_FORMAT[str(schema["format"])]
        text = self._text.ljust(self._get_count(schema, "minLength"), ".")
        return text[: self._get_count(schema, "maxLength", len(text))]

    def _build_number(self, schema: Schema) -> float:
        """Return 0 if the limits allow it, otherwise a number at, near or between the limits."""
        limits = [schema[name] for name in LIMIT_CHECKS if name in schema]
        step = schema.get("multipleOf", 1 if _get_type(schema) == "integer" else 0)
        if any(type(value) not in (int, float) or not isfinite(value) for value in [*limits, step]) or step < 0:
            raise self._schema_error("the limits of a number must be numbers")
        candidates = [0, *limits, *(limit + side for limit in limits for side in (-1, 1)), sum(limits) / 2]
        if step:
            candidates = [value // step * step + side for value in candidates for side in (0, step)]
        number = next(
            (
                value
                for value in candidates
                if all(LIMIT_CHECKS[name](value, schema.get(name)) for name in LIMIT_CHECKS)
            ),
            None,
        )
        if number is None or (_get_type(schema) == "integer" and number != int(number)):
            raise self._schema_error("no number is between its limits")
        return int(number) if _get_type(schema) == "integer" else number

    def _build_alternative(self, options: list[Any], depth: int) -> Any:
        nulls = [option for option in options if isinstance(option, Mapping) and option.get("type") == "null"]
        return self._build_value(nulls[0] if nulls and depth > NULL_PREFERENCE_DEPTH else options[0], depth + 1)

    def _build_single(self, parts: list[Any], depth: int) -> Any:
        if len(parts) > 1:
            raise self._schema_error("'allOf' with more than one schema is not supported")
        return self._build_value(parts[0], depth + 1)

    def _resolve_reference(self, reference: Any) -> Any:
        target: Any = self._root
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise self._schema_error(f"'$ref' must point into the schema, not to {reference!r}")
        for step in filter(None, reference.removeprefix("#").split("/")):
            name = step.replace("~1", "/").replace("~0", "~")
            if not isinstance(target, Mapping) or name not in target:
                raise self._schema_error(f"'$ref' {reference!r} points nowhere")
            target = target[name]
        return target

    def _get_list(self, schema: Schema, keyword: str) -> list[Any]:
        value = schema[keyword]
        if not isinstance(value, list) or not value:
            raise self._schema_error(f"'{keyword}' must be a list of at least one")
        return value

    def _get_count(self, schema: Schema, keyword: str, default: int = 0) -> int:
        value = schema.get(keyword, default)
        if type(value) is not int or not 0 <= value <= 10_000:
            raise self._schema_error(f"'{keyword}' must be an integer from 0 to 10000")
        return value

    def _schema_error(self, problem: str) -> Exception:
        return bad_request(f"Invalid schema for '{self._param}': {problem}.", self._param, "invalid_json_schema")


def _get_type(schema: Schema) -> Any:
    """Return the type of a schema: the first one that is not null, or the one that the other keywords imply."""
    kind = schema.get("type")
    if isinstance(kind, list):
        return next((name for name in kind if name != "null"), "null")
    if kind is not None:
        return kind
    return "object" if "properties" in schema or "required" in schema else "array" if "items" in schema else "string"

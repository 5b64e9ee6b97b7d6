"""A JSON value that a JSON Schema accepts: what the sandbox's models answer with where an answer has to have a shape.

It knows the keywords that OpenAI's structured outputs know. A schema with any other keyword that restricts values is
refused, so that no answer breaks the schema it was asked to keep.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

from orchestrator.sandbox.answer import invalid

Schema = Mapping[str, Any]
UNSUPPORTED = frozenset(
    {"not", "if", "then", "else", "pattern", "patternProperties", "prefixItems", "contains", "propertyNames"}
    | {"dependentRequired", "dependentSchemas", "uniqueItems", "minProperties", "unevaluatedProperties"}
)
FORMATS = {
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
LIMITS: dict[str, Callable[[float, float | None], bool]] = {
    "minimum": lambda value, limit: limit is None or value >= limit,
    "maximum": lambda value, limit: limit is None or value <= limit,
    "exclusiveMinimum": lambda value, limit: limit is None or value > limit,
    "exclusiveMaximum": lambda value, limit: limit is None or value < limit,
}
DEPTH_LIMIT = 32
NULL_DEPTH = 4  # below it an alternative that ends a recursion is preferred


class JsonInstance:
    """Builds values for one schema; strings without a given form hold `text`. `param` names it in refusals."""

    def __init__(self, schema: Schema, text: str, param: str) -> None:
        self._root = schema
        self._text = text
        self._param = param

    def build(self) -> Any:
        """Build the value. Raises Refusal (400) for a schema that is wrong or too complicated."""
        return self._value(self._root, 0)

    def _value(self, schema: Any, depth: int) -> Any:
        if not isinstance(schema, Mapping):
            raise self._refusal("expected an object where a schema belongs")
        if depth > DEPTH_LIMIT:
            raise self._refusal("it requires values without end")
        if unknown := sorted(UNSUPPORTED & schema.keys()):
            raise self._refusal(f"the keyword '{unknown[0]}' is not supported")
        for keyword, build in self._shortcuts().items():
            if keyword in schema:
                return build(schema, depth)
        kind = _kind(schema)
        if not isinstance(kind, str) or kind not in self._kinds():
            raise self._refusal(f"{kind!r} is not a type")
        return self._kinds()[kind](schema, depth)

    def _shortcuts(self) -> dict[str, Callable[[Schema, int], Any]]:
        """The keywords that decide the value, in the order in which they are looked at."""
        return {
            "$ref": lambda schema, depth: self._value(self._resolve(schema["$ref"]), depth + 1),
            "const": lambda schema, _: schema["const"],
            "enum": lambda schema, _: self._list(schema, "enum")[0],
            "anyOf": lambda schema, depth: self._alternative(self._list(schema, "anyOf"), depth),
            "oneOf": lambda schema, depth: self._alternative(self._list(schema, "oneOf"), depth),
            "allOf": lambda schema, depth: self._only(self._list(schema, "allOf"), depth),
        }

    def _kinds(self) -> dict[Any, Callable[[Schema, int], Any]]:
        return {
            "object": self._object,
            "array": self._array,
            "string": lambda schema, _: self._string(schema),
            "integer": lambda schema, _: self._number(schema),
            "number": lambda schema, _: self._number(schema),
            "boolean": lambda *_: False,
            "null": lambda *_: None,
        }

    def _object(self, schema: Schema, depth: int) -> dict[str, Any]:
        properties, required = schema.get("properties", {}), schema.get("required", [])
        if not isinstance(properties, Mapping) or not isinstance(required, list):
            raise self._refusal("'properties' must be an object and 'required' a list")
        if not all(isinstance(name, str) for name in required):
            raise self._refusal("'required' must be a list of names")
        return {name: self._value(properties.get(name, {}), depth + 1) for name in required}

    def _array(self, schema: Schema, depth: int) -> list[Any]:
        return [self._value(schema.get("items", {}), depth + 1) for _ in range(self._count(schema, "minItems"))]

    def _string(self, schema: Schema) -> str:
        if "format" in schema:
            if str(schema["format"]) not in FORMATS:
                raise self._refusal(f"the format {schema['format']!r} is not supported")
            return FORMATS[str(schema["format"])]
        text = self._text.ljust(self._count(schema, "minLength"), ".")
        return text[: self._count(schema, "maxLength", len(text))]

    def _number(self, schema: Schema) -> float:
        """0, or else a number at or near one of the limits, or between them."""
        limits = [schema[name] for name in LIMITS if name in schema]
        step = schema.get("multipleOf", 1 if _kind(schema) == "integer" else 0)
        if any(type(value) not in (int, float) or not isfinite(value) for value in [*limits, step]) or step < 0:
            raise self._refusal("the limits of a number must be numbers")
        near = [0, *limits, *(limit + side for limit in limits for side in (-1, 1)), sum(limits) / 2]
        if step:
            near = [value // step * step + side for value in near for side in (0, step)]
        found = next((value for value in near if all(LIMITS[name](value, schema.get(name)) for name in LIMITS)), None)
        if found is None or (_kind(schema) == "integer" and found != int(found)):
            raise self._refusal("no number is between its limits")
        return int(found) if _kind(schema) == "integer" else found

    def _alternative(self, options: list[Any], depth: int) -> Any:
        ends = [option for option in options if isinstance(option, Mapping) and option.get("type") == "null"]
        return self._value(ends[0] if ends and depth > NULL_DEPTH else options[0], depth + 1)

    def _only(self, parts: list[Any], depth: int) -> Any:
        if len(parts) > 1:
            raise self._refusal("'allOf' with more than one schema is not supported")
        return self._value(parts[0], depth + 1)

    def _resolve(self, reference: Any) -> Any:
        found: Any = self._root
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise self._refusal(f"'$ref' must point into the schema, not to {reference!r}")
        for step in filter(None, reference.removeprefix("#").split("/")):
            name = step.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, Mapping) or name not in found:
                raise self._refusal(f"'$ref' {reference!r} points nowhere")
            found = found[name]
        return found

    def _list(self, schema: Schema, keyword: str) -> list[Any]:
        value = schema[keyword]
        if not isinstance(value, list) or not value:
            raise self._refusal(f"'{keyword}' must be a list of at least one")
        return value

    def _count(self, schema: Schema, keyword: str, usual: int = 0) -> int:
        value = schema.get(keyword, usual)
        if type(value) is not int or not 0 <= value <= 10_000:
            raise self._refusal(f"'{keyword}' must be an integer from 0 to 10000")
        return value

    def _refusal(self, problem: str) -> Exception:
        return invalid(f"Invalid schema for '{self._param}': {problem}.", self._param, "invalid_json_schema")


def _kind(schema: Schema) -> Any:
    """The type; of several the first that is not null, and without one what the other keywords are about."""
    kind = schema.get("type")
    if isinstance(kind, list):
        return next((name for name in kind if name != "null"), "null")
    if kind is not None:
        return kind
    return "object" if "properties" in schema or "required" in schema else "array" if "items" in schema else "string"

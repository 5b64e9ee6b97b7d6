"""Tools in Gemini's form: function declarations whose parameters are an OpenAPI schema, and the arguments of calls.

Source: `FunctionDeclaration` and `Schema` of google.cloud.aiplatform.v1. Its JSON is read strictly: one unknown key
or one number in place of a text refuses the whole file, so every value is checked here.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from orchestrator.dataset.convert.refusal import ConversionRefused, check_convertible_keys
from orchestrator.dataset.example import KeyPath

TARGET: Final = "Gemini tuning"
MAX_EXACT_INTEGER: Final = 2**53  # of a floating-point number, which is how Gemini stores every number of a value
SCHEMA_TYPES: Final = frozenset(("string", "number", "integer", "boolean", "array", "object", "null"))
_FUNCTION_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_NULLABLE_HINT: Final = 'Write one type, or one type and "null".'


def convert_tools(tools: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Convert the tools of a chat to Gemini's list, whose one entry declares all functions."""
    declarations = []
    for index, tool in enumerate(tools):
        key_path: KeyPath = ("tools", index)
        check_convertible_keys(tool, ("type", "function"), key_path, TARGET)
        declarations.append(_convert_function(tool["function"], (*key_path, "function")))
    return [{"functionDeclarations": declarations}]


def check_function_name(name: str, key_path: KeyPath) -> str:
    """Return the name. Refuses a name that starts with a digit or a hyphen, which OpenAI accepts."""
    if not _FUNCTION_NAME.fullmatch(name):
        reason = f"the function name {name[:70]!r} must start with a letter or _ for {TARGET}"
        raise ConversionRefused(key_path, reason, "Rename the function.")
    return name


def parse_arguments(text: str, key_path: KeyPath) -> dict[str, Any]:
    """Parse the arguments of a call. Refuses what would change: a repeated key, or a number that is not exact."""

    def build_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        built = dict(pairs)
        if len(built) < len(pairs):
            raise ConversionRefused(key_path, "the arguments have the same key twice", "Keep one of the two keys.")
        return built

    try:
        arguments = json.loads(text, object_pairs_hook=build_object)
    except (RecursionError, json.JSONDecodeError):
        arguments = None
    if not isinstance(arguments, dict):
        raise ConversionRefused(key_path, "the arguments are not a JSON object")
    check_numbers(arguments, key_path)
    return arguments


def check_numbers(value: Any, key_path: KeyPath) -> None:
    """Refuse a number that is not finite, or an integer that a floating-point number does not hold exactly."""
    if isinstance(value, dict):
        for item in value.values():
            check_numbers(item, key_path)
    elif isinstance(value, list):
        for item in value:
            check_numbers(item, key_path)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ConversionRefused(key_path, f"{TARGET} cannot hold the number {value}", "Write it as a text.")
    elif type(value) is int and abs(value) > MAX_EXACT_INTEGER:
        reason = f"{TARGET} would round the number {str(value)[:40]}"
        raise ConversionRefused(key_path, reason, "Write it as a text.")


def _convert_function(function: Mapping[str, Any], key_path: KeyPath) -> dict[str, Any]:
    check_convertible_keys(function, ("name", "description", "parameters"), key_path, TARGET)
    declaration = dict(function) | {"name": check_function_name(function["name"], (*key_path, "name"))}
    if "parameters" in function:
        declaration["parameters"] = _convert_schema(function["parameters"], (*key_path, "parameters"))
    return declaration


def _convert_schema(schema: Any, key_path: KeyPath) -> dict[str, Any]:
    if not isinstance(schema, dict):
        raise ConversionRefused(
            key_path, f"a schema for {TARGET} must be an object", "Write the schema as an object."
        )
    check_convertible_keys(schema, _SCHEMA_KEYS, key_path, f"the schema of a tool for {TARGET}")
    converted: dict[str, Any] = {}
    for key, value in schema.items():
        converted |= _SCHEMA_KEYS[key](key, value, (*key_path, key))
    return converted


def _convert_type(_: str, value: Any, key_path: KeyPath) -> dict[str, Any]:
    """Convert a type. The pair of a type and "null" is a nullable type; other lists have no place."""
    nullable = isinstance(value, list) and len(value) == 2 and value[1] == "null" and value[0] != "null"
    kind = value[0] if nullable else value
    if not isinstance(kind, str) or kind not in SCHEMA_TYPES:
        raise ConversionRefused(key_path, f"{TARGET} has no type {json.dumps(value)[:40]}", _NULLABLE_HINT)
    return {"type": kind.upper()} | ({"nullable": True} if nullable else {})


def _convert_properties(key: str, value: Any, key_path: KeyPath) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConversionRefused(key_path, f"`{key}` must be an object")
    return {key: {name: _convert_schema(inner, (*key_path, name)) for name, inner in value.items()}}


def _convert_choices(key: str, value: Any, key_path: KeyPath) -> dict[str, Any]:
    if not isinstance(value, list):
        raise ConversionRefused(key_path, f"`{key}` must be an array of schemas")
    return {key: [_convert_schema(inner, (*key_path, index)) for index, inner in enumerate(value)]}


def _convert_items(key: str, value: Any, key_path: KeyPath) -> dict[str, Any]:
    return {key: _convert_schema(value, key_path)}


def _convert_additional_properties(key: str, value: Any, key_path: KeyPath) -> dict[str, Any]:
    return {key: value if isinstance(value, bool) else _convert_schema(value, key_path)}


def _convert_default(key: str, value: Any, key_path: KeyPath) -> dict[str, Any]:
    check_numbers(value, key_path)
    return {key: value}


def _convert_if(accepts: Callable[[Any], bool], needed: str) -> Callable[[str, Any, KeyPath], dict[str, Any]]:
    def convert(key: str, value: Any, key_path: KeyPath) -> dict[str, Any]:
        if not accepts(value):
            raise ConversionRefused(key_path, f"`{key}` of a tool for {TARGET} must be {needed}")
        return {key: value}

    return convert


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_text_list(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= MAX_EXACT_INTEGER


def _is_number(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return type(value) is int and abs(value) <= MAX_EXACT_INTEGER


_SCHEMA_KEYS: Final[Mapping[str, Callable[[str, Any, KeyPath], dict[str, Any]]]] = {
    "type": _convert_type,
    "properties": _convert_properties,
    "items": _convert_items,
    "anyOf": _convert_choices,
    "additionalProperties": _convert_additional_properties,
    "default": _convert_default,
    "enum": _convert_if(_is_text_list, "an array of texts"),
    "required": _convert_if(_is_text_list, "an array of texts"),
    **dict.fromkeys(("title", "description", "format", "pattern"), _convert_if(_is_text, "a text")),
    **dict.fromkeys(("minimum", "maximum"), _convert_if(_is_number, "a number")),
    **dict.fromkeys(
        ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"),
        _convert_if(_is_count, "a whole number"),
    ),
}

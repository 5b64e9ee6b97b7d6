"""Errors of the keys of an object: unknown, missing, or with a value of the wrong type."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from orchestrator.dataset.example import ExampleIssue, KeyPath
from orchestrator.dataset.finding_codes import FindingCode
from orchestrator.dataset.formats.feedback import FEEDBACK_KEYS, LOSS_WEIGHT_KEYS
from orchestrator.dataset.formats.system_message import SYSTEM_KEYS

TYPE_NAMES = {
    dict: "an object",
    list: "an array",
    str: "text",
    bool: "true or false",
    int: "a number",
    float: "a number",
    type(None): "null",
}
LEGACY_TOOL_KEYS = ("functions", "function_call")

# Unknown keys that may decide whether or how the chat should be learned. `polish` never drops them: a person decides.
TRAINING_DECISION_KEYS = frozenset(
    (
        *FEEDBACK_KEYS,
        *LOSS_WEIGHT_KEYS,
        *SYSTEM_KEYS,
        *("labels", "rejected", "chosen", "split", "ignore", "mask", "deleted", "hidden"),
        *("prompt", "completion", "instruction", "response", "answer", "reference_answer"),
        *("tool_calls", "tool_call_id", "name"),
    )
)


def check_keys(
    value: Mapping[str, Any], known: Mapping[str, type], needed: tuple[str, ...], key_path: KeyPath
) -> Iterator[ExampleIssue]:
    """Yield an error for each unknown key, missing key and value of the wrong type."""
    for key in needed:
        if key not in value:
            yield ExampleIssue(FindingCode.MISSING_KEY, key_path, f'"{key}" is missing')
    for key, item in value.items():
        if key not in known:
            yield ExampleIssue(
                FindingCode.UNKNOWN_KEY, (*key_path, key), f'"{key}" is not a known key here', _key_hint(key, known)
            )
        elif not has_json_type(item, known[key]):
            yield ExampleIssue(
                FindingCode.WRONG_TYPE,
                (*key_path, key),
                f'"{key}" must be {TYPE_NAMES[known[key]]}, not {describe_type(item)}',
            )


def is_droppable_key(key: str, known: Mapping[str, type]) -> bool:
    """Whether an unknown key only annotates: it is not a misspelt key, and does not decide about training."""
    return (
        key not in TRAINING_DECISION_KEYS and key not in LEGACY_TOOL_KEYS and not get_close_matches(key, known, n=1)
    )


def has_json_type(value: object, kind: type) -> bool:
    """Whether the value has exactly this type: true is not a number. `object` accepts any value."""
    return kind is object or type(value) is kind


def describe_type(value: object) -> str:
    """Return the type of the value in words."""
    return TYPE_NAMES.get(type(value), "something else")


def _key_hint(key: str, known: Mapping[str, type]) -> str:
    if key in FEEDBACK_KEYS or key in LOSS_WEIGHT_KEYS:
        return "If the key marks an unwanted answer, set `weight` to 0 in that message or delete the chat."
    if key in LEGACY_TOOL_KEYS:
        return "This key is deprecated: use `tools` and `tool_calls`."
    near = get_close_matches(key, known, n=1)
    return f'Remove the key, or rename it to "{near[0]}".' if near else ""

"""Keys of an object: unknown, missing, or of the wrong type."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from orchestrator.dataset.codes import Code
from orchestrator.dataset.example import Fault, Steps
from orchestrator.dataset.formats.system import SYSTEM_KEYS
from orchestrator.dataset.formats.verdict import LEARN_KEYS, VERDICT_KEYS

TYPES = {
    dict: "an object",
    list: "an array",
    str: "text",
    bool: "true or false",
    int: "a number",
    float: "a number",
    type(None): "null",
}
OLD = ("functions", "function_call")

# Unknown here, but they may decide whether or how the chat is to be learned: a person has to look at them.
DECISIVE = frozenset(
    (
        *VERDICT_KEYS,
        *LEARN_KEYS,
        *SYSTEM_KEYS,
        *("labels", "rejected", "chosen", "split", "ignore", "mask", "deleted", "hidden"),
        *("prompt", "completion", "instruction", "response", "answer", "reference_answer"),
        *("tool_calls", "tool_call_id", "name"),
    )
)


def wrong_keys(
    value: Mapping[str, Any], known: Mapping[str, type], needed: tuple[str, ...], steps: Steps
) -> Iterator[Fault]:
    """Every key that is not known, is needed and missing, or leads to another type."""
    for key in needed:
        if key not in value:
            yield Fault(Code.MISSING_KEY, steps, f'"{key}" is missing')
    for key, item in value.items():
        if key not in known:
            yield Fault(Code.UNKNOWN_KEY, (*steps, key), f'"{key}" is not known here', _nearest(key, known))
        elif not is_of(item, known[key]):
            yield Fault(Code.WRONG_TYPE, (*steps, key), f'"{key}" must be {TYPES[known[key]]}, not {typed(item)}')


def may_be_dropped(key: str, known: Mapping[str, type]) -> bool:
    """Whether an unknown key is only a remark: not a known key misspelt, nor one that may say what to train."""
    return key not in DECISIVE and key not in OLD and not get_close_matches(key, known, n=1)


def is_of(value: object, kind: type) -> bool:
    """JSON's types are strict: true is no number. `object` is any."""
    return kind is object or type(value) is kind


def typed(value: object) -> str:
    """The value's type in words."""
    return TYPES.get(type(value), "something else")


def _nearest(key: str, known: Mapping[str, type]) -> str:
    if key in VERDICT_KEYS or key in LEARN_KEYS:
        return "If it says that the answer is not wanted, write `weight` 0 at the answer or delete the chat."
    if key in OLD:
        return "This is an old form: write `tools` and `tool_calls`."
    near = get_close_matches(key, known, n=1)
    return f'Remove the key, or write "{near[0]}".' if near else ""

"""Instruction rows: Alpaca's `instruction/input/output` and plain `prompt/completion`."""

from __future__ import annotations

from typing import Any

from orchestrator.dataset.codes import Code
from orchestrator.dataset.example import Fault
from orchestrator.dataset.formats.shape import Shape, Turns, other_keys

ALPACA_KEYS = ("instruction", "input", "output", "system", "history")
COMPLETION_KEYS = ("prompt", "completion")


def alpaca(value: object) -> Shape | None:
    """One question, with `input` below it, and one answer; `system` and earlier `history` before them."""
    if not isinstance(value, dict) or "instruction" not in value or "output" not in value:
        return None
    turns, faults = Turns(), _history_faults(value.get("history") or [])
    if value.get("system"):
        turns.add("system", value["system"], ("system",))
    if not faults:
        for index, (question, answer) in enumerate(value.get("history") or []):
            turns.add("user", question, ("history", index, 0))
            turns.add("assistant", answer, ("history", index, 1))
    turns.add("user", _question(value), ("instruction",))
    turns.add("assistant", value["output"], ("output",))
    left = other_keys(value, ALPACA_KEYS)
    return Shape("alpaca", {"messages": turns.messages}, turns.back, tuple(faults), left)


def _question(value: dict[str, Any]) -> object:
    instruction, given = value["instruction"], value.get("input")
    if isinstance(instruction, str) and isinstance(given, str) and given.strip():
        return f"{instruction}\n\n{given}" if instruction.strip() else given
    return instruction


def _history_faults(history: object) -> list[Fault]:
    if not isinstance(history, list):
        return [Fault(Code.WRONG_TYPE, ("history",), "history must be an array of [question, answer] pairs")]
    return [
        Fault(Code.WRONG_TYPE, ("history", index), "a piece of history must be a [question, answer] pair")
        for index, pair in enumerate(history)
        if not isinstance(pair, list) or len(pair) != 2
    ]


def completion(value: object) -> Shape | None:
    """`{"prompt": …, "completion": …}`: a question and its answer, without the white space around them."""
    if not isinstance(value, dict) or not all(key in value for key in COMPLETION_KEYS):
        return None
    turns = Turns()
    for role, key in (("user", "prompt"), ("assistant", "completion")):
        text = value[key]
        turns.add(role, text.strip() if isinstance(text, str) else text, (key,))
    left = other_keys(value, COMPLETION_KEYS)
    return Shape("completion", {"messages": turns.messages}, turns.back, left_out=left)

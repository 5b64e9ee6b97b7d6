"""ShareGPT: `{"conversations": [{"from": "human", "value": …}, …]}`, with `system` beside it in some collections."""

from __future__ import annotations

from typing import Any

from orchestrator.dataset.codes import Code
from orchestrator.dataset.example import Fault
from orchestrator.dataset.formats.shape import Shape, Turns, other_keys

KEYS = ("conversations", "system")
ROLES = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "model": "assistant",
}
TURN_KEYS = ("from", "value")


def sharegpt(value: object) -> Shape | None:
    """Turns with `from` and `value`."""
    if not isinstance(value, dict) or not isinstance(value.get("conversations"), list):
        return None
    turns, faults, left = Turns(), [], list(other_keys(value, KEYS))
    if value.get("system"):
        turns.add("system", value["system"], ("system",))
    for index, turn in enumerate(value["conversations"]):
        if fault := _fault(turn, index):
            faults.append(fault)
        else:
            turns.add(ROLES[turn["from"].lower()], turn["value"], ("conversations", index, "value"))
            left += other_keys(turn, TURN_KEYS)
    return Shape("sharegpt", {"messages": turns.messages}, turns.back, tuple(faults), tuple(left))


def _fault(turn: Any, index: int) -> Fault | None:
    steps = ("conversations", index)
    if not isinstance(turn, dict):
        return Fault(Code.WRONG_TYPE, steps, "a turn must be an object with from and value")
    for key in TURN_KEYS:
        if key not in turn:
            return Fault(Code.MISSING_KEY, steps, f'the turn has no "{key}"')
    if not isinstance(turn["from"], str) or turn["from"].lower() not in ROLES:
        known = ", ".join(ROLES)
        hint = f"Use one of {known}. Tool calls are read in OpenAI's format only."
        return Fault(Code.UNKNOWN_ROLE, (*steps, "from"), f"the speaker is {turn['from']!r}", hint)
    return None

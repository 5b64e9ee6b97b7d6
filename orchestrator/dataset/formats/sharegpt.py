"""ShareGPT: `{"conversations": [{"from": "human", "value": …}, …]}`, with `system` beside it in some collections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.dataset.codes import Code
from orchestrator.dataset.example import Fault
from orchestrator.dataset.formats.shape import Format, Placed, Shape, Turns, other_keys
from orchestrator.dataset.formats.system import add_system
from orchestrator.dataset.formats.verdict import LEARN_KEYS, says_no

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
    turns, faults = Turns(), []
    keys = add_system(turns, value)
    left = list(other_keys(value, ("conversations", *keys)))
    for index, turn in enumerate(value["conversations"]):
        if fault := _fault(turn, index):
            faults.append(fault)
        else:
            role = ROLES[turn["from"].lower()]
            skipped = role == "assistant" and any(says_no(turn.get(key)) for key in LEARN_KEYS)
            weight = {"weight": 0} if skipped else {}
            turns.add(role, turn["value"], ("conversations", index, "value"), **weight)
            left += other_keys(turn, (*TURN_KEYS, *(LEARN_KEYS if skipped else ())))
    return Shape("sharegpt", {"messages": turns.messages}, turns.back, tuple(faults), tuple(left))


def conversations(value: object) -> Shape | None:
    """Turns with `role` and `content`, as chat templates have them."""
    if not isinstance(value, dict) or not isinstance(rows := value.get("conversations"), list):
        return None
    if not rows or not all(isinstance(turn, dict) and "role" in turn and "from" not in turn for turn in rows):
        return None
    turns = Turns()
    keys = add_system(turns, value)
    turns.placed += [Placed(_named(turn), ("conversations", index), {}) for index, turn in enumerate(rows)]
    body = {key: value[key] for key in ("tools", "parallel_tool_calls") if key in value}
    left = other_keys(value, ("conversations", *body, *keys))
    return Shape("conversations", {"messages": turns.messages, **body}, turns.back, left_out=left)


def is_answer(turn: object) -> bool:
    """Whether the assistant speaks in this turn."""
    message = message_of(turn)
    return isinstance(message, dict) and message.get("role") == "assistant"


def message_of(turn: Any) -> Any:
    """Return a turn with `from` and `value` as a message; anything else as it is."""
    if not _is_turn(turn):
        return turn
    return {"role": ROLES[turn["from"].lower()], "content": turn["value"]}


def turn_keys(turn: object) -> Mapping[str, str]:
    """Return how the message's keys are called in the turn."""
    return {"role": "from", "content": "value"} if _is_turn(turn) else {}


def _is_turn(turn: object) -> bool:
    return isinstance(turn, dict) and _fault(turn, 0) is None


def _named(turn: dict[str, Any]) -> dict[str, Any]:
    role = turn["role"]
    return turn | {"role": ROLES.get(role.lower(), role)} if isinstance(role, str) else turn


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


SHAREGPT = Format(
    "sharegpt",
    "ShareGPT's turns with `from` and `value`, and `system` beside them in some collections. The speakers are "
    + ", ".join(f"`{name}`" for name in ROLES)
    + ". An answer with `weight` 0, or with `loss` or `train` false, is not learned.",
    '{"system": "Be short.", "conversations": [{"from": "human", "value": "When do you open?"}, '
    '{"from": "gpt", "value": "At ten."}]}\n',
    sharegpt,
)
CONVERSATIONS = Format(
    "conversations",
    "Turns with `role` and `content` under `conversations`.",
    '{"conversations": [{"role": "user", "content": "When do you open?"}, '
    '{"role": "assistant", "content": "At ten."}]}\n',
    conversations,
)

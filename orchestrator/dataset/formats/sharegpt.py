"""ShareGPT's format, `{"conversations": [{"from": "human", "value": …}]}`, and its variant with role and content."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.dataset.example import ExampleIssue
from orchestrator.dataset.finding_codes import FindingCode
from orchestrator.dataset.formats.base import ChatFormat, MessageBuilder, ParsedChat, PlacedMessage, list_other_keys
from orchestrator.dataset.formats.feedback import LOSS_WEIGHT_KEYS, is_negative_feedback
from orchestrator.dataset.formats.system_message import add_system_messages

ROLE_BY_SPEAKER = {
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


def parse_sharegpt(value: object) -> ParsedChat | None:
    """Parse `conversations` whose turns have `from` and `value`."""
    if not isinstance(value, dict) or not isinstance(value.get("conversations"), list):
        return None
    turns, issues = MessageBuilder(), []
    keys = add_system_messages(turns, value)
    left_out = list(list_other_keys(value, ("conversations", *keys)))
    for index, turn in enumerate(value["conversations"]):
        if issue := _find_issue(turn, index):
            issues.append(issue)
        else:
            role = ROLE_BY_SPEAKER[turn["from"].lower()]
            skipped = role == "assistant" and any(is_negative_feedback(turn.get(key)) for key in LOSS_WEIGHT_KEYS)
            weight = {"weight": 0} if skipped else {}
            turns.add(role, turn["value"], ("conversations", index, "value"), **weight)
            left_out += list_other_keys(turn, (*TURN_KEYS, *(LOSS_WEIGHT_KEYS if skipped else ())))
    return ParsedChat("sharegpt", {"messages": turns.messages}, turns.to_source, tuple(issues), tuple(left_out))


def parse_conversations(value: object) -> ParsedChat | None:
    """Parse `conversations` whose turns have `role` and `content`, as in chat templates."""
    if not isinstance(value, dict) or not isinstance(rows := value.get("conversations"), list):
        return None
    if not rows or not all(isinstance(turn, dict) and "role" in turn and "from" not in turn for turn in rows):
        return None
    turns = MessageBuilder()
    keys = add_system_messages(turns, value)
    turns.placed += [
        PlacedMessage(_normalize_role(turn), ("conversations", index), {}) for index, turn in enumerate(rows)
    ]
    body = {key: value[key] for key in ("tools", "parallel_tool_calls") if key in value}
    left_out = list_other_keys(value, ("conversations", *body, *keys))
    return ParsedChat("conversations", {"messages": turns.messages, **body}, turns.to_source, left_out=left_out)


def is_assistant_turn(turn: object) -> bool:
    """Whether the turn is an assistant message."""
    message = to_message(turn)
    return isinstance(message, dict) and message.get("role") == "assistant"


def to_message(turn: Any) -> Any:
    """Convert a turn with `from` and `value` to a message; return any other value unchanged."""
    if not _is_turn(turn):
        return turn
    return {"role": ROLE_BY_SPEAKER[turn["from"].lower()], "content": turn["value"]}


def get_turn_keys(turn: object) -> Mapping[str, str]:
    """Return the keys of the turn by the keys of the message."""
    return {"role": "from", "content": "value"} if _is_turn(turn) else {}


def _is_turn(turn: object) -> bool:
    return isinstance(turn, dict) and _find_issue(turn, 0) is None


def _normalize_role(turn: dict[str, Any]) -> dict[str, Any]:
    role = turn["role"]
    return turn | {"role": ROLE_BY_SPEAKER.get(role.lower(), role)} if isinstance(role, str) else turn


def _find_issue(turn: Any, index: int) -> ExampleIssue | None:
    key_path = ("conversations", index)
    if not isinstance(turn, dict):
        return ExampleIssue(FindingCode.WRONG_TYPE, key_path, "a turn must be an object with from and value")
    for key in TURN_KEYS:
        if key not in turn:
            return ExampleIssue(FindingCode.MISSING_KEY, key_path, f'the turn has no "{key}"')
    if not isinstance(turn["from"], str) or turn["from"].lower() not in ROLE_BY_SPEAKER:
        known = ", ".join(ROLE_BY_SPEAKER)
        hint = f"Use one of {known}. Tool calls are only supported in OpenAI's format."
        return ExampleIssue(FindingCode.UNKNOWN_ROLE, (*key_path, "from"), f"the speaker is {turn['from']!r}", hint)
    return None


SHAREGPT = ChatFormat(
    "sharegpt",
    "ShareGPT's turns with `from` and `value`, in some collections with `system` beside them. The speakers are "
    + ", ".join(f"`{name}`" for name in ROLE_BY_SPEAKER)
    + ". The model does not learn an answer with `weight` 0, or with `loss` or `train` false.",
    '{"system": "Be short.", "conversations": [{"from": "human", "value": "When do you open?"}, '
    '{"from": "gpt", "value": "At ten."}]}\n',
    parse_sharegpt,
)
CONVERSATIONS = ChatFormat(
    "conversations",
    "Turns with `role` and `content` under `conversations`.",
    '{"conversations": [{"role": "user", "content": "When do you open?"}, '
    '{"role": "assistant", "content": "At ten."}]}\n',
    parse_conversations,
)

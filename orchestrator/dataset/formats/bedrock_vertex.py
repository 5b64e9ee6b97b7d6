"""The training formats of Amazon Bedrock and Google Vertex AI, without images and tool calls."""

from __future__ import annotations

from typing import Any

from orchestrator.dataset.example import ExampleIssue, KeyPath
from orchestrator.dataset.finding_codes import FindingCode
from orchestrator.dataset.formats.base import ChatFormat, MessageBuilder, ParsedChat, list_other_keys
from orchestrator.dataset.formats.system_message import add_system_messages, join_text_blocks

TEXTS_ONLY_HINT = "Only text is supported in this format. Use OpenAI's format for images and tool calls."


def parse_bedrock(value: object) -> ParsedChat | None:
    """Parse `messages` whose content is a list of blocks without a type: `[{"text": …}]`."""
    if not isinstance(value, dict) or not isinstance(rows := value.get("messages"), list):
        return None
    has_schema = str(value.get("schemaVersion", "")).startswith("bedrock")
    if not rows or not (any(map(_has_content_list, rows)) if has_schema else all(map(_has_text_blocks, rows))):
        return None
    return _parse_turns("bedrock", value, "messages", "content", ("schemaVersion",))


def _has_content_list(message: object) -> bool:
    return isinstance(message, dict) and isinstance(message.get("content"), list)


def _has_text_blocks(message: object) -> bool:
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(content, list) or not content:
        return False
    return all(isinstance(block, dict) and "type" not in block and "text" in block for block in content)


def parse_vertex(value: object) -> ParsedChat | None:
    """Parse `contents` whose turns have `parts`: `[{"role": "user", "parts": [{"text": …}]}]`."""
    if not isinstance(value, dict) or not isinstance(value.get("contents"), list):
        return None
    return _parse_turns("vertex", value, "contents", "parts", ())


def _parse_turns(
    name: str, value: dict[str, Any], turns_key: str, parts_key: str, known: tuple[str, ...]
) -> ParsedChat:
    turns, issues = MessageBuilder(), []
    keys = add_system_messages(turns, value)
    for index, row in enumerate(value[turns_key]):
        key_path: KeyPath = (turns_key, index)
        content = join_text_blocks(row.get(parts_key)) if isinstance(row, dict) else row
        if not isinstance(content, str):
            message = f"the turn has no {parts_key} that consist of text only"
            issues.append(ExampleIssue(FindingCode.WRONG_TYPE, key_path, message, TEXTS_ONLY_HINT))
            continue
        role = row.get("role")
        turns.add("assistant" if role == "model" else role, content, (*key_path, parts_key))
    left_out = list_other_keys(value, (turns_key, *known, *keys))
    return ParsedChat(name, {"messages": turns.messages}, turns.to_source, tuple(issues), left_out)


BEDROCK = ChatFormat(
    "bedrock",
    "Amazon Bedrock's conversation format. Several text blocks of a message are joined with an empty line.",
    '{"schemaVersion": "bedrock-conversation-2024", "system": [{"text": "Be short."}], "messages": '
    '[{"role": "user", "content": [{"text": "When do you open?"}]}, '
    '{"role": "assistant", "content": [{"text": "At ten."}]}]}\n',
    parse_bedrock,
)
VERTEX = ChatFormat(
    "vertex",
    "Google Vertex AI's `contents` format. Several text parts of a turn are joined with an empty line.",
    '{"systemInstruction": {"parts": [{"text": "Be short."}]}, "contents": '
    '[{"role": "user", "parts": [{"text": "When do you open?"}]}, '
    '{"role": "model", "parts": [{"text": "At ten."}]}]}\n',
    parse_vertex,
)

"""SillyTavern's chat export: a header line, then one message per line. Each header starts a chat."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from orchestrator.dataset.example import ExampleIssue
from orchestrator.dataset.finding_codes import FindingCode
from orchestrator.dataset.formats.base import ChatFormat, MessageBuilder, ParsedChat

HEADER_KEYS = ("chat_metadata", "character_name", "user_name")
PLACEHOLDER_NAMES = ("", "unused")  # newer versions write "unused" into the header and keep the names in the messages


def is_export_line(value: object) -> bool:
    """Whether a line is the header of an export or, if the header is missing, one of its messages."""
    if not isinstance(value, dict) or "messages" in value:
        return False
    return ("mes" in value and "is_user" in value) or sum(key in value for key in HEADER_KEYS) >= 2


def list_chat_starts(rows: Sequence[Any]) -> list[int]:
    """List the indexes of header lines that start another chat, as in a file of several exports."""
    starts, has_messages = [], False
    for index, row in enumerate(rows):
        if _is_header(row) and has_messages:
            starts.append(index)
            has_messages = False
        has_messages = has_messages or (isinstance(row, dict) and "mes" in row)
    return starts


def parse_sillytavern(rows: Sequence[Any]) -> ParsedChat:
    """Parse the rows of one chat, and replace `{{user}}` and `{{char}}` by the names.

    Hidden messages (`is_system`) and unused swipes are left out. In a group chat with several characters, each answer
    begins with its speaker's name, as SillyTavern sends it to the model.
    """
    names = _SpeakerNames(rows)
    turns, issues, left_out = MessageBuilder(), [], []
    for index, row in enumerate(rows):
        if _is_header(row):
            continue
        if issue := _find_issue(row, index):
            issues.append(issue)
        elif row.get("is_system"):
            left_out.append("hidden message")
        else:
            turns.add(_get_role(row), names.fill_macros(row), (index, "mes"))
            swipes = row.get("swipes")
            left_out += ["swipe"] * (len(swipes) - 1 if isinstance(swipes, list) else 0)
            left_out += list_attachments(row.get("extra"))
    return ParsedChat(
        "sillytavern", {"messages": turns.messages}, turns.to_source, tuple(issues), tuple(left_out), names.user
    )


class _SpeakerNames:
    """The names of the user and the character, from the header or from the messages."""

    def __init__(self, rows: Sequence[Any]) -> None:
        header: dict[str, Any] = next((row for row in rows if _is_header(row)), {})
        dialogue = [row for row in rows if isinstance(row, dict) and "mes" in row and not _is_not_dialogue(row)]
        users = [row["name"] for row in dialogue if row.get("is_user") and isinstance(row.get("name"), str)]
        characters = [row["name"] for row in dialogue if not row.get("is_user") and isinstance(row.get("name"), str)]
        self.user = _choose_name(header.get("user_name"), users)
        self.character = _choose_name(header.get("character_name"), characters)
        self._group = len({name for name in characters if name != self.user}) > 1

    def fill_macros(self, row: dict[str, Any]) -> str:
        text: str = row["mes"]
        text = re.sub(r"\{\{user\}\}|<USER>", lambda _: self.user or "{{user}}", text, flags=re.IGNORECASE)
        has_prefix = self._group and _get_role(row) == "assistant"
        character = row.get("name") or self.character if has_prefix else self.character
        text = re.sub(r"\{\{char\}\}|<BOT>", lambda _: character or "{{char}}", text, flags=re.IGNORECASE)
        return f"{character}: {text}" if has_prefix else text


def _choose_name(header: object, speakers: list[str]) -> str:
    if isinstance(header, str) and header not in PLACEHOLDER_NAMES:
        return header
    return speakers[0] if speakers else ""


def _is_header(row: object) -> bool:
    return isinstance(row, dict) and "mes" not in row and any(key in row for key in HEADER_KEYS)


def _is_not_dialogue(row: dict[str, Any]) -> bool:
    return bool(row.get("is_system")) or _is_narrator(row)


def _is_narrator(row: dict[str, Any]) -> bool:
    extra = row.get("extra")
    return isinstance(extra, dict) and extra.get("type") == "narrator"


def _get_role(row: dict[str, Any]) -> str:
    if _is_narrator(row):
        return "system"
    return "user" if row.get("is_user") else "assistant"


def _find_issue(row: Any, index: int) -> ExampleIssue | None:
    if not isinstance(row, dict) or "mes" not in row:
        return ExampleIssue(FindingCode.MISSING_KEY, (index,), 'the message has no "mes"')
    if not isinstance(row["mes"], str):
        return ExampleIssue(FindingCode.WRONG_TYPE, (index, "mes"), "mes must be a string")
    if not isinstance(row.get("name", ""), str):
        return ExampleIssue(FindingCode.WRONG_TYPE, (index, "name"), "name must be a string")
    return None


def _parse_rows(value: object) -> ParsedChat | None:
    return parse_sillytavern(value) if isinstance(value, list) and value and is_export_line(value[0]) else None


SILLYTAVERN = ChatFormat(
    "sillytavern",
    "SillyTavern's chat export: a header line, then one message per line. `{{user}}` and `{{char}}` are replaced "
    "by the names; hidden messages and unused swipes are left out. In a group chat, each answer begins with its "
    "speaker's name. Another header line starts another chat.",
    '{"user_name": "Robin", "character_name": "Desk", "chat_metadata": {}}\n'
    '{"name": "Robin", "is_user": true, "mes": "When do you open, {{char}}?"}\n'
    '{"name": "Desk", "is_user": false, "mes": "At ten, {{user}}."}\n',
    _parse_rows,
)


# Kinds of left-out data. They are keys of `left_out` in `check --json`, so "picture" stays, although texts say image.
_MEDIA_NAMES = {"image": "picture", "video": "video", "audio": "recording"}


def list_attachments(extra: Any) -> Iterator[str]:
    """Yield the kind of each attachment that is left out with a message: images, recordings, files, reasoning.

    Older versions have one image in `image` or several in `image_swipes`, newer ones have everything in `media`.
    """
    if not isinstance(extra, dict):
        return
    images = extra.get("image_swipes") or [extra.get("image")]
    media = extra.get("media") or []
    if not media:
        yield from ("picture" for image in (images if isinstance(images, list) else [images]) if image)
        yield from (name for key, name in _MEDIA_NAMES.items() if key != "image" and extra.get(key))
    for item in media if isinstance(media, list) else [media]:
        yield _MEDIA_NAMES.get(str(item.get("type")), "attachment") if isinstance(item, dict) else "attachment"
    files = extra.get("files") or [extra.get("file")]
    yield from ("file" for file in (files if isinstance(files, list) else [files]) if file)
    if isinstance(reasoning := extra.get("reasoning"), str) and reasoning.strip():
        yield "reasoning"

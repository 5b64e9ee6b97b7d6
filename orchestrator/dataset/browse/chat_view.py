"""An example as a chat for display: roles, texts, tool calls, tool results and pictures, all as plain text."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator
from typing import Any, Final

from orchestrator.core.structs import Struct

MAX_SHOWN_CHARACTERS: Final = 8_000  # of one text; a page has ten examples
MAX_SHOWN_MESSAGES: Final = 100
MAX_URL_CHARACTERS: Final = 300
# SVG is not in the list: it can contain scripts.
_PICTURE_URL: Final = re.compile(r"data:(image/(?:png|jpeg|gif|webp));base64,", re.IGNORECASE)


class ChatPart(Struct, frozen=True, kw_only=True):
    """A part of a message. `picture` is the number of an embedded picture of the example, from 0."""

    kind: str  # text, tool_call, picture or address
    text: str
    title: str = ""
    cut: int = 0  # characters that are not shown
    picture: int | None = None


class ChatMessage(Struct, frozen=True, kw_only=True):
    """A message of the chat. `section` names the two answers of a preference pair."""

    role: str
    name: str = ""
    section: str = ""
    parts: tuple[ChatPart, ...]


class ChatTool(Struct, frozen=True):
    """A tool that the model can call: its name and its definition as JSON."""

    name: str
    definition: str


class ChatView(Struct, frozen=True, kw_only=True):
    """The messages of an example, its tools, and the number of messages that are not shown."""

    messages: tuple[ChatMessage, ...]
    tools: tuple[ChatTool, ...]
    hidden_count: int = 0


class Picture(Struct, frozen=True):
    """An embedded picture."""

    media_type: str
    content: bytes


def build_chat_view(body: dict[str, Any]) -> ChatView:
    """Build the view of an example: a chat or a preference pair."""
    pictures = iter(range(1_000_000))
    messages = list(_iter_messages(body))
    shown = tuple(_build_message(message, section, pictures) for section, message in messages[:MAX_SHOWN_MESSAGES])
    container = body if "messages" in body else body.get("input") or {}
    tools = tuple(map(_build_tool, container.get("tools") or ()))
    return ChatView(messages=shown, tools=tools, hidden_count=len(messages) - len(shown))


def find_picture(body: dict[str, Any], number: int) -> Picture | None:
    """Return an embedded picture of an example; None if there is no such picture or it is not valid base64."""
    urls = [url for _, message in _iter_messages(body) for url in _iter_embedded_urls(message)]
    if not 0 <= number < len(urls) or not (match := _PICTURE_URL.match(urls[number])):
        return None
    try:
        return Picture(match[1].lower(), base64.b64decode(urls[number][match.end() :]))
    except binascii.Error:
        return None


def list_texts(body: dict[str, Any]) -> list[str]:
    """Return the texts that a search covers: contents and tool calls, but not pictures."""
    parts = (part for _, message in _iter_messages(body) for part in _iter_parts(message, iter(())))
    return [
        text for kind, title, shown in parts if kind != "picture" for text in _list_part_texts(kind, title, shown)
    ]


def _list_part_texts(kind: str, title: str, shown: str) -> tuple[str, ...]:
    """Return the texts of a part; the arguments of a call with the backslash of a quotation mark and without."""
    return (title, shown, shown.replace('\\"', '"')) if kind == "tool_call" else (shown,)


def _iter_messages(body: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    container = body if "messages" in body else body.get("input") or {}
    for message in container.get("messages") or ():
        yield "", message
    if "messages" not in body:
        for key, section in (("preferred_output", "preferred"), ("non_preferred_output", "not preferred")):
            for message in body.get(key) or ():
                yield section, message


def _build_message(message: dict[str, Any], section: str, pictures: Iterator[int]) -> ChatMessage:
    parts = tuple(_build_part(*part) for part in _iter_parts(message, pictures))
    name = str(message.get("name") or message.get("tool_call_id") or "")
    return ChatMessage(role=str(message.get("role")), name=name, section=section, parts=parts)


def _build_part(kind: str, title: str, text: str) -> ChatPart:
    if kind == "picture":
        return ChatPart(kind=kind, title=title, text="", picture=int(text))
    limit = MAX_URL_CHARACTERS if kind == "address" else MAX_SHOWN_CHARACTERS
    return ChatPart(kind=kind, title=title, text=text[:limit], cut=max(0, len(text) - limit))


def _iter_parts(message: dict[str, Any], pictures: Iterator[int]) -> Iterator[tuple[str, str, str]]:
    """Yield kind, title and text of each part. The text of an embedded picture is its number."""
    content = message.get("content")
    for part in content if isinstance(content, list) else [content] if content is not None else []:
        if isinstance(part, str):
            yield "text", "", part
        elif isinstance(part, dict) and isinstance(part.get("text"), str):
            yield "text", "", part["text"]
        elif (url := _find_url(part)) is not None:
            if _PICTURE_URL.match(url):
                yield "picture", "Picture", str(next(pictures, 0))
            else:
                yield "address", "Picture at an address, which is not loaded", url
        else:
            yield "text", "Other content", json.dumps(part, ensure_ascii=False)
    if isinstance(refusal := message.get("refusal"), str):
        yield "text", "Refusal", refusal
    for call in message.get("tool_calls") or ():
        function = call.get("function") or {}
        yield "tool_call", f"Call of {function.get('name', '')}", _format_arguments(function.get("arguments"))


def _find_url(part: Any) -> str | None:
    image = part.get("image_url") if isinstance(part, dict) else None
    url = image.get("url") if isinstance(image, dict) else image
    return url if isinstance(url, str) else None


def _iter_embedded_urls(message: dict[str, Any]) -> Iterator[str]:
    content = message.get("content")
    for part in content if isinstance(content, list) else ():
        if (url := _find_url(part)) is not None and _PICTURE_URL.match(url) and "text" not in part:
            yield url


def _format_arguments(arguments: Any) -> str:
    """Format the arguments of a tool call as indented JSON; a text that is no JSON stays as it is."""
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except (ValueError, RecursionError):
            return str(arguments)
    return json.dumps(arguments, ensure_ascii=False, indent=2)


def _build_tool(tool: Any) -> ChatTool:
    function = tool.get("function") if isinstance(tool, dict) else None
    definition = json.dumps(function or tool, ensure_ascii=False, indent=2)[:MAX_SHOWN_CHARACTERS]
    return ChatTool(str(function.get("name", "")) if isinstance(function, dict) else "", definition)

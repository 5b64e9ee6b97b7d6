"""Renders histograms and chats for the HTML report. Every text is escaped, and private data in it is replaced."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any, Final

import msgspec

from orchestrator.core.structs import replace
from orchestrator.core.text import format_count
from orchestrator.core.text_sanitizer import sanitize_lines
from orchestrator.dataset.browse.chat_display import DisplayMessage, DisplayPart, MessageGroup, Span, build_groups
from orchestrator.dataset.browse.chat_view import ChatMessage, ChatView, build_chat_view, find_picture
from orchestrator.dataset.browse.histogram import Histogram
from orchestrator.dataset.checks.pii import redact_text
from orchestrator.dataset.output.report_examples import ReportExample

MAX_PICTURE_BYTES: Final = 300_000  # of each; the report is one file
_ROLES: Final = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
_LINES: Final = "".join(
    f'<line x1="0" x2="100%" y1="{y}" y2="{y}"/>' for y in ("0.4%", "50%", "99.6%")
)  # of the vertical axis


def render_histogram(histogram: Histogram) -> str:
    """Render a histogram with its axes, and its numbers as a table."""
    bars = "".join(
        f'<rect x="{bar.x}%" y="{bar.y}%" width="{bar.width}%" height="{bar.height}%">'
        f"<title>{escape(bar.label)}</title></rect>"
        for bar in histogram.bars
    )
    ticks = "".join(
        f'<rect x="{tick.x}%" y="0" width="1" height="4"/>'
        f'<text x="{tick.x}%" y="18" text-anchor="{tick.anchor}">{escape(tick.label)}</text>'
        for tick in histogram.x_ticks
    )
    labels = "".join(f"<span>{escape(label)}</span>" for label in histogram.y_labels)
    alternative = escape(f"{histogram.title}. {histogram.summary} The table below has the numbers.")
    return (
        f"<figure><figcaption>{escape(histogram.title)}</figcaption>"
        f'<div class="plot"><p class="y-title" aria-hidden="true">{escape(histogram.y_title)}</p>'
        f'<p class="y-axis" aria-hidden="true">{labels}</p>'
        f'<svg class="bars" role="img" aria-label="{alternative}">{_LINES}{bars}</svg>'
        f'<svg class="x-axis" aria-hidden="true">{ticks}</svg>'
        f'<p class="x-title" aria-hidden="true">{escape(histogram.x_title)}</p></div>'
        f'<p class="quiet">{escape(f"{histogram.summary} {histogram.note}".strip())}</p>'
        f"<details><summary>Numbers</summary>{_render_numbers(histogram)}</details></figure>"
    )


def _render_numbers(histogram: Histogram) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in histogram.head)
    rows = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>'
        + "".join(f'<td class="number">{escape(cell)}</td>' for cell in row[1:])
        + "</tr>"
        for row in histogram.rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def render_examples(examples: Iterable[ReportExample]) -> str:
    """Render examples as chats."""
    return "".join(map(_render_example, examples)) or '<p class="quiet">No examples.</p>'


def _render_example(example: ReportExample) -> str:
    body = msgspec.json.decode(example.line)
    chat = _redact_chat(build_chat_view(body))
    sizes = [format_count(example.turns, "turn")]
    if example.tokens is not None:
        sizes.insert(0, format_count(example.tokens, "token"))
    pills = "".join(f' <code class="warning">{escape(code)}</code>' for code in example.codes)
    tools = "".join(
        _fold(f"Tool {escape(tool.name)}", f'<p class="said code">{escape(tool.definition)}</p>')
        for tool in chat.tools
    )
    hidden = f'<p class="quiet">and {format_count(chat.hidden_count, "more message")}, not shown</p>'
    return (
        f'<article class="example"><h3>Example {example.number:,} <span class="quiet">'
        f"{escape(f'{example.file}:{example.source_line}')} · {' · '.join(sizes)}</span>{pills}</h3>{tools}"
        + "".join(_render_group(group, body) for group in build_groups(chat))
        + (hidden if chat.hidden_count else "")
        + "</article>"
    )


def _render_group(group: MessageGroup, body: dict[str, Any]) -> str:
    messages = "".join(_render_message(each, body) for each in group.messages)
    return _fold(escape(group.label), messages) if group.label else messages


def _render_message(shown: DisplayMessage, body: dict[str, Any]) -> str:
    message = shown.message
    name = f" <code>{escape(message.name)}</code>" if message.name else ""
    section = f' <span class="quiet">{escape(message.section)}</span>' if message.section else ""
    role = message.role if message.role in _ROLES else ""
    parts = "".join(_render_part(part, body) for part in shown.parts)
    return f'<div class="message {role}"><p class="role">{escape(message.role)}{name}{section}</p>{parts}</div>'


def _render_part(display: DisplayPart, body: dict[str, Any]) -> str:
    part = display.part
    if part.picture is not None:
        return _render_picture(body, part.picture)
    kind = "said" if part.kind == "text" else "said code"
    title = f'<p class="quiet">{escape(part.title)}</p>' if part.title else ""
    rest = f'<p class="{kind}">{_join_texts(display.rest)}</p>'
    cut = f'<p class="quiet">and {format_count(part.cut, "more character")}, not shown</p>' if part.cut else ""
    return (
        f'{title}<p class="{kind}">{_join_texts(display.head)}</p>'
        + (_fold("Show the rest", rest) if display.rest else "")
        + cut
    )


def _render_picture(body: dict[str, Any], number: int) -> str:
    """Embed a small picture. It was decoded, so that nothing but base64 and a known media type is in the address."""
    picture = find_picture(body, number)
    if picture is None or len(picture.content) > MAX_PICTURE_BYTES:
        reason = "it is not valid" if picture is None else f"it has {len(picture.content):,} bytes"
        return f'<p class="quiet">Picture, not shown: {reason}</p>'
    content = b64encode(picture.content).decode()
    return f'<img src="data:{picture.media_type};base64,{content}" alt="Picture {number + 1} of the example">'


def _fold(summary: str, inside: str) -> str:
    return f'<details class="fold"><summary>{summary}</summary>{inside}</details>'


def _join_texts(spans: Sequence[Span]) -> str:
    return "".join(escape(span.text) for span in spans)


def _redact_chat(chat: ChatView) -> ChatView:
    """Replace keys, addresses and telephone numbers: a report is sent to others."""
    return replace(
        chat,
        messages=tuple(map(_redact_message, chat.messages)),
        tools=tuple(replace(tool, definition=_redact(tool.definition)) for tool in chat.tools),
    )


def _redact_message(message: ChatMessage) -> ChatMessage:
    return replace(message, parts=tuple(replace(part, text=_redact(part.text)) for part in message.parts))


def _redact(text: str) -> str:
    return sanitize_lines(redact_text(text))

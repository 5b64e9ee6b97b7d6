"""Formats: what a chat may look like on disk. One file per family; each turns a JSON value into the providers' shape.

A format is recognised by the value's content, never by a file's name. It either gives a shape or says None; it reads
nothing and checks nothing but what it needs to translate. Each declares what docs/reference/formats.md says of it.
"""

from __future__ import annotations

from dataclasses import replace

from orchestrator.dataset.formats.base import ChatFormat, ParsedChat
from orchestrator.dataset.formats.bedrock_vertex import BEDROCK, VERTEX
from orchestrator.dataset.formats.chat import CHAT, MESSAGES, REQUEST
from orchestrator.dataset.formats.feedback import FEEDBACK_KEYS, check_feedback
from orchestrator.dataset.formats.foreign import find_foreign_format, find_foreign_message_format
from orchestrator.dataset.formats.instruction import ALPACA, COMPLETION, DOLLY
from orchestrator.dataset.formats.preference import PREFERENCE
from orchestrator.dataset.formats.sharegpt import CONVERSATIONS, SHAREGPT

FORMATS: tuple[ChatFormat, ...] = (
    PREFERENCE,
    BEDROCK,
    CHAT,
    REQUEST,
    MESSAGES,
    CONVERSATIONS,
    SHAREGPT,
    ALPACA,
    COMPLETION,
    DOLLY,
    VERTEX,
)
"""In the order in which they are tried: a row with the keys of two formats is read in the first."""


def parse_chat(value: object) -> ParsedChat | None:
    """The first format that knows the value, with what the value says against being trained."""
    if (shape := find_foreign_message_format(value)) is not None:
        return shape
    shape = next((shape for one in FORMATS if (shape := one.parse(value)) is not None), None)
    if shape is None:
        return find_foreign_format(value)
    if shape.format == PREFERENCE.name or not isinstance(value, dict):
        return shape  # in a pair, a score says which of the two answers is the better one
    if FEEDBACK_KEYS.isdisjoint(value):
        return shape
    return replace(shape, issues=(*shape.issues, *check_feedback(value)))

"""Formats: what a chat may look like on disk. One file per family; each turns a JSON value into the providers' shape.

A format is recognised by the value's content, never by a file's name. It either gives a shape or says None; it reads
nothing and checks nothing but what it needs to translate.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orchestrator.dataset.formats.chat import chat
from orchestrator.dataset.formats.instruction import alpaca, completion
from orchestrator.dataset.formats.messages import messages
from orchestrator.dataset.formats.preference import preference
from orchestrator.dataset.formats.shape import Shape
from orchestrator.dataset.formats.sharegpt import sharegpt

FORMATS: tuple[Callable[[Any], Shape | None], ...] = (
    preference,
    chat,
    messages,
    sharegpt,
    alpaca,
    completion,
)


def recognise(value: object) -> Shape | None:
    """The first format that knows the value."""
    return next((shape for read in FORMATS if (shape := read(value)) is not None), None)

"""Conversions of a canonical chat to the training line of a provider that does not read OpenAI's chat format.

`CONVERTERS` has one row for each wire format of `core.capabilities` except the canonical one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from orchestrator.core.capabilities import WireFormat
from orchestrator.core.structs import Struct
from orchestrator.dataset.convert import gemini, nova
from orchestrator.dataset.example import ExampleBody


class ChatConverter(Struct, frozen=True):
    """The conversion of one canonical example to the line of a wire format."""

    convert_chat: Callable[[ExampleBody], dict[str, Any]]
    """Pure. Raises `refusal.ConversionRefused` for the first value that the format cannot hold."""
    version: int = 1
    """Is part of the names of converted files. Raise it when the same chat is converted to other bytes."""


CONVERTERS: Final[Mapping[WireFormat, ChatConverter]] = {
    WireFormat.GEMINI: ChatConverter(gemini.convert_chat),
    WireFormat.BEDROCK_CONVERSATION: ChatConverter(nova.convert_chat),
}

"""Checks whether the wire formats of the accounts' providers can hold an example without a loss."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from orchestrator.core.account import ProviderName
from orchestrator.core.capabilities import CAPABILITIES, WireFormat
from orchestrator.dataset.canonical_jsonl import list_written_messages, remove_empty_fields
from orchestrator.dataset.convert import CONVERTERS, ChatConverter
from orchestrator.dataset.convert.refusal import ConversionRefused
from orchestrator.dataset.example import ExampleBody, ExampleIssue, KeyPath
from orchestrator.dataset.finding_codes import FindingCode


class ConversionChecker:
    """Converts examples on trial. Providers with the same wire format share one finding."""

    def __init__(self, providers: Iterable[ProviderName]) -> None:
        groups: dict[WireFormat, list[ProviderName]] = {}
        for provider in providers:
            if (wire_format := CAPABILITIES[provider].wire_format) is not WireFormat.CHAT_LINES:
                groups.setdefault(wire_format, []).append(provider)
        self._converters: list[tuple[str, ChatConverter]] = [
            (", ".join(names), CONVERTERS[wire_format]) for wire_format, names in groups.items()
        ]

    def check_example(self, body: ExampleBody) -> Iterator[ExampleIssue]:
        """Yield an error for each format that cannot hold the example, which has no other error.

        A converter stops at the first value without a place, so there may be more of them.
        """
        for names, converter in self._converters:
            try:
                converter.convert_chat(remove_empty_fields(body))
            except ConversionRefused as refusal:
                message = f"{names}: {refusal.reason}"
                key_path = _find_source_path(body, refusal.key_path)
                yield ExampleIssue(FindingCode.NOT_CONVERTIBLE, key_path, message, refusal.hint)


def _find_source_path(body: ExampleBody, key_path: KeyPath) -> KeyPath:
    """Return the path in the example for a path in its canonical form, which has no empty system messages."""
    match key_path:
        case ("messages", int(index), *rest):
            return ("messages", list_written_messages(body["messages"])[index], *rest)
        case _:
            return key_path

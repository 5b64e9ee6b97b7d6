"""Tokens: counted exactly, with the base model's own encoding."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import compress
from typing import Any

from orchestrator.dataset import encodings
from orchestrator.dataset.codes import Code
from orchestrator.dataset.contexts import context_of
from orchestrator.dataset.example import Body, Fault
from orchestrator.dataset.summary import Histogram, histogram

PER_MESSAGE = 3
PER_NAME = 1
PER_EXAMPLE = 3

# tiktoken splits text by a regular expression that panics on about a million white-space characters without a line
# break. Such a run is one piece: whole at the end of the text, without its last character before anything but a line
# break. So it is encoded as one piece, and only what lies between such runs is left to the regular expression.
_RUN = re.compile(r"[\t\x0b\x0c \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]{100000,}")
_SHORT = 100_000


def text_tokens(encoding: str, text: str) -> int:
    """Equal to the length of tiktoken's `encode_ordinary(text)`, also where that panics."""
    loaded = encodings.load(encoding)
    if len(text) < _SHORT:
        return len(loaded.encode_ordinary(text))
    total = done = 0
    for run in _RUN.finditer(text):
        if text[run.end() : run.end() + 1] in ("\n", "\r"):
            continue
        end = run.end() if run.end() == len(text) else run.end() - 1
        total += len(loaded.encode_ordinary(text[done : run.start()]))
        total += len(loaded._encode_single_piece(text[run.start() : end]))
        done = end
    return total + len(loaded.encode_ordinary(text[done:]))


@cache
def _role_tokens(encoding: str, role: str) -> int:
    return text_tokens(encoding, role)


def example_tokens(encoding: str, body: Body) -> int | None:
    """The training tokens of one example.

    The sum is the one of OpenAI's cookbook, "Data preparation and analysis for chat model fine-tuning" (and "How to
    count tokens with tiktoken"): each message costs 3 tokens and those of its role, content and name, a name 1 more,
    and each example 3. What images, tools and preference pairs cost is not documented: None.
    """
    messages = body.get("messages")
    if messages is None or "tools" in body:
        return None
    total = PER_EXAMPLE
    for message in messages:
        if (tokens := _message_tokens(encoding, message)) is None:
            return None
        total += tokens
    return total


def _message_tokens(encoding: str, message: dict[str, Any]) -> int | None:
    content = message.get("content")
    if isinstance(content, list) and all(part["type"] == "text" for part in content):
        content = "".join(part["text"] for part in content)
    if not isinstance(content, str) or "tool_calls" in message:
        return None
    tokens = PER_MESSAGE + _role_tokens(encoding, message["role"]) + text_tokens(encoding, content)
    if "name" in message:
        tokens += PER_NAME + text_tokens(encoding, message["name"])
    return tokens


class Tally:
    """The tokens of every example, by encoding, for the base models that read with one that is shipped."""

    def __init__(self, base_models: Iterable[str]) -> None:
        self._encoding = {base_model: encodings.encoding_of(base_model) for base_model in base_models}
        self._limit = {base_model: context_of(base_model) for base_model in self._encoding}
        self._counts = {name: array("Q") for name in self._encoding.values() if name}
        self._measured: dict[str, int | None] = {}
        self._unknown = False

    def measure(self, body: Body) -> Iterator[Fault]:
        """Count the next example; it may be too long for a base model."""
        self._measured = {name: example_tokens(name, body) for name in self._counts}
        for name, tokens in self._measured.items():
            yield from self._too_long(name, tokens or 0)

    def keep(self) -> None:
        """The example just measured is a good one."""
        for name, tokens in self._measured.items():
            self._unknown = self._unknown or tokens is None
            self._counts[name].append(tokens or 0)

    def _too_long(self, encoding: str, tokens: int) -> Iterator[Fault]:
        for base_model, limit in self._limit.items():
            if limit and self._encoding[base_model] == encoding and tokens > limit:
                message = f"{tokens} tokens, but {base_model} is trained with {limit} of an example at most"
                yield Fault(Code.TOO_LONG, (), message)

    def totals(self, chosen: Iterable[bool] | None = None) -> dict[str, int | None]:
        """The sum by base model, of all examples or of the chosen ones; None where it is not known."""
        mask = None if chosen is None else list(chosen)
        sums = {name: sum(compress(counts, mask) if mask else counts) for name, counts in self._counts.items()}
        return {
            base_model: sums[name] if name and not self._unknown else None
            for base_model, name in self._encoding.items()
        }

    def histograms(self) -> dict[str, Histogram]:
        """How long the examples are in tokens, by encoding."""
        return {name: histogram(counts) for name, counts in self._counts.items() if not self._unknown}

"""Counts tokens as OpenAI bills them, with the encoding of the base model."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from orchestrator.core.model_name import get_base_model, strip_version
from orchestrator.dataset.checks.text_walk import iter_messages, iter_texts
from orchestrator.dataset.example import ExampleBody
from orchestrator.dataset.tokens import encodings

TOKENS_PER_MESSAGE = 3
TOKENS_PER_NAME = 1
TOKENS_PER_EXAMPLE = 3

# tiktoken splits text by a regular expression that panics on about a million white-space characters without a line
# break. Such a run is one piece: whole at the end of the text, without its last character before anything but a line
# break. So it is encoded as one piece, and only what lies between such runs is left to the regular expression.
_WHITESPACE_RUN = re.compile(r"[\t\x0b\x0c \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]{100000,}")
_WHITESPACE_RUN_CHARACTERS = 100_000

MAX_SMALL_DATASETS = 8  # counting as many without loading the encoding takes as long as loading it, once

_prepared_counts: dict[str, Mapping[str, int]] = {}
"""The tokens of the texts of a small dataset, by encoding and text."""
_small_datasets: Counter[str] = Counter()
"""The small datasets that were counted in this process without loading the encoding, by encoding."""


def prepare_texts(names: Iterable[str], bodies: Iterable[ExampleBody]) -> None:
    """Count the texts of a small dataset with these encodings, without loading all their tokens.

    They replace the texts that were prepared before. The examples may have errors. Any other text can be counted as
    well: the first one loads the encoding. A process that has counted many small datasets loads it, too.
    """
    _prepared_counts.clear()
    if few := [
        name for name in names if _small_datasets[name] < MAX_SMALL_DATASETS and not encodings.is_loaded(name)
    ]:
        texts = {text for body in bodies for text in _iter_message_texts(body)}
        _small_datasets.update(few)
        _prepared_counts.update({name: encodings.count_few_texts(name, texts) for name in few})


def _iter_message_texts(body: ExampleBody) -> Iterator[str]:
    for message, _ in iter_messages(body):
        yield from (text for key in ("role", "name") if isinstance(text := message.get(key), str))
    yield from (text for _, text, _ in iter_texts(body))


def count_text_tokens(encoding: str, text: str) -> int:
    """Return the length of tiktoken's `encode_ordinary(text)`, also for texts on which tiktoken panics."""
    if (tokens := _prepared_counts.get(encoding, {}).get(text)) is not None:
        return tokens
    if len(text) < _WHITESPACE_RUN_CHARACTERS:
        return encodings.get_token_counter(encoding)(text)
    loaded = encodings.load_encoding(encoding)
    total = done = 0
    for run in _WHITESPACE_RUN.finditer(text):
        if text[run.end() : run.end() + 1] in ("\n", "\r"):
            continue
        end = run.end() if run.end() == len(text) else run.end() - 1
        total += len(loaded.encode_ordinary(text[done : run.start()]))
        total += len(loaded._encode_single_piece(text[run.start() : end]))
        done = end
    return total + len(loaded.encode_ordinary(text[done:]))


@cache
def _count_role_tokens(encoding: str, role: str) -> int:
    return count_text_tokens(encoding, role)


def count_example_tokens(encoding: str, body: ExampleBody) -> int | None:
    """Return the training tokens of one example; None for images, tools and preference pairs.

    The formula is that of OpenAI's cookbook, "Data preparation and analysis for chat model fine-tuning" (and "How to
    count tokens with tiktoken"): each message costs 3 tokens and those of its role, content and name, a name 1 more,
    and each example 3. The cost of images, tools and preference pairs is not documented.
    """
    messages = body.get("messages")
    if messages is None or "tools" in body:
        return None
    total = TOKENS_PER_EXAMPLE
    for message in messages:
        if (tokens := _count_message_tokens(encoding, message)) is None:
            return None
        total += tokens
    return total


def _count_message_tokens(encoding: str, message: dict[str, Any]) -> int | None:
    content = message.get("content")
    if isinstance(content, list) and len(content) == 1 and content[0]["type"] == "text":
        content = content[0]["text"]
    if not isinstance(content, str) or message.get("tool_calls") or message.get("refusal"):
        return None
    tokens = TOKENS_PER_MESSAGE + _count_role_tokens(encoding, message["role"]) + count_text_tokens(encoding, content)
    if "name" in message:
        tokens += TOKENS_PER_NAME + count_text_tokens(encoding, message["name"])
    return tokens


def estimate_example_tokens(encoding: str, body: ExampleBody) -> int:
    """Estimate the tokens of an example without a documented count: return the tokens of its JSON."""
    return count_text_tokens(encoding, json.dumps(body, ensure_ascii=False))


# "Training examples context length" of OpenAI's fine-tuning guide, as of 2025. OpenAI cuts off longer examples.
CONTEXT_TOKENS_BY_MODEL = {
    "gpt-4.1": 65_536,
    "gpt-4.1-mini": 65_536,
    "gpt-4.1-nano": 65_536,
    "gpt-4o": 65_536,
    "gpt-4o-mini": 65_536,
    "gpt-4": 8_192,
    "gpt-3.5-turbo": 16_385,
    "sandbox-small": 65_536,
    "sandbox-large": 65_536,
}


def find_context_limit(base_model: str) -> int | None:
    """Return the largest number of tokens of a training example; None if it is not known for the base model."""
    return CONTEXT_TOKENS_BY_MODEL.get(strip_version(get_base_model(base_model)))

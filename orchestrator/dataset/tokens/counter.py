"""Counts the tokens of all examples for each base model; exact counts and estimates are kept separate."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping
from itertools import compress
from pathlib import Path

from orchestrator.dataset.example import ExampleBody, ExampleIssue
from orchestrator.dataset.finding_codes import FindingCode
from orchestrator.dataset.summary import LengthHistogram, build_histogram
from orchestrator.dataset.tokens import encodings
from orchestrator.dataset.tokens.huggingface import HuggingFaceTokenizer
from orchestrator.dataset.tokens.openai import (
    count_example_tokens,
    estimate_example_tokens,
    find_context_limit,
    prepare_texts,
)

FALLBACK_ENCODING = "o200k_base"  # for base models whose own encoding is not shipped

TokenCounts = dict[str, tuple[int, bool]]
"""The tokens of one example, and if they are exact, by encoding or tokenizer file."""


class TokenCounter:
    """Counts tokens once per encoding, not once per base model. `tokenizers` are the files of open models."""

    def __init__(self, base_models: Iterable[str], tokenizers: Mapping[str, Path] | None = None) -> None:
        path_by_model = {base_model: str(path) for base_model, path in (tokenizers or {}).items()}
        self._tokenizers = {path: HuggingFaceTokenizer(Path(path)) for path in path_by_model.values()}
        self._encoding_by_model = {
            model: path_by_model.get(model) or encodings.find_encoding_name(model) for model in base_models
        }
        self._limit_by_model = {base_model: find_context_limit(base_model) for base_model in self._encoding_by_model}
        self._counts = {name or FALLBACK_ENCODING: array("Q") for name in self._encoding_by_model.values()}
        self._estimated_encodings: set[str] = set()
        self.last_counts: TokenCounts = {}  # of the example that was counted last

    def special_tokens(self) -> list[str]:
        """Return the special tokens that the tokenizer files list."""
        return [token for tokenizer in self._tokenizers.values() for token in tokenizer.special_tokens]

    def prepare(self, bodies: Iterable[ExampleBody]) -> None:
        """Prepare to count the examples of a small dataset: that is faster than loading the encodings."""
        if names := self._counts.keys() - self._tokenizers.keys():  # otherwise the chats are not even read
            prepare_texts(names, bodies)

    def count_example(self, body: ExampleBody) -> list[ExampleIssue]:
        """Count the tokens of one example, and return an issue for each base model that it is too long for.

        The counts are in `last_counts` then, and become part of the totals when they are given to `add_counts`.
        """
        self.last_counts = {name: self._count_tokens(name, body) for name in self._counts}
        return [
            issue
            for name, (tokens, exact) in self.last_counts.items()
            if exact
            for issue in self._check_length(name, tokens)
        ]

    def _count_tokens(self, name: str, body: ExampleBody) -> tuple[int, bool]:
        if tokenizer := self._tokenizers.get(name):
            return tokenizer.count_tokens(body)
        exact = count_example_tokens(name, body)
        return (estimate_example_tokens(name, body), False) if exact is None else (exact, True)

    def _check_length(self, encoding: str, tokens: int) -> Iterator[ExampleIssue]:
        for base_model, limit in self._limit_by_model.items():
            if limit and self._encoding_by_model[base_model] == encoding and tokens > limit:
                message = f"the example has {tokens:,} tokens, {base_model} accepts at most {limit:,} in training"
                yield ExampleIssue(FindingCode.TOO_LONG, (), message)

    def add_counts(self, counts: TokenCounts) -> None:
        """Add the counts of an accepted example to the totals."""
        for name, (tokens, exact) in counts.items():
            self._counts[name].append(tokens)
            if not exact:
                self._estimated_encodings.add(name)

    def totals(self, chosen: Iterable[bool] | None = None) -> dict[str, int | None]:
        """Return the tokens by base model, of all or of the chosen examples; None where not known exactly."""
        sums = self._sums(chosen)
        return {
            model: sums[name] if name and self._is_exact(name) else None
            for model, name in self._encoding_by_model.items()
        }

    def estimates(self) -> dict[str, int]:
        """Return estimated tokens for the base models whose exact number is not known."""
        sums = self._sums()
        return {
            model: sums[name or FALLBACK_ENCODING]
            for model, name in self._encoding_by_model.items()
            if not self._is_exact(name)
        }

    def _is_exact(self, name: str | None) -> bool:
        return name is not None and name not in self._estimated_encodings

    def histograms(self) -> dict[str, LengthHistogram]:
        """Return the distribution of the example lengths in tokens, by encoding."""
        return {name: build_histogram(counts) for name, counts in self._counts.items()}

    def _sums(self, chosen: Iterable[bool] | None = None) -> dict[str, int]:
        mask = None if chosen is None else list(chosen)
        return {
            name: sum(counts if mask is None else compress(counts, mask)) for name, counts in self._counts.items()
        }

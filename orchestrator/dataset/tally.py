"""Tally: the tokens of every example, added up for each base model. What is only estimated is kept apart."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping
from itertools import compress
from pathlib import Path

from orchestrator.dataset import encodings
from orchestrator.dataset.codes import Code
from orchestrator.dataset.contexts import context_of
from orchestrator.dataset.example import Body, Fault
from orchestrator.dataset.summary import Histogram, histogram
from orchestrator.dataset.tokenizer import Tokenizer
from orchestrator.dataset.tokens import estimated_tokens, example_tokens

STAND_IN = "o200k_base"  # for base models whose own encoding is not shipped


class Tally:
    """Counts once for each encoding, not for each base model. `tokenizers` are those of open models."""

    def __init__(self, base_models: Iterable[str], tokenizers: Mapping[str, Path] | None = None) -> None:
        given = {base_model: str(path) for base_model, path in (tokenizers or {}).items()}
        self._tokenizers = {path: Tokenizer(Path(path)) for path in given.values()}
        self._own = {model: given.get(model) or encodings.encoding_of(model) for model in base_models}
        self._limit = {base_model: context_of(base_model) for base_model in self._own}
        self._counts = {name or STAND_IN: array("Q") for name in self._own.values()}
        self._inexact: set[str] = set()
        self._measured: dict[str, tuple[int, bool]] = {}

    def special_tokens(self) -> list[str]:
        """Return what the given tokenizers list as special."""
        return [token for tokenizer in self._tokenizers.values() for token in tokenizer.special_tokens]

    def measure(self, body: Body) -> Iterator[Fault]:
        """Count the next example; it may be too long for a base model."""
        for name in self._counts:
            tokens, exact = self._measured[name] = self._count(name, body)
            if exact:
                yield from self._too_long(name, tokens)

    def _count(self, name: str, body: Body) -> tuple[int, bool]:
        if tokenizer := self._tokenizers.get(name):
            return tokenizer.count(body)
        exact = example_tokens(name, body)
        return (estimated_tokens(name, body), False) if exact is None else (exact, True)

    def _too_long(self, encoding: str, tokens: int) -> Iterator[Fault]:
        for base_model, limit in self._limit.items():
            if limit and self._own[base_model] == encoding and tokens > limit:
                message = f"{tokens} tokens, but {base_model} is trained with {limit} of an example at most"
                yield Fault(Code.TOO_LONG, (), message)

    def keep(self) -> None:
        """The example just measured is a good one."""
        for name, (tokens, exact) in self._measured.items():
            self._counts[name].append(tokens)
            if not exact:
                self._inexact.add(name)

    def totals(self, chosen: Iterable[bool] | None = None) -> dict[str, int | None]:
        """The sum by base model, of all examples or of the chosen ones; None where it is not known exactly."""
        sums = self._sums(chosen)
        return {model: sums[name] if name and self._is_exact(name) else None for model, name in self._own.items()}

    def estimates(self) -> dict[str, int]:
        """About how many tokens there are, for the base models whose exact number is not known."""
        sums = self._sums()
        return {model: sums[name or STAND_IN] for model, name in self._own.items() if not self._is_exact(name)}

    def _is_exact(self, name: str | None) -> bool:
        return name is not None and name not in self._inexact

    def histograms(self) -> dict[str, Histogram]:
        """How long the examples are in tokens, by encoding."""
        return {name: histogram(counts) for name, counts in self._counts.items()}

    def _sums(self, chosen: Iterable[bool] | None = None) -> dict[str, int]:
        mask = None if chosen is None else list(chosen)
        return {
            name: sum(counts if mask is None else compress(counts, mask)) for name, counts in self._counts.items()
        }

"""Tally: the tokens of every example, added up for each base model. What is only estimated is kept apart."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from itertools import compress

from orchestrator.dataset import encodings
from orchestrator.dataset.codes import Code
from orchestrator.dataset.contexts import context_of
from orchestrator.dataset.example import Body, Fault
from orchestrator.dataset.summary import Histogram, histogram
from orchestrator.dataset.tokens import estimated_tokens, example_tokens

STAND_IN = "o200k_base"  # for base models whose own encoding is not shipped


class Tally:
    """Counts once for each encoding, not for each base model."""

    def __init__(self, base_models: Iterable[str]) -> None:
        self._own = {base_model: encodings.encoding_of(base_model) for base_model in base_models}
        self._limit = {base_model: context_of(base_model) for base_model in self._own}
        self._counts = {name or STAND_IN: array("Q") for name in self._own.values()}
        self._measured: dict[str, tuple[int, bool]] = {}
        self._exact = True

    def measure(self, body: Body) -> Iterator[Fault]:
        """Count the next example; it may be too long for a base model."""
        for name in self._counts:
            exact = example_tokens(name, body)
            tokens = estimated_tokens(name, body) if exact is None else exact
            self._measured[name] = tokens, exact is not None
            if exact is not None:
                yield from self._too_long(name, exact)

    def _too_long(self, encoding: str, tokens: int) -> Iterator[Fault]:
        for base_model, limit in self._limit.items():
            if limit and self._own[base_model] == encoding and tokens > limit:
                message = f"{tokens} tokens, but {base_model} is trained with {limit} of an example at most"
                yield Fault(Code.TOO_LONG, (), message)

    def keep(self) -> None:
        """The example just measured is a good one."""
        for name, (tokens, exact) in self._measured.items():
            self._counts[name].append(tokens)
            self._exact = self._exact and exact

    def totals(self, chosen: Iterable[bool] | None = None) -> dict[str, int | None]:
        """The sum by base model, of all examples or of the chosen ones; None where it is not known exactly."""
        sums = self._sums(chosen)
        return {model: sums[name] if name and self._exact else None for model, name in self._own.items()}

    def estimates(self) -> dict[str, int]:
        """About how many tokens there are, for the base models whose exact number is not known."""
        sums = self._sums()
        return {model: sums[name or STAND_IN] for model, name in self._own.items() if not (name and self._exact)}

    def histograms(self) -> dict[str, Histogram]:
        """How long the examples are in tokens, by encoding."""
        return {name: histogram(counts) for name, counts in self._counts.items()}

    def _sums(self, chosen: Iterable[bool] | None = None) -> dict[str, int]:
        mask = None if chosen is None else list(chosen)
        return {
            name: sum(counts if mask is None else compress(counts, mask)) for name, counts in self._counts.items()
        }

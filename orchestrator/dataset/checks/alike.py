"""Alike: examples that are there twice, and examples that nearly are. Memory: some 20 bytes an example."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Iterator
from zlib import crc32

from orchestrator.dataset.checks.texts import Said

BUCKETS = 256
NEAR_LIMIT = 5_000  # examples; beyond it the search for near-duplicates stops: it costs more than all else
SKETCH = 48  # values kept of an example; a likeness is known to about ±0.1
SHINGLE = 4  # words
NEAR = 0.8

_WORD = re.compile(r"\w+")
_GAP = re.compile(rb" ")


class Duplicates:
    """Finds equal keys among many, one bucket at a time."""

    def __init__(self) -> None:
        self._keys = [array("Q") for _ in range(BUCKETS)]
        self._numbers = [array("Q") for _ in range(BUCKETS)]

    def add(self, key: int, number: int) -> None:
        """`key` identifies the content (64 bits), `number` the example."""
        self._keys[key % BUCKETS].append(key)
        self._numbers[key % BUCKETS].append(number)

    def pairs(self) -> Iterator[tuple[int, int]]:
        """Each later example with the first one that equals it, in the order of the later ones."""
        yield from sorted(pair for bucket in range(BUCKETS) for pair in self._bucket(bucket))

    def _bucket(self, bucket: int) -> Iterator[tuple[int, int]]:
        first: dict[int, int] = {}
        for key, number in zip(self._keys[bucket], self._numbers[bucket], strict=True):
            earlier = first.setdefault(key, number)
            if earlier != number:
                yield number, earlier


class NearDuplicates:
    """Compares sketches: the smallest hashes of an example's runs of four words."""

    def __init__(self) -> None:
        self._over = False
        self._sketches: list[frozenset[int]] = []
        self._pictures: list[int] = []
        self._by_value: dict[int, list[int]] = {}

    def add(self, texts: list[Said], pictures: Iterable[str] = ()) -> int | None:
        """The number of the earlier example that this one is nearly the same as.

        Examples with different `pictures` (their URLs) are not: the same question is asked about each of them.
        """
        if len(self._sketches) >= NEAR_LIMIT:
            self._over = True
            self._sketches, self._pictures, self._by_value = [], [], {}
        if self._over:
            return None
        sketch, shown = _sketch(texts), crc32("\n".join(pictures).encode("utf-8", "surrogatepass"))
        number = len(self._sketches)
        self._sketches.append(sketch)
        self._pictures.append(shown)
        least = sorted(sketch)[:6]
        candidates = sorted({earlier for value in least for earlier in self._by_value.get(value, ())})
        for value in least:
            self._by_value.setdefault(value, []).append(number)
        same_pictures = (earlier for earlier in candidates if self._pictures[earlier] == shown)
        return next((each for each in same_pictures if _likeness(sketch, self._sketches[each]) >= NEAR), None)


def _sketch(texts: list[Said]) -> frozenset[int]:
    """Without the system message, which is the same everywhere."""
    words = [word for role, text, _ in texts if role != "system" for word in _WORD.findall(text.lower())]
    spoken = " ".join(words).encode()
    gaps = [match.start() for match in _GAP.finditer(spoken)]
    ends = [*gaps, len(spoken)][SHINGLE - 1 :] or [len(spoken)]
    runs = (spoken[start:end] for start, end in zip([0, *gaps], ends, strict=False))
    return frozenset(sorted(set(map(crc32, runs)))[:SKETCH])


def _likeness(one: frozenset[int], other: frozenset[int]) -> float:
    """The estimated share of common runs: of the smallest values of both, how many both have."""
    union = sorted(one | other)[:SKETCH]
    return len((one & other).intersection(union)) / len(union)

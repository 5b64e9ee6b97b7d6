"""Alike: examples that are there twice, and examples that nearly are. Memory: some 20 bytes an example."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Iterator
from zlib import crc32

from orchestrator.dataset.checks.text_walk import MessageText

BUCKET_COUNT = 256
MAX_NEAR_DUPLICATE_EXAMPLES = (
    5_000  # examples; beyond it the search for near-duplicates stops: it costs more than all else
)
SKETCH_SIZE = 48  # values kept of an example; a likeness is known to about ±0.1
SHINGLE_WORDS = 4  # words
NEAR_DUPLICATE_SIMILARITY = 0.8

_WORD = re.compile(r"\w+")
_SPACE = re.compile(rb" ")


class DuplicateFinder:
    """Finds equal keys among many, one bucket at a time."""

    def __init__(self) -> None:
        self._keys = [array("Q") for _ in range(BUCKET_COUNT)]
        self._numbers = [array("Q") for _ in range(BUCKET_COUNT)]

    def add(self, key: int, number: int) -> None:
        """`key` identifies the content (64 bits), `number` the example."""
        self._keys[key % BUCKET_COUNT].append(key)
        self._numbers[key % BUCKET_COUNT].append(number)

    def find_pairs(self) -> Iterator[tuple[int, int]]:
        """Each later example with the first one that equals it, in the order of the later ones."""
        yield from sorted(pair for bucket in range(BUCKET_COUNT) for pair in self._find_bucket_pairs(bucket))

    def _find_bucket_pairs(self, bucket: int) -> Iterator[tuple[int, int]]:
        first: dict[int, int] = {}
        for key, number in zip(self._keys[bucket], self._numbers[bucket], strict=True):
            earlier = first.setdefault(key, number)
            if earlier != number:
                yield number, earlier


class NearDuplicateFinder:
    """Compares sketches: the smallest hashes of an example's runs of four words."""

    def __init__(self) -> None:
        self._is_disabled = False
        self._sketches: list[frozenset[int]] = []
        self._image_hashes: list[int] = []
        self._numbers_by_value: dict[int, list[int]] = {}

    def add(self, texts: list[MessageText], image_urls: Iterable[str] = ()) -> int | None:
        """The number of the earlier example that this one is nearly the same as.

        Examples with different `images` (their URLs) are not: the same question is asked about each of them.
        """
        if len(self._sketches) >= MAX_NEAR_DUPLICATE_EXAMPLES:
            self._is_disabled = True
            self._sketches, self._image_hashes, self._numbers_by_value = [], [], {}
        if self._is_disabled:
            return None
        sketch, shown = _build_sketch(texts), crc32("\n".join(image_urls).encode("utf-8", "surrogatepass"))
        number = len(self._sketches)
        self._sketches.append(sketch)
        self._image_hashes.append(shown)
        least = sorted(sketch)[:6]
        candidates = sorted({earlier for value in least for earlier in self._numbers_by_value.get(value, ())})
        for value in least:
            self._numbers_by_value.setdefault(value, []).append(number)
        same_pictures = (earlier for earlier in candidates if self._image_hashes[earlier] == shown)
        return next(
            (
                each
                for each in same_pictures
                if _estimate_similarity(sketch, self._sketches[each]) >= NEAR_DUPLICATE_SIMILARITY
            ),
            None,
        )


def _build_sketch(texts: list[MessageText]) -> frozenset[int]:
    """Without the system message, which is the same everywhere."""
    words = [word for role, text, _ in texts if role != "system" for word in _WORD.findall(text.lower())]
    spoken = " ".join(words).encode()
    gaps = [match.start() for match in _SPACE.finditer(spoken)]
    ends = [*gaps, len(spoken)][SHINGLE_WORDS - 1 :] or [len(spoken)]
    runs = (spoken[start:end] for start, end in zip([0, *gaps], ends, strict=False))
    return frozenset(sorted(set(map(crc32, runs)))[:SKETCH_SIZE])


def _estimate_similarity(one: frozenset[int], other: frozenset[int]) -> float:
    """The estimated share of common runs: of the smallest values of both, how many both have."""
    union = sorted(one | other)[:SKETCH_SIZE]
    return len((one & other).intersection(union)) / len(union)

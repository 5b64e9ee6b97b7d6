"""Finds duplicates, with about 20 bytes of memory per example; and near-duplicates."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Iterator
from typing import NamedTuple
from zlib import crc32

from orchestrator.dataset.checks.text_walk import MessageText

BUCKET_COUNT = 256
SKETCH_SIZE = 48  # hashes kept per example; the similarity is then known to about ±0.1
SHINGLE_WORDS = 4  # words per shingle
CANDIDATE_HASHES = 6  # examples are compared only if they share one of their smallest hashes
NEAR_DUPLICATE_SIMILARITY = 0.8  # share of common shingles

_WORD = re.compile(r"\w+")
_SPACE = re.compile(rb" ")


class Sketch(NamedTuple):
    """What is compared of an example to find near-duplicates."""

    shingles: frozenset[int]  # the smallest hashes of its four-word shingles
    images: int  # hash of the addresses of its images


class DuplicateFinder:
    """Finds equal 64-bit keys. Works bucket by bucket, so that the dictionary it needs stays small."""

    def __init__(self) -> None:
        self._keys = [array("Q") for _ in range(BUCKET_COUNT)]
        self._numbers = [array("Q") for _ in range(BUCKET_COUNT)]

    def add(self, key: int, number: int) -> None:
        """Add the example `number`; `key` is a 64-bit hash of its content."""
        self._keys[key % BUCKET_COUNT].append(key)
        self._numbers[key % BUCKET_COUNT].append(number)

    def find_pairs(self) -> Iterator[tuple[int, int]]:
        """Yield each duplicate with the first equal example, in the order of the duplicates."""
        yield from sorted(pair for bucket in range(BUCKET_COUNT) for pair in self._find_bucket_pairs(bucket))

    def _find_bucket_pairs(self, bucket: int) -> Iterator[tuple[int, int]]:
        first: dict[int, int] = {}
        for key, number in zip(self._keys[bucket], self._numbers[bucket], strict=True):
            earlier = first.setdefault(key, number)
            if earlier != number:
                yield number, earlier


class NearDuplicateFinder:
    """Finds near-duplicates by MinHash: it compares the smallest hashes of the four-word shingles of each example."""

    def __init__(self) -> None:
        self._sketches: list[Sketch] = []
        self._numbers_by_value: dict[int, list[int]] = {}

    def add(self, sketch: Sketch) -> int | None:
        """Add the sketch of the next example, and return the number of an earlier one that is nearly the same."""
        number = len(self._sketches)
        self._sketches.append(sketch)
        smallest = sorted(sketch.shingles)[:CANDIDATE_HASHES]
        candidates = sorted({earlier for value in smallest for earlier in self._numbers_by_value.get(value, ())})
        for value in smallest:
            self._numbers_by_value.setdefault(value, []).append(number)
        return next((earlier for earlier in candidates if _is_near(sketch, self._sketches[earlier])), None)


def build_sketch(texts: list[MessageText], image_urls: Iterable[str] = ()) -> Sketch:
    """Build the sketch from all texts but the system message, which most examples share."""
    images = crc32("\n".join(image_urls).encode("utf-8", "surrogatepass"))
    return Sketch(_hash_shingles(texts), images)


def _hash_shingles(texts: list[MessageText]) -> frozenset[int]:
    words = [word for role, text, _ in texts if role != "system" for word in _WORD.findall(text.lower())]
    joined = " ".join(words).encode()
    gaps = [match.start() for match in _SPACE.finditer(joined)]
    ends = [*gaps, len(joined)][SHINGLE_WORDS - 1 :] or [len(joined)]
    shingles = (joined[start:end] for start, end in zip([0, *gaps], ends, strict=False))
    return frozenset(sorted(set(map(crc32, shingles)))[:SKETCH_SIZE])


def _is_near(one: Sketch, other: Sketch) -> bool:
    """Whether two examples are nearly the same. With other images they are not: each may have the same question."""
    if one.images != other.images:
        return False
    return _estimate_similarity(one.shingles, other.shingles) >= NEAR_DUPLICATE_SIMILARITY


def _estimate_similarity(one: frozenset[int], other: frozenset[int]) -> float:
    """Estimate the Jaccard similarity: the share of the smallest hashes of both that both have."""
    union = sorted(one | other)[:SKETCH_SIZE]
    return len((one & other).intersection(union)) / len(union)

"""Finds duplicates, with about 20 bytes of memory per example, and near-duplicates among a limited number."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Iterator
from zlib import crc32

from orchestrator.dataset.checks.text_walk import MessageText

BUCKET_COUNT = 256
MAX_NEAR_DUPLICATE_EXAMPLES = 5_000  # for more, the search is disabled: it costs more than all other checks
SKETCH_SIZE = 48  # hashes kept per example; the similarity is then known to about ±0.1
SHINGLE_WORDS = 4  # words per shingle
CANDIDATE_HASHES = 6  # examples are compared only if they share one of their smallest hashes
NEAR_DUPLICATE_SIMILARITY = 0.8  # share of common shingles

_WORD = re.compile(r"\w+")
_SPACE = re.compile(rb" ")


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
        self._is_disabled = False
        self._sketches: list[frozenset[int]] = []
        self._image_hashes: list[int] = []
        self._numbers_by_value: dict[int, list[int]] = {}

    def add(self, texts: list[MessageText], image_urls: Iterable[str] = ()) -> int | None:
        """Add an example, and return the number of an earlier example that is nearly the same; else None.

        Examples with different images are never near-duplicates: the same question may be about each image.
        """
        if len(self._sketches) >= MAX_NEAR_DUPLICATE_EXAMPLES:
            self._is_disabled = True
            self._sketches, self._image_hashes, self._numbers_by_value = [], [], {}
        if self._is_disabled:
            return None
        sketch, image_hash = _build_sketch(texts), crc32("\n".join(image_urls).encode("utf-8", "surrogatepass"))
        number = len(self._sketches)
        self._sketches.append(sketch)
        self._image_hashes.append(image_hash)
        smallest = sorted(sketch)[:CANDIDATE_HASHES]
        candidates = sorted({earlier for value in smallest for earlier in self._numbers_by_value.get(value, ())})
        for value in smallest:
            self._numbers_by_value.setdefault(value, []).append(number)
        same_images = (earlier for earlier in candidates if self._image_hashes[earlier] == image_hash)
        return next(
            (
                earlier
                for earlier in same_images
                if _estimate_similarity(sketch, self._sketches[earlier]) >= NEAR_DUPLICATE_SIMILARITY
            ),
            None,
        )


def _build_sketch(texts: list[MessageText]) -> frozenset[int]:
    """Return the smallest hashes of the shingles of all texts but the system message, which most examples share."""
    words = [word for role, text, _ in texts if role != "system" for word in _WORD.findall(text.lower())]
    joined = " ".join(words).encode()
    gaps = [match.start() for match in _SPACE.finditer(joined)]
    ends = [*gaps, len(joined)][SHINGLE_WORDS - 1 :] or [len(joined)]
    shingles = (joined[start:end] for start, end in zip([0, *gaps], ends, strict=False))
    return frozenset(sorted(set(map(crc32, shingles)))[:SKETCH_SIZE])


def _estimate_similarity(one: frozenset[int], other: frozenset[int]) -> float:
    """Estimate the Jaccard similarity: the share of the smallest hashes of both that both have."""
    union = sorted(one | other)[:SKETCH_SIZE]
    return len((one & other).intersection(union)) / len(union)

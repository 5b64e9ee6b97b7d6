"""Finds equal examples, with about 20 bytes of memory per example."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

BUCKET_COUNT = 256


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

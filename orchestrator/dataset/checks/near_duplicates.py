"""Finds examples that are nearly the same, among all examples of a dataset."""

# Theory of operation
#
# Two sets are compared by the smallest hashes of their members (bottom-k MinHash): the share of these that both have
# estimates the share of members that both have. An example has up to two such sketches:
#
#   * shingles: every four words in a row. This is precise and works for short texts, but costs more than all other
#     checks together. Therefore only early examples and short texts have it.
#   * clauses: the pieces between full stops and the like. This is cheap. A changed word changes one clause of many,
#     so long texts with small differences share most of their clauses.
#
# Examples are compared by their shingles if both have them, else by their clauses.
#
# Only examples that share one of their smallest shingles, or two of their smallest clauses, are compared: a clause
# such as "thank you" occurs in thousands of examples, but two such clauses rarely are the smallest of both. Late
# examples are compared only with the first few of those. Of many copies of one text, each is still compared with the
# first, and that is the one to report.
#
# The sketches are in arrays, some 150 bytes per example, and the groups of equal hashes are built at the end, bucket
# by bucket, because a dictionary of all hashes would take a kilobyte per example.

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import combinations, repeat
from sys import byteorder
from typing import Final, NamedTuple
from zlib import crc32

from orchestrator.dataset.checks.text_walk import MessageText

SHINGLE_WORDS: Final = 4  # words per shingle
SHINGLE_SKETCH_SIZE: Final = 48  # hashes kept per example; the similarity is then known to about ±0.1
CLAUSE_SKETCH_SIZE: Final = 24
MIN_CLAUSES: Final = 8  # with fewer, one changed word changes too much
MAX_SHORT_TEXT_CHARACTERS: Final = 500  # with so few characters, shingles are cheap
CANDIDATE_SHINGLES: Final = 6  # examples are compared only if they share one of their smallest shingles
CANDIDATE_CLAUSES: Final = 4  # or two of their smallest clauses
MAX_COMPARED_EXAMPLES: Final = 8  # with the same hash
MAX_EXAMPLES: Final = 1_000_000  # later ones are not compared, so that memory stays bounded
NEAR_DUPLICATE_SIMILARITY: Final = 0.8  # share of common shingles or clauses
BUCKET_COUNT: Final = 64

EMPTY_HASH: Final = 0  # crc32 of no bytes
MAX_HASH: Final = (1 << 32) - 1  # a larger key is made of two clauses

_BITS: Final = [1 << byte % 64 for byte in range(256)]
_LAST_BYTES: Final = slice(0 if byteorder == "little" else 3, None, 4)  # of numbers of four bytes
_WORD = re.compile(r"\w+")
_ASCII_WORDS = bytes(code if _WORD.match(chr(code)) else ord(" ") for code in range(128)) + bytes(128)
_CLAUSE_ENDS = bytes.maketrans(b".;:!?", b"\n" * 5)
_WIDE_CLAUSE_END = re.compile(r"[\u3002\uff01\uff1a\uff1b\uff1f]")  # Chinese and Japanese marks
_WIDE_CLAUSE_END_BYTES = (b"\xe3", b"\xef")  # with which these begin


class Sketch(NamedTuple):
    """What is compared of an example: sorted 32-bit hashes as bytes, which take little memory."""

    clauses: bytes  # empty if there are too few
    shingles: bytes  # empty for a long text that is not early
    images: int  # hash of the addresses of its images
    is_short: bool  # whether it has shingles although it is not early

    def to_late(self) -> Sketch:
        """Return the sketch that the example has if it is not early."""
        return self if self.is_short or not self.shingles else self._replace(shingles=b"")


def build_sketch(texts: list[MessageText], image_urls: Iterable[str] = (), *, early: bool) -> Sketch:
    """Build the sketch from all texts but the system message, which most examples share."""
    images = crc32("\n".join(image_urls).encode("utf-8", "surrogatepass"))
    # One by one, because a single character that is not ASCII makes this slow for a whole text.
    lowered = [text.lower() for role, text, _ in texts if role != "system"]
    clauses = _hash_clauses("\n".join(lowered))
    is_short = not clauses or sum(map(len, lowered)) + len(lowered) - 1 <= MAX_SHORT_TEXT_CHARACTERS
    return Sketch(clauses, _hash_shingles(lowered) if early or is_short else b"", images, is_short)


def _hash_clauses(text: str) -> bytes:
    encoded = text.encode("utf-8", "surrogatepass")
    if any(byte in encoded for byte in _WIDE_CLAUSE_END_BYTES):
        encoded = _WIDE_CLAUSE_END.sub(".", text).encode("utf-8", "surrogatepass")
    clauses = encoded.translate(_CLAUSE_ENDS).split(b"\n")  # faster than a pattern
    hashes = _list_smallest_hashes(clauses, CLAUSE_SKETCH_SIZE + 1)
    hashes = [one for one in hashes if one != EMPTY_HASH][:CLAUSE_SKETCH_SIZE]
    return array("I", hashes).tobytes() if len(hashes) >= MIN_CLAUSES else b""


def _hash_shingles(lowered: Iterable[str]) -> bytes:
    words = [word for text in lowered for word in _split_words(text)]
    following = [words[number:] for number in range(1, SHINGLE_WORDS)]
    # All but the first begin with the space before them.
    shingles = list(map(b" ".join, zip(repeat(b""), words, *following, strict=False))) or [b" " + b" ".join(words)]
    shingles[0] = shingles[0][1:]
    return array("I", _list_smallest_hashes(shingles, SHINGLE_SKETCH_SIZE)).tobytes()


def _split_words(text: str) -> list[bytes]:
    if text.isascii():
        return text.encode().translate(_ASCII_WORDS).split()  # seven times as fast as the pattern
    return " ".join(_WORD.findall(text)).encode().split()


def _list_smallest_hashes(members: list[bytes], count: int) -> list[int]:
    """List the smallest different hashes, sorted."""
    # Hashes are spread evenly, so twice as many as needed are below this limit, unless many members are equal.
    limit = (MAX_HASH + 1) * 2 * count // len(members)
    hashes = {one for one in map(crc32, members) if one < limit}
    if len(hashes) < count:
        hashes = {*map(crc32, members)}
    return sorted(hashes)[:count]


class NearDuplicateFinder:
    """Finds near-duplicates among the sketches that it is given."""

    def __init__(self, early_examples: int) -> None:
        """Prepare the search. `early_examples` at the start have shingles and are compared with all examples."""
        self._early_examples = early_examples
        self._clauses = _HashLists(CLAUSE_SKETCH_SIZE)
        self._shingles = _HashLists(SHINGLE_SKETCH_SIZE)
        self._images = array("I")
        self._keys = [array("Q") for _ in range(BUCKET_COUNT)]  # a shingle, or two clauses
        self._numbers = [array("L") for _ in range(BUCKET_COUNT)]

    def add(self, sketch: Sketch) -> None:
        """Add the next example."""
        number = len(self._images)
        if number >= MAX_EXAMPLES:
            return
        self._images.append(sketch.images)
        clauses, shingles = self._clauses.add(sketch.clauses), self._shingles.add(sketch.shingles)
        pairs = combinations(clauses[:CANDIDATE_CLAUSES], 2)
        for key in (*shingles[:CANDIDATE_SHINGLES], *[one << 32 | other for one, other in pairs]):
            bucket = key % BUCKET_COUNT
            self._keys[bucket].append(key)
            self._numbers[bucket].append(number)

    def find_pairs(self) -> dict[int, int]:
        """Return the first example that is nearly the same for each near-duplicate, in the order of the dataset."""
        first: dict[int, int] = {}
        for keys, numbers in zip(self._keys, self._numbers, strict=True):
            for number, earlier in self._iter_near(keys, numbers):
                first[number] = min(earlier, first.get(number, earlier))
        return dict(sorted(first.items()))

    def _iter_near(self, keys: array[int], numbers: array[int]) -> Iterator[tuple[int, int]]:
        groups: dict[int, list[int]] = {}
        repeated = {key for key, count in Counter(keys).items() if count > 1}  # a small share
        for key, number in zip(keys, numbers, strict=True):
            if key not in repeated:
                continue
            group = groups.setdefault(key, [])
            compares_all = number < self._early_examples and key <= MAX_HASH
            candidates = group if compares_all else group[:MAX_COMPARED_EXAMPLES]
            if candidates and (near := self._find_near(number, candidates)) is not None:
                yield number, near
            if compares_all or len(group) < MAX_COMPARED_EXAMPLES:
                group.append(number)

    def _find_near(self, number: int, candidates: Iterable[int]) -> int | None:
        """Return the first candidate that is nearly the same as an example.

        With other images they are not the same: each image may have that question.
        """
        own_shingles, least_shingles = self._shingles.get_outline(number)
        own_clauses, least_clauses = self._clauses.get_outline(number)
        shingles, clauses = self._shingles.outlines, self._clauses.outlines
        for earlier in candidates:
            # Most comparisons end here: the two certainly have too few hashes in common.
            if own_shingles and (other := shingles[earlier]):
                lists, is_possible = self._shingles, (own_shingles & other).bit_count() >= least_shingles
            else:
                lists, is_possible = self._clauses, (own_clauses & clauses[earlier]).bit_count() >= least_clauses
            if (
                is_possible
                and self._images[number] == self._images[earlier]
                and _estimate_similarity(lists.get(number), lists.get(earlier), lists.size)
                >= NEAR_DUPLICATE_SIMILARITY
            ):
                return earlier
        return None


class _HashLists:
    """Lists of at most `size` hashes, by the number of the example, without an object for each.

    The outline of a list has a bit for each of the 64 values that the last six bits of its hashes may have. Two lists
    have no more hashes in common than bits in common, and hashes of one of them that share a bit with another.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.outlines = array("Q")  # 0: the list is empty
        self._hashes = array("I")
        self._ends = array("Q", [0])

    def add(self, hashes: bytes) -> array[int]:
        """Add the list of the next example, and return it."""
        self.outlines.append(sum({*map(_BITS.__getitem__, hashes[_LAST_BYTES])}))
        self._hashes.frombytes(hashes)
        self._ends.append(len(self._hashes))
        return self.get(len(self._ends) - 2)

    def get(self, number: int) -> array[int]:
        return self._hashes[self._ends[number] : self._ends[number + 1]]

    def get_outline(self, number: int) -> tuple[int, float]:
        """Return the outline of a list, and the number of bits that the outline of a similar list has in common."""
        outline = self.outlines[number]
        size = self._ends[number + 1] - self._ends[number]
        surplus = size - outline.bit_count()
        return outline, max(1, NEAR_DUPLICATE_SIMILARITY * size - surplus)


def _estimate_similarity(one: array[int], other: array[int], size: int) -> float:
    """Estimate the share of common members: the share of the smallest hashes of both that both have."""
    common = {*one}.intersection(other)
    union = sorted({*one, *other})[:size]
    return len(common.intersection(union)) / len(union)

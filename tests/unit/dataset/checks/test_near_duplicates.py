"""Near-duplicates among all examples, early and late ones."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from random import Random

import pytest

from orchestrator.dataset.checks.near_duplicates import (
    CLAUSE_SKETCH_SIZE,
    MAX_COMPARED_EXAMPLES,
    MAX_SHORT_TEXT_CHARACTERS,
    NEAR_DUPLICATE_SIMILARITY,
    SHINGLE_SKETCH_SIZE,
    NearDuplicateFinder,
    _estimate_similarity,
    _HashLists,
    build_sketch,
)

CHANCE = Random(1)
WORDS = ["".join(CHANCE.choices("abcdefghijklmnop", k=6)) for _ in range(2_000)]


def write_text(seed: int, clauses: int = 40) -> str:
    """Write a text of so many clauses of eight words, another one for each seed."""
    chance = Random(seed)
    return ". ".join(" ".join(chance.choices(WORDS, k=8)) for _ in range(clauses)) + "."


def find_pairs(texts: Sequence[str], *, early: int = 0, images: Sequence[str] = ()) -> dict[int, int]:
    finder = NearDuplicateFinder(early)
    for number, text in enumerate(texts):
        urls = [images[number]] if images else []
        finder.add(build_sketch([("user", text, ())], urls, early=number < early))
    return finder.find_pairs()


@pytest.mark.parametrize("early", [0, 1, 2, 100])
def test_long_text_with_a_changed_word_is_found(early: int) -> None:
    text = write_text(1)
    assert len(text) > MAX_SHORT_TEXT_CHARACTERS
    changed = text.replace(text.split()[50], "another", 1)
    assert find_pairs([write_text(2), text, write_text(3), changed], early=early) == {3: 1}


@pytest.mark.parametrize("early", [0, 1, 100])
def test_short_text_with_a_changed_last_word_is_found(early: int) -> None:
    text = " ".join(WORDS[:25])
    assert find_pairs([text, " ".join(WORDS[30:55]), f"{text} today"], early=early) == {2: 0}


def test_text_without_punctuation_is_compared_by_its_words() -> None:
    text = " ".join(WORDS[:400])
    assert find_pairs([text, text.replace(WORDS[200], "another")]) == {1: 0}


def test_japanese_clauses_are_told_apart() -> None:
    text = "\u3002".join(f"{number}\u756a\u76ee\u306e\u6587\u7ae0\u3067\u3059" for number in range(60))
    other = "\u3002".join(f"{number}\u56de\u76ee\u306e\u8a71\u984c\u3067\u3059" for number in range(60))
    assert find_pairs([text, other, text.replace("30\u756a", "\u4e09\u5341\u756a")]) == {2: 0}


@pytest.mark.parametrize("size", [CLAUSE_SKETCH_SIZE, SHINGLE_SKETCH_SIZE])
def test_outlines_exclude_no_similar_lists(size: int) -> None:
    chance, similar, excluded = Random(2), 0, 0
    for _ in range(3_000):
        shared = chance.sample(range(1 << 32), chance.randint(1, size))
        lists = _HashLists(size)
        for _ in range(2):
            own = chance.sample(range(1 << 32), chance.randint(0, size // 4))
            lists.add(array("I", sorted({*shared, *own})[:size]).tobytes())
        is_similar = _estimate_similarity(lists.get(0), lists.get(1), size) >= NEAR_DUPLICATE_SIMILARITY
        common = lists.outlines[0] & lists.outlines[1]
        for number in (0, 1):
            _, least_bits = lists.get_outline(number)
            assert common.bit_count() >= least_bits or not is_similar
            excluded += common.bit_count() < least_bits
        similar += is_similar
    assert similar > 500
    assert excluded > 100


def test_examples_with_different_images_are_not_duplicates() -> None:
    text = write_text(1)
    assert find_pairs([text, text, text], images=["a", "b", "a"]) == {2: 0}


@pytest.mark.parametrize("early", [0, 100])
def test_each_of_many_copies_is_reported_with_the_first(early: int) -> None:
    copies = [write_text(1) + f" {number}" for number in range(50)]
    assert find_pairs(copies, early=early) == dict.fromkeys(range(1, 50), 0)


def test_texts_that_share_common_clauses_are_not_duplicates() -> None:
    common = write_text(0, clauses=10)
    texts = [f"{common} {write_text(number, clauses=30)}" for number in range(1, 4 * MAX_COMPARED_EXAMPLES)]
    assert find_pairs(texts) == {}


def test_system_message_is_not_compared() -> None:
    system = write_text(1)
    finder = NearDuplicateFinder(0)
    for number in (2, 3):
        finder.add(build_sketch([("system", system, ()), ("user", write_text(number), ())], early=False))
    assert finder.find_pairs() == {}

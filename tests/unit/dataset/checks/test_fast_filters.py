"""The fast tests on bytes, which skip most examples, never hide a finding: the slow way finds the same."""

from __future__ import annotations

import json
import re
from array import array
from random import Random
from typing import Any
from zlib import crc32

import pytest
from suspicious_chats import SUSPICIOUS, write_chats

from orchestrator.dataset.canonical_jsonl import encode_canonical
from orchestrator.dataset.checks import pii, user_names
from orchestrator.dataset.checks.near_duplicates import (
    CLAUSE_SKETCH_SIZE,
    MIN_CLAUSES,
    SHINGLE_SKETCH_SIZE,
    build_sketch,
)
from orchestrator.dataset.checks.special_tokens import check_foreign_tokens
from orchestrator.dataset.checks.style import check_artifacts, check_style
from orchestrator.dataset.checks.text_encoding import check_text_encoding
from orchestrator.dataset.checks.text_walk import iter_texts
from orchestrator.dataset.finding_codes import FindingCode
from orchestrator.dataset.read.json_reader import decode_json

EVERYTHING = "<&[[{{\u00c2\ufffd![THINK]INST]".encode()  # a line with it passes each fast test
CLAUSE_END = re.compile("[\n.;:!?\u3002\uff01\uff1a\uff1b\uff1f]")
CHATS = write_chats(seed=1, count=2_000)


@pytest.mark.parametrize("check", [check_artifacts, check_text_encoding, check_foreign_tokens])
def test_filter_of_a_check_hides_no_finding(check: Any) -> None:
    found = 0
    for chat in CHATS:
        texts = list(iter_texts(chat))
        issues = list(check(texts, encode_canonical(chat)))
        assert issues == list(check(texts, EVERYTHING)), chat
        found += len(issues)
    assert found > 100


def test_filter_of_personal_data_hides_no_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    filtered = [list(check_style(chat, list(iter_texts(chat)), encode_canonical(chat))) for chat in CHATS]
    everything = tuple(detector._replace(may_find=lambda text: True) for detector in pii._DETECTORS)
    monkeypatch.setattr(pii, "_DETECTORS", everything)
    assert filtered == [list(check_style(chat, list(iter_texts(chat)), EVERYTHING)) for chat in CHATS]
    found = {issue.code for issues in filtered for issue in issues}
    assert {FindingCode.SECRET, FindingCode.EMAIL_ADDRESS, FindingCode.PHONE_NUMBER} <= found


def test_each_suspicious_text_alone_has_the_findings_of_the_slow_way() -> None:
    for text in SUSPICIOUS:
        slow = [match for detector in pii._DETECTORS for match in detector.find(text)]
        assert list(pii.find_pii(text)) == slow, text


def test_texts_without_a_digit_have_no_password() -> None:
    found = 0
    for chat in CHATS:
        for _, text, _ in iter_texts(chat):
            expected = [match.span("value") for match in pii._ASSIGNED_SECRET.finditer(text)]
            assert [(match.start, match.end) for match in pii._find_assignments(text)] == expected, text
            found += len(expected)
    assert found > 100


def test_clauses_are_those_of_the_whole_text_in_lower_case() -> None:
    compared = 0
    for chat in CHATS:
        texts = list(iter_texts(chat))
        text = "\n".join(text for role, text, _ in texts if role != "system").lower()
        hashes = {crc32(clause.encode()) for clause in CLAUSE_END.split(text) if clause}
        expected = sorted(hashes)[:CLAUSE_SKETCH_SIZE] if len(hashes) >= MIN_CLAUSES else []
        assert build_sketch(texts, early=False).clauses == array("I", expected).tobytes(), text
        compared += bool(expected)
    assert compared > 100


def have_equal_keys(text: str) -> bool:
    objects: list[list[str]] = []

    def keep_keys(items: list[tuple[str, Any]]) -> None:
        objects.append([key for key, _ in items])

    json.loads(text, object_pairs_hook=keep_keys)
    return any(len(keys) != len(set(keys)) for keys in objects)


WORD = r"[A-Z\u00c0-\u00de\u0391-\u03a9\u0410-\u042f][\w'-]+"
INTRODUCTION = rf"\b(?:I'm|I am|[Mm]y name is|[Tt]his is|[Cc]all me) ({WORD})\b|^({WORD}) here\b"
ADDRESS = rf"\b(?:Hi|Hello|Hey|Dear|Welcome|Thanks|Thank you|Goodbye|Bye),? ({WORD})\b|, ({WORD})[!?.,]"
SYSTEM_ADDRESS = rf"\b(?:You are|you are|You're|name is) ({WORD})\b"


def test_names_are_those_of_the_plain_patterns() -> None:
    chance, found = Random(3), 0
    phrases = (
        "I'm,I am,My name is,my name is,This is,Call me,call me,Hi,Hello,Thank you,Thanks,Bye,You're,you are,name is"
    )
    pieces = (*phrases.split(","), "Ann", "Bo-b", "O'Neil", "\u00c9mile", "here", "AHi", "-", "\u00e9", "I", "_Hi")
    for _ in range(20_000):
        text = "".join(
            piece + chance.choice([" ", " ", ", ", ". ", "! ", "", "-"]) for piece in chance.choices(pieces, k=5)
        )
        expected = {name for found in re.findall(INTRODUCTION, text) for name in found if name}
        assert user_names._find_introductions(text) == expected, text
        for pattern, plain in (
            (user_names._FORM_OF_ADDRESS, ADDRESS),
            (user_names._SYSTEM_ADDRESS, f"{SYSTEM_ADDRESS}|($^)"),
        ):
            names = {name for names in re.findall(plain, text) for name in names if name}
            assert user_names._find_names(pattern, text) == names, text
            found += len(names)
    assert found > 5_000


def build_chat(*texts: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text} for text in texts]}


FEW_WORDS = [("\u00c9COLE a b", "c", "d"), ("\U0001f331",), ("a b",), ("a\xa0b_c d'e f",), (), ("a b c d e " * 40,)]


@pytest.mark.parametrize("chat", [*(build_chat(*texts) for texts in FEW_WORDS), *CHATS[:200]])
def test_shingles_are_those_of_the_words_of_the_whole_text(chat: dict[str, Any]) -> None:
    texts = list(iter_texts(chat))
    text = "\n".join(text for role, text, _ in texts if role != "system").lower()
    words = [f" {word}" for word in re.findall(r"\w+", text)] or [" "]
    shingles = ["".join(words[at : at + 4]) for at in range(max(1, len(words) - 3))]
    shingles[0] = shingles[0][1:]  # all others begin with a space
    expected = sorted({crc32(shingle.encode()) for shingle in shingles})[:SHINGLE_SKETCH_SIZE]
    assert build_sketch(texts, early=True).shingles == array("I", expected).tobytes()


@pytest.mark.parametrize("spaces", ["", " ", "\n", "\t  "])
@pytest.mark.parametrize("content", ["", 'a \\" b', 'a \\": b', "a \\\\", '\\\\\\": x', '\\": '])
def test_duplicate_keys_are_found_at_every_depth(content: str, spaces: str) -> None:
    repeated = 0
    for again in ('"role"{0}: "user", ', '"c\\\\"{0}: 1, "c\\\\"{0}: 2, ', ""):
        for inner in ('{"x": {"y": 1, "y": 2}}', "[1]", '"text"'):
            message = f'{{"role": "user", {again.format(spaces)}"content": "{content}", "k": {inner}}}'
            text = f'{{"messages": [{message}]}}'
            has_duplicates = have_equal_keys(text)
            codes = [finding.code for finding in decode_json(text.encode(), "chats.jsonl", 1).findings]
            assert ("duplicate-key" in codes) == has_duplicates, text
            repeated += has_duplicates
    assert repeated >= 6

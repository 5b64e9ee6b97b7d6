from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.text_sanitizer import sanitize_json, sanitize_line, sanitize_lines

HOSTILE_TEXT = "\x1b[2J\x1b]0;t\x07 a\r\nb\tc\x00\x7f\x85\x9b31m \u202egpj.exe\u2066\u200f\u2028\ud800 käse 🙂"


def test_control_characters_are_shown_escaped_and_letters_stay() -> None:
    assert sanitize_line(HOSTILE_TEXT) == (
        r"\x1b[2J\x1b]0;t\x07 a\r\nb\tc\x00\x7f\x85\x9b31m \u202egpj.exe\u2066\u200f\u2028\ud800 käse 🙂"
    )


def test_lines_and_tabs_stay_where_several_lines_are_meant() -> None:
    assert sanitize_lines("a\r\nb\tc\x1b[2J\u202e") == "a\\r\nb\tc\\x1b[2J\\u202e"


@pytest.mark.parametrize("indent", [None, 2])
def test_escaped_json_has_the_same_value(indent: int | None) -> None:
    document = sanitize_json(json.dumps({HOSTILE_TEXT: [HOSTILE_TEXT]}, ensure_ascii=False, indent=indent))
    assert json.loads(document) == {HOSTILE_TEXT: [HOSTILE_TEXT]}
    assert document.replace("\n", "").isprintable()


@given(st.text())
def test_what_is_printable_is_one_line_of_utf8(text: str) -> None:
    shown = sanitize_line(text)
    assert len((shown + "x").splitlines()) == 1
    shown.encode()
    assert "\x1b" not in shown

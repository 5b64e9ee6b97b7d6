"""Recognises the language of an answer, or says that it is unknown.

A wrong guess would accuse a model, so short texts, code, numbers, lists of names and mixed texts have no language.
The alphabet decides where it belongs to one language; where many share one, function words decide ("the", "und").
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from functools import lru_cache
from heapq import nlargest
from operator import itemgetter
from typing import Any, Final

from orchestrator.core.comparison.language.function_words import LANGUAGES_BY_WORD

_SEARCHED_CHARACTERS: Final = 2000
_CODE: Final = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+|<[^<>\n]*>|\S+[_@/\\{}=]\S*", re.DOTALL)
_WORD: Final = re.compile(r"[^\W\d_]+")
_MIN_LETTERS: Final = 10  # of an alphabet that belongs to one language
_MIN_SCRIPT_SHARE: Final = 0.7  # of the letters; a text in two alphabets has no language
_MIN_KANA_SHARE: Final = 0.1  # Japanese text is never without kana; a few of them in a Chinese text are a name
_MIN_WORDS: Final = 3  # different function words
_MIN_WORD_SHARE: Final = 0.15  # of all words
_MIN_LEAD: Final = 2.0  # times the weight of any other language
_WORD_SCRIPTS: Final = frozenset({"LATIN", "CYRILLIC", "ARABIC"})  # alphabets of many languages
_EAST_ASIAN: Final = frozenset({"CJK", "HIRAGANA", "KATAKANA"})


def find_language(text: str) -> str | None:
    """Return the language as a code, or as the name of its script; None if it is unknown."""
    readable = _CODE.sub(" ", _extract_prose(text)[:_SEARCHED_CHARACTERS])
    scripts = Counter(_find_script(character) for character in readable if character.isalpha())
    letters = scripts.total()
    kana = scripts["HIRAGANA"] + scripts["KATAKANA"]
    east_asian = scripts["CJK"] + kana
    if east_asian >= max(_MIN_LETTERS, _MIN_SCRIPT_SHARE * letters):
        return _choose_east_asian(kana / east_asian)
    script, count = max(scripts.items(), key=lambda item: item[1], default=("", 0))
    if count < max(_MIN_LETTERS, _MIN_SCRIPT_SHARE * letters) or script in _EAST_ASIAN:
        return None
    return _find_language_by_words(readable) if script in _WORD_SCRIPTS else script.lower()


def _choose_east_asian(kana_share: float) -> str | None:
    if kana_share >= _MIN_KANA_SHARE:
        return "ja"
    return None if kana_share else "zh"


def _find_language_by_words(text: str) -> str | None:
    words = _WORD.findall(text.lower())
    counts: Counter[str] = Counter()
    different: Counter[str] = Counter()
    weights: dict[str, float] = {}
    for word, count in Counter(words).items():
        languages = LANGUAGES_BY_WORD.get(word, ())
        for language in languages:
            counts[language] += count
            different[language] += 1
            weights[language] = weights.get(language, 0.0) + count / len(languages)
    (language, most), (_, second) = [*nlargest(2, weights.items(), key=itemgetter(1)), ("", 0), ("", 0)][:2]
    is_certain = (
        different[language] >= _MIN_WORDS
        and counts[language] >= _MIN_WORD_SHARE * len(words)
        and most >= _MIN_LEAD * second
    )
    return language if is_certain else None


def _extract_prose(text: str) -> str:
    """Return the values of a JSON answer without its keys, which are in the language of a program."""
    if text.lstrip()[:1] not in ("{", "["):
        return text
    try:
        return "\n".join(_list_texts(json.loads(text)))
    except (ValueError, RecursionError):
        return text


def _list_texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [text for each in value for text in _list_texts(each)]
    return [value] if isinstance(value, str) else []


@lru_cache(maxsize=4096)
def _find_script(letter: str) -> str:
    return unicodedata.name(letter, "").split(" ")[0]

"""The word list: which words a user should not meet, why, and what to write."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from user_texts import DOCUMENTATION, WHOLE_FILES, UserText

WORDS = Path(__file__).with_name("words.toml")


@dataclass(frozen=True)
class Word:
    """A word or phrase of the list. A soft one has correct uses, so it has a limit of its own."""

    word: str
    match: re.Pattern[str]
    why: str
    write: str
    soft: bool


@dataclass(frozen=True)
class AllowedPhrase:
    """A phrase in which a word of the list is correct, everywhere or in some files."""

    phrase: re.Pattern[str]
    paths: str


@dataclass(frozen=True)
class Occurrence:
    """A word of the list where a user would read it."""

    word: Word
    kind: str
    path: str
    line: int
    excerpt: str

    @property
    def in_documentation(self) -> bool:
        return self.kind in DOCUMENTATION


@dataclass(frozen=True)
class WordList:
    """The words, and the phrases in which they are allowed."""

    words: tuple[Word, ...]
    allowed: tuple[AllowedPhrase, ...]

    def find(self, texts: Iterable[UserText]) -> Iterator[Occurrence]:
        """Find every occurrence in these texts; of overlapping entries the longest counts."""
        for shown in texts:
            text = self._without_allowed(shown)
            for word in self.words:
                for found in word.match.finditer(text):
                    line = shown.line + (text.count("\n", 0, found.start()) if shown.kind in WHOLE_FILES else 0)
                    excerpt = shown.text[max(0, found.start() - 40) : found.end() + 40]
                    yield Occurrence(word, shown.kind, shown.path, line, " ".join(excerpt.split()))
                text = word.match.sub(lambda found: " " * len(found[0]), text)

    def _without_allowed(self, shown: UserText) -> str:
        text = shown.text
        for phrase in self.allowed:
            if fnmatch(shown.path, phrase.paths):
                text = phrase.phrase.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
        return text


def load_word_list(path: Path = WORDS) -> WordList:
    """Read the list."""
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    words = [
        Word(row["word"], _pattern(row.get("match", row["word"])), row["why"], row["write"], row.get("soft", False))
        for row in table["word"]
    ]
    allowed = [AllowedPhrase(_pattern(row["phrase"]), row.get("paths", "*")) for row in table["allow"]]
    return WordList(tuple(sorted(words, key=lambda word: -len(word.word))), tuple(allowed))


def _pattern(expression: str) -> re.Pattern[str]:
    """A phrase may be broken over lines, and is found at word boundaries only."""
    spaced = expression.replace(" ", r"\s+")
    return re.compile(rf"(?<![\w-])(?:{spaced})(?![\w-])", re.IGNORECASE)

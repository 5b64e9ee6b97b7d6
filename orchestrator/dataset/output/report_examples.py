"""Collects what the HTML report shows of the examples: their lengths, and some chats with each finding."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from typing import Final

from orchestrator.core.structs import Struct, field
from orchestrator.dataset.example import Example

SHOWN_PER_CODE: Final = 3
SHOWN_WITHOUT_FINDING: Final = 3
MAX_SHOWN_LINE_BYTES: Final = 1_000_000  # of one example; with pictures it may be larger, and the report is one page
_NO_FINDING: Final = ""


class ReportExample(Struct, frozen=True, kw_only=True):
    """An example of the report."""

    number: int  # in the dataset, from 1
    file: str
    source_line: int
    tokens: int | None
    turns: int
    codes: tuple[str, ...]
    line: bytes  # the canonical line


class ReportExamples(Struct):
    """The examples of one check. `tokens` is empty if no base model is known."""

    tokens: array[int] = field(default_factory=lambda: array("Q"))
    turns: array[int] = field(default_factory=lambda: array("Q"))
    is_estimated: bool = False
    shown: list[ReportExample] = field(default_factory=list)
    _shown_counts: Counter[str] = field(default_factory=Counter)

    def add(self, example: Example, line: bytes, codes: Sequence[str], tokens: tuple[int, bool] | None) -> None:
        """Count an accepted example, and keep it if few with one of its findings are kept."""
        turns = _count_turns(example)
        self.turns.append(turns)
        if tokens is not None:
            self.tokens.append(tokens[0])
            self.is_estimated |= not tokens[1]
        if len(line) <= MAX_SHOWN_LINE_BYTES and self._is_wanted(codes):
            self.shown.append(
                ReportExample(
                    number=len(self.turns),
                    file=example.file,
                    source_line=example.line,
                    tokens=None if tokens is None else tokens[0],
                    turns=turns,
                    codes=tuple(dict.fromkeys(codes)),
                    line=line,
                )
            )

    def _is_wanted(self, codes: Sequence[str]) -> bool:
        limits = dict.fromkeys(codes, SHOWN_PER_CODE) or {_NO_FINDING: SHOWN_WITHOUT_FINDING}
        if all(self._shown_counts[code] >= limit for code, limit in limits.items()):
            return False
        self._shown_counts.update(limits.keys())
        return True


def _count_turns(example: Example) -> int:
    container = example.body if "messages" in example.body else example.body.get("input") or {}
    return sum(message.get("role") == "user" for message in container.get("messages") or ())

"""Tells which answers are in another language than expected.

Expected is the language of the reference answer. Where there is none, or where its language is unknown (a number, a
single word), it is the language in which more than half of the accounts answer, and at least two. An answer whose
language is unknown is never wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from orchestrator.core.comparison.answer import TEXT_OUTCOMES, ModelAnswer, ModelAnswers
from orchestrator.core.comparison.language.text_language import find_language

_MIN_VOTES: Final = 2


class LanguageChecker:
    """Compares the language of answers with the expected one of their probe."""

    def __init__(
        self, models: Sequence[ModelAnswers], references: Mapping[str, str], probe_ids: Collection[str]
    ) -> None:
        # Most answers of alike models are equal, so each text is examined once.
        self._languages: dict[str, str | None] = {}
        self._expected: dict[str, str] = {}  # by probe
        for probe_id in probe_ids:
            expected = self._find_language(references.get(probe_id, "")) or self._find_usual_language(
                models, probe_id
            )
            if expected is not None:
                self._expected[probe_id] = expected

    def is_wrong(self, probe_id: str, answer: ModelAnswer) -> bool:
        """Return whether the answer is a text in another language than expected."""
        expected = self._expected.get(probe_id)
        if expected is None or answer.outcome not in TEXT_OUTCOMES:
            return False
        return self._find_language(answer.text) not in (expected, None)

    def _find_usual_language(self, models: Sequence[ModelAnswers], probe_id: str) -> str | None:
        """Return the language of most accounts. An account votes once, and not if it answers in several languages."""
        votes: Counter[str] = Counter()
        for model in models:
            answers = [each[probe_id] for each in model.rounds if probe_id in each]
            found = {self._find_language(answer.text) for answer in answers if answer.outcome in TEXT_OUTCOMES}
            known = found - {None}
            if len(known) == 1:
                votes.update(language for language in known if language)
        [(language, most)] = votes.most_common(1) or [("", 0)]
        return language if most >= _MIN_VOTES and most > votes.total() / 2 else None

    def _find_language(self, text: str) -> str | None:
        if text not in self._languages:
            self._languages[text] = find_language(text)
        return self._languages[text]

"""Verdict of the data on itself: keys that say whether an answer is wanted. No answer is trained against it.

KTO rows have a `label`, frontends have a rating or a thumb. The training format has no place for them, so a row whose
verdict is "no" is an error, and a number whose scale is not known is a warning.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from orchestrator.dataset.example import ExampleIssue
from orchestrator.dataset.finding_codes import FindingCode

LABEL_KEYS: Final = frozenset(
    (
        *("label", "desirable", "accepted", "approved", "correct", "is_correct", "good", "is_good"),
        *("helpful", "keep", "include", "wanted", "train"),
    )
)
RATING_KEYS: Final = frozenset(
    (
        *("rating", "ratings", "score", "stars", "vote", "votes", "thumb", "thumbs"),
        *("feedback", "annotation", "reward", "quality"),
    )
)
FEEDBACK_KEYS: Final = LABEL_KEYS | RATING_KEYS
LOSS_WEIGHT_KEYS: Final = (
    "weight",
    "loss",
    "train",
)  # of one turn: some collections say so what is not to be learned
NEGATIVE_WORDS: Final = frozenset(
    (
        *("bad", "negative", "reject", "rejected", "undesirable", "undesired", "unwanted", "wrong", "incorrect"),
        *("down", "thumbs_down", "thumbsdown", "thumb_down", "dislike", "disliked", "false", "no", "poor"),
        *("unacceptable", "unhelpful"),
    )
)


def is_negative_feedback(verdict: object) -> bool:
    """Whether a verdict is that the answer is not wanted: false, 0, a number below it, or a word for it."""
    if isinstance(verdict, dict):
        return any(
            is_negative_feedback(verdict[key]) for key in ("rating", "label", "value", "score") if key in verdict
        )
    if isinstance(verdict, str):
        return (
            verdict.strip().lower().replace(" ", "_").replace("-", "_") in NEGATIVE_WORDS or verdict.strip() == "👎"
        )
    return isinstance(verdict, bool | int | float) and verdict <= 0


def check_feedback(row: Mapping[str, Any]) -> Iterator[ExampleIssue]:
    """What the row's verdicts on itself forbid, or leave open."""
    for key in FEEDBACK_KEYS & row.keys():
        verdict = row[key]
        if is_negative_feedback(verdict):
            message = f"the row marks its answer as unwanted: {key} is {json.dumps(verdict, ensure_ascii=False)[:40]}"
            yield ExampleIssue(FindingCode.UNWANTED_ANSWER, (key,), message)
        elif key in RATING_KEYS and isinstance(verdict, int | float) and not isinstance(verdict, bool):
            yield ExampleIssue(
                FindingCode.UNUSED_RATING, (key,), f"{key} is not used: all answers have the same weight"
            )

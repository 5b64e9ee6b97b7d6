"""Feedback in the data: keys that tell whether an answer is wanted, such as labels, ratings and thumbs.

KTO rows have a `label`, chat frontends have a rating or a thumb. The training format has no place for them, so
negative feedback is an error, and a number on an unknown scale is a warning.
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
)  # of one turn: in some collections they exclude it from training
NEGATIVE_WORDS: Final = frozenset(
    (
        *("bad", "negative", "reject", "rejected", "undesirable", "undesired", "unwanted", "wrong", "incorrect"),
        *("down", "thumbs_down", "thumbsdown", "thumb_down", "dislike", "disliked", "false", "no", "poor"),
        *("unacceptable", "unhelpful"),
    )
)


def is_negative_feedback(feedback: object) -> bool:
    """Whether the feedback marks an answer as unwanted: false, a number of at most 0, or a word such as "bad"."""
    if isinstance(feedback, dict):
        return any(
            is_negative_feedback(feedback[key]) for key in ("rating", "label", "value", "score") if key in feedback
        )
    if isinstance(feedback, str):
        return (
            feedback.strip().lower().replace(" ", "_").replace("-", "_") in NEGATIVE_WORDS or feedback.strip() == "👎"
        )
    return isinstance(feedback, bool | int | float) and feedback <= 0


def check_feedback(row: Mapping[str, Any]) -> Iterator[ExampleIssue]:
    """Yield an error for each negative feedback of the row, and a warning for each rating that is not used."""
    for key in FEEDBACK_KEYS & row.keys():
        feedback = row[key]
        if is_negative_feedback(feedback):
            message = (
                f"the row marks its answer as unwanted: {key} is {json.dumps(feedback, ensure_ascii=False)[:40]}"
            )
            yield ExampleIssue(FindingCode.UNWANTED_ANSWER, (key,), message)
        elif key in RATING_KEYS and isinstance(feedback, int | float) and not isinstance(feedback, bool):
            yield ExampleIssue(
                FindingCode.UNUSED_RATING, (key,), f"{key} is not used: all answers have the same weight"
            )

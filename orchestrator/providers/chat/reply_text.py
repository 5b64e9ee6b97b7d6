"""Derives the outcome of a reply from its text and the provider's reason for its end."""

from __future__ import annotations

from orchestrator.core.comparison.answer import AnswerOutcome
from orchestrator.core.comparison.refusal import is_refusal
from orchestrator.core.inference import MAX_REPLY_CHARACTERS


def derive_outcome(text: str, *, is_truncated: bool = False, is_filtered: bool = False) -> AnswerOutcome:
    """Return the outcome. A filter comes first: what it left of an answer is not the model's answer."""
    if is_filtered:
        return AnswerOutcome.FILTERED_ANSWER
    if not text.strip():
        return AnswerOutcome.TRUNCATED if is_truncated else AnswerOutcome.EMPTY
    if is_refusal(text):
        return AnswerOutcome.REFUSED_TEXT
    return AnswerOutcome.TRUNCATED if is_truncated else AnswerOutcome.ANSWERED


def clean_text(text: object) -> str:
    """Return the text of a reply in a form that can be stored and displayed, or "" for anything else."""
    if not isinstance(text, str):
        return ""
    return text[:MAX_REPLY_CHARACTERS].encode("utf-8", "replace").decode().replace("\0", "")

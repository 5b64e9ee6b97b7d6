"""Remains: what a frontend or a reasoning model leaves in an answer, and what will be learned with it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from orchestrator.dataset.checks.texts import MessageText
from orchestrator.dataset.codes import FindingCode
from orchestrator.dataset.example import ExampleBody, ExampleIssue

_REASONING_TAG = re.compile(r"</?(?:think|thinking|thought|reasoning|scratchpad)>|\[/?(?-i:THINK)\]", re.IGNORECASE)
_IMAGE_MARKUP = re.compile(r"<img\b[^<>]{0,500}>|!\[[^\]\n]{0,200}\]\([^)\s]{1,2000}\)", re.IGNORECASE)
MAX_SHOWN_CHARACTERS = 40  # characters of a picture's tag


def check_artifacts(texts: list[MessageText], line: bytes) -> Iterator[ExampleIssue]:
    """Yield a warning for thoughts in answers and pictures in texts; `line` is the example's canonical form."""
    if b"<" not in line and b"![" not in line and b"THINK]" not in line:
        return
    for role, text, steps in texts:
        if role == "assistant" and (thinking := _REASONING_TAG.search(text)):
            yield ExampleIssue(FindingCode.REASONING_BLOCK, steps, f"the answer holds {thinking[0]}")
        if role != "system" and (picture := _IMAGE_MARKUP.search(text)):
            shown = picture[0] if len(picture[0]) <= MAX_SHOWN_CHARACTERS else f"{picture[0][:MAX_SHOWN_CHARACTERS]}…"
            yield ExampleIssue(FindingCode.PICTURE_IN_TEXT, steps, f"the text holds {shown}")


def check_equal_answers(body: ExampleBody) -> Iterator[ExampleIssue]:
    """Yield a warning for a preference pair whose answers are the same."""
    preferred = body.get("preferred_output")
    if "messages" not in body and preferred is not None and preferred == body.get("non_preferred_output"):
        yield ExampleIssue(
            FindingCode.EQUAL_ANSWERS, ("non_preferred_output",), "both answers of the pair are the same"
        )

"""Remains: what a frontend or a reasoning model leaves in an answer, and what will be learned with it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from orchestrator.dataset.checks.texts import Said
from orchestrator.dataset.codes import Code
from orchestrator.dataset.example import Body, Fault

_THINKING = re.compile(r"</?(?:think|thinking|thought|reasoning|scratchpad)>|\[/?(?-i:THINK)\]", re.IGNORECASE)
_PICTURE = re.compile(r"<img\b[^<>]{0,500}>|!\[[^\]\n]{0,200}\]\([^)\s]{1,2000}\)", re.IGNORECASE)
SHOWN = 40  # characters of a picture's tag


def remains_advice(texts: list[Said], line: bytes) -> Iterator[Fault]:
    """Yield a warning for thoughts in answers and pictures in texts; `line` is the example's canonical form."""
    if b"<" not in line and b"![" not in line and b"THINK]" not in line:
        return
    for role, text, steps in texts:
        if role == "assistant" and (thinking := _THINKING.search(text)):
            yield Fault(Code.REASONING_BLOCK, steps, f"the answer holds {thinking[0]}")
        if role != "system" and (picture := _PICTURE.search(text)):
            shown = picture[0] if len(picture[0]) <= SHOWN else f"{picture[0][:SHOWN]}…"
            yield Fault(Code.PICTURE_IN_TEXT, steps, f"the text holds {shown}")


def equal_answers(body: Body) -> Iterator[Fault]:
    """Yield a warning for a preference pair whose answers are the same."""
    preferred = body.get("preferred_output")
    if "messages" not in body and preferred is not None and preferred == body.get("non_preferred_output"):
        yield Fault(Code.EQUAL_ANSWERS, ("non_preferred_output",), "both answers of the pair are the same")

"""Advice on one example: what trains, but not as it was meant."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from orchestrator.dataset.checks.encoding import encoding_advice
from orchestrator.dataset.checks.personal import Find, private, suspicions
from orchestrator.dataset.checks.remains import equal_answers, remains_advice
from orchestrator.dataset.checks.special import foreign_token_advice
from orchestrator.dataset.checks.texts import Said, message_lists
from orchestrator.dataset.codes import Code
from orchestrator.dataset.example import Body, Fault, Steps

LABELS = {
    Code.SECRET: "what looks like a key or password",
    Code.EMAIL_ADDRESS: "an e-mail address",
    Code.PHONE_NUMBER: "what looks like a telephone number",
}
LONG_ENOUGH = 60  # characters; shorter answers ("four", "Yes, you can") need no full stop

_MACRO = re.compile(r"\{\{[\w#/][^{}\n]{0,40}\}\}")
_SENTENCE = re.compile(r"[.!?…\u3002\uff01\uff1f]")
_NO_SENTENCE = re.compile(r"\s*(?:[-*•+>#|]|\d+[.)]|```|    |\$)")  # a list, a quotation, a heading, a table, code


def advice(body: Body, texts: list[Said], line: bytes) -> Iterator[Fault]:
    """Every warning about the example by itself; `line` is its canonical form."""
    suspected, macros = suspicions(line), b"{{" in line
    for messages, steps in message_lists(body):
        yield from _system(messages, steps)
    for role, text, steps in texts:
        if role == "assistant" and _is_cut_off(text):
            yield Fault(Code.CUT_OFF, steps, f"the answer ends with {text.rstrip()[-30:]!r}")
        if suspected:
            yield from _private(text, steps, suspected)
        if macros and (macro := _MACRO.search(text)):
            yield Fault(Code.UNFILLED_MACRO, steps, f"the text holds {macro[0]}")
    yield from remains_advice(texts, line)
    yield from encoding_advice(texts, line)
    yield from foreign_token_advice(texts, line)
    yield from equal_answers(body)


def _system(messages: list[Any], steps: Steps) -> Iterator[Fault]:
    roles = [message.get("role") if isinstance(message, dict) else None for message in messages]
    systems = [index for index, role in enumerate(roles) if role == "system"]
    for index in systems:
        content = messages[index].get("content")
        if isinstance(content, str) and not content.strip():
            yield Fault(Code.EMPTY_SYSTEM, (*steps, index, "content"), "the system message is empty")
    if len(systems) > 1:
        yield Fault(Code.SEVERAL_SYSTEM, (*steps, systems[1]), f"there are {len(systems)} system messages")
    for index in systems:
        if index > 0 and roles[index - 1] != "system" and roles[index + 1 : index + 2] == ["user"]:
            yield Fault(Code.LATE_INSTRUCTION, (*steps, index), "an instruction just before the user's message")


def _is_cut_off(text: str) -> bool:
    """A long answer in sentences whose last line is prose and stops at a letter or a comma."""
    text = text.rstrip()
    if len(text) < LONG_ENOUGH or not (text[-1].islower() or text[-1] in ",;"):
        return False
    last = text.rsplit("\n", 1)[-1]
    return len(last) >= LONG_ENOUGH // 2 and not _NO_SENTENCE.match(last) and bool(_SENTENCE.search(text))


def _private(text: str, steps: Steps, suspected: tuple[Find, ...]) -> Iterator[Fault]:
    counts: dict[Code, int] = {}
    for found in private(text, suspected):
        counts[found.code] = counts.get(found.code, 0) + 1
    for code, count in counts.items():
        yield Fault(code, steps, f"the text holds {LABELS[code]}" + (f", {count} times" if count > 1 else ""))

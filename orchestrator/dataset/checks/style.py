"""Warnings about one example: it can be trained, but the model may learn something unintended."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from orchestrator.dataset.checks.pii import PiiDetector, find_pii, select_detectors
from orchestrator.dataset.checks.special_tokens import check_foreign_tokens
from orchestrator.dataset.checks.text_encoding import check_text_encoding
from orchestrator.dataset.checks.text_walk import MessageText, iter_message_lists
from orchestrator.dataset.example import ExampleBody, ExampleIssue, KeyPath
from orchestrator.dataset.finding_codes import FindingCode

PII_LABELS = {
    FindingCode.SECRET: "a possible key or password",
    FindingCode.EMAIL_ADDRESS: "an e-mail address",
    FindingCode.PHONE_NUMBER: "a possible telephone number",
}
MIN_SENTENCE_CHARACTERS = 60  # shorter answers ("four", "Yes, you can") need no full stop

_MACRO = re.compile(r"\{\{[\w#/][^{}\n]{0,40}\}\}")
_SENTENCE = re.compile(r"[.!?…\u3002\uff01\uff1f]")
_NOT_PROSE = re.compile(r"\s*(?:[-*•+>#|]|\d+[.)]|```|    |\$)")  # a list, a quotation, a heading, a table, code
_REASONING_TAG = re.compile(r"</?(?:think|thinking|thought|reasoning|scratchpad)>|\[/?(?-i:THINK)\]", re.IGNORECASE)
_IMAGE_MARKUP = re.compile(r"<img\b[^<>]{0,500}>|!\[[^\]\n]{0,200}\]\([^)\s]{1,2000}\)", re.IGNORECASE)
MAX_SHOWN_CHARACTERS = 40  # of the HTML or Markdown of an image, in a message


def check_style(body: ExampleBody, texts: list[MessageText], line: bytes) -> Iterator[ExampleIssue]:
    """Yield every warning about the example alone. `line` is its canonical form, for fast tests on bytes."""
    suspected, macros = select_detectors(line), b"{{" in line
    for messages, key_path in iter_message_lists(body):
        yield from _check_system_messages(messages, key_path)
    for role, text, key_path in texts:
        if role == "assistant" and _is_cut_off(text):
            yield ExampleIssue(FindingCode.CUT_OFF, key_path, f"the answer ends with {text.rstrip()[-30:]!r}")
        if suspected:
            yield from _check_pii(text, key_path, suspected)
        if macros and (macro := _MACRO.search(text)):
            yield ExampleIssue(FindingCode.UNFILLED_MACRO, key_path, f"the text contains the placeholder {macro[0]}")
    yield from check_artifacts(texts, line)
    yield from check_text_encoding(texts, line)
    yield from check_foreign_tokens(texts, line)
    yield from check_equal_answers(body)


def _check_system_messages(messages: list[Any], key_path: KeyPath) -> Iterator[ExampleIssue]:
    roles = [message.get("role") if isinstance(message, dict) else None for message in messages]
    systems = [index for index, role in enumerate(roles) if role == "system"]
    for index in systems:
        content = messages[index].get("content")
        if isinstance(content, str) and not content.strip():
            yield ExampleIssue(FindingCode.EMPTY_SYSTEM, (*key_path, index, "content"), "the system message is empty")
    if len(systems) > 1:
        yield ExampleIssue(
            FindingCode.SEVERAL_SYSTEM, (*key_path, systems[1]), f"the chat has {len(systems)} system messages"
        )
    for index in systems:
        if index > 0 and roles[index - 1] != "system" and roles[index + 1 : index + 2] == ["user"]:
            yield ExampleIssue(
                FindingCode.LATE_INSTRUCTION, (*key_path, index), "a system instruction right before a user message"
            )


def _is_cut_off(text: str) -> bool:
    """Whether a long answer in sentences ends with a letter or a comma in a line of prose."""
    text = text.rstrip()
    if len(text) < MIN_SENTENCE_CHARACTERS or not (text[-1].islower() or text[-1] in ",;"):
        return False
    last = text.rsplit("\n", 1)[-1]
    return len(last) >= MIN_SENTENCE_CHARACTERS // 2 and not _NOT_PROSE.match(last) and bool(_SENTENCE.search(text))


def _check_pii(text: str, key_path: KeyPath, suspected: tuple[PiiDetector, ...]) -> Iterator[ExampleIssue]:
    counts: dict[FindingCode, int] = {}
    for match in find_pii(text, suspected):
        counts[match.code] = counts.get(match.code, 0) + 1
    for code, count in counts.items():
        yield ExampleIssue(
            code, key_path, f"the text contains {PII_LABELS[code]}" + (f", {count} times" if count > 1 else "")
        )


def check_artifacts(texts: list[MessageText], line: bytes) -> Iterator[ExampleIssue]:
    """Yield a warning for reasoning blocks in answers and images in texts. `line` is the canonical form."""
    if b"<" not in line and (line.count(b"[") == 1 or (b"![" not in line and b"THINK]" not in line)):
        return  # one bracket: that of the messages
    for role, text, key_path in texts:
        if role == "assistant" and (thinking := _REASONING_TAG.search(text)):
            yield ExampleIssue(FindingCode.REASONING_BLOCK, key_path, f"the answer contains {thinking[0]}")
        if role != "system" and (image := _IMAGE_MARKUP.search(text)):
            shown = image[0] if len(image[0]) <= MAX_SHOWN_CHARACTERS else f"{image[0][:MAX_SHOWN_CHARACTERS]}…"
            yield ExampleIssue(FindingCode.PICTURE_IN_TEXT, key_path, f"the text contains {shown}")


def check_equal_answers(body: ExampleBody) -> Iterator[ExampleIssue]:
    """Yield a warning for a preference pair with two equal answers."""
    preferred = body.get("preferred_output")
    if "messages" not in body and preferred is not None and preferred == body.get("non_preferred_output"):
        yield ExampleIssue(
            FindingCode.EQUAL_ANSWERS, ("non_preferred_output",), "both answers of the pair are the same"
        )

"""Personal data and secrets in a text: how they look. Used by the check, which names them, and by polish."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from orchestrator.dataset.codes import Code

_KEY = re.compile(
    r"\b(?:sk-(?:proj-|ant-|or-)?[A-Za-z0-9_-]{20,}"  # OpenAI and those who imitate it
    r"|AKIA[0-9A-Z]{16}"  # Amazon
    r"|AIza[0-9A-Za-z_-]{35}"  # Google
    r"|gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,}|glpat-[A-Za-z0-9_-]{20,}"
    r"|xox[abposr]-[A-Za-z0-9-]{10,}"  # Slack
    r"|[sr]k_live_[A-Za-z0-9]{20,}"  # Stripe
    r"|hf_[A-Za-z0-9]{30,}"  # Hugging Face
    r"|eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,})"  # a JSON web token
    r"|-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----(?:[\s\S]*?-----END (?:[A-Z]+ )*PRIVATE KEY-----)?"
)
_ASSIGNED = re.compile(
    r"(?i)\b(?:api[_ -]?key|access[_ -]?token|client[_ -]?secret|password|passwd)\b['\"]?\s*(?:[:=]|\bis\b)\s*"
    r"['\"]?(?P<value>(?=[^\s'\"]*\d)(?=[^\s'\"]*[A-Za-z])[^\s'\",;]{8,})"
)
_EMAIL = re.compile(r"\b[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}\b")
_PHONE = re.compile(
    r"(?<![\w.,/-])(?<!\d )(?:\+\d{1,3}[ .-]?)?(?:\(\d{1,5}\)[ .-]?)?\d{2,5}(?:[ .-]?\d{2,5}){1,5}(?![\w-]|[.,/]\d)"
)
_AMERICAN = re.compile(r"[2-9]\d{2}[ .-]\d{3}[ .-]\d{4}")
_NO_PHONE = re.compile(r"\d{1,2}[-.]\d{1,2}[-.]\d{4}|(?:\d{1,3}\.){3}\d{1,3}")  # a date, an internet address
_SAFE_MAIL = re.compile(
    r"@(?:[\w-]+\.)*example(?:\.(?:com|org|net|edu))?$|\.(?:example|invalid|test)$", re.IGNORECASE
)

# Quick looks that spare the patterns above: most texts hold none of these.
_KEY_STARTS = (
    "sk-",
    "AKIA",
    "AIza",
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "xox",
    "k_live_",
    "hf_",
    "eyJ",
    "PRIVATE KEY",
)
_KEY_STARTS_UTF8 = tuple(start.encode() for start in _KEY_STARTS)
_DIGITS = re.compile(rb"[0-9]")
_DIGIT = re.compile(r"[0-9]")
_MANY_DIGITS = re.compile(r"[0-9][0-9 ().-]{7,}[0-9]")


@dataclass(frozen=True, slots=True)
class Private:
    """A piece of text that should not be there: `text[start:end]`."""

    code: Code
    start: int
    end: int


def may_be_private(line: bytes) -> bool:
    """A quick look at a whole example in JSON, which spares most of them the closer one."""
    return b"@" in line or _DIGITS.search(line) is not None or any(start in line for start in _KEY_STARTS_UTF8)


def private(text: str) -> Iterator[Private]:
    """Everything in the text that looks like a key, an e-mail address or a telephone number."""
    if any(start in text for start in _KEY_STARTS):
        for match in _KEY.finditer(text):
            yield Private(Code.SECRET, match.start(), match.end())
    if "@" in text:
        for match in _EMAIL.finditer(text):
            if not _SAFE_MAIL.search(match[0]):
                yield Private(Code.EMAIL_ADDRESS, match.start(), match.end())
    if _DIGIT.search(text):
        yield from _with_digits(text)


def _with_digits(text: str) -> Iterator[Private]:
    for match in _ASSIGNED.finditer(text):
        yield Private(Code.SECRET, match.start("value"), match.end("value"))
    if _MANY_DIGITS.search(text):
        for match in _PHONE.finditer(text):
            if _is_phone(match[0]):
                yield Private(Code.PHONE_NUMBER, match.start(), match.end())


def _is_phone(text: str) -> bool:
    """9 to 15 digits that begin as numbers do, with +, 0 or a bracket, or are grouped as in North America."""
    digits = sum(char.isdigit() for char in text)
    begins = text[0] in "+0(" or _AMERICAN.fullmatch(text) is not None
    return 9 <= digits <= 15 and begins and not _NO_PHONE.fullmatch(text)


def redacted(text: str) -> str:
    """The text with `[key]`, `[e-mail]` and `[phone]` in place of what is private. Doing it again changes nothing."""
    labels = {Code.SECRET: "[key]", Code.EMAIL_ADDRESS: "[e-mail]", Code.PHONE_NUMBER: "[phone]"}
    pieces, done = [], 0
    for found in sorted(private(text), key=lambda one: (one.start, -one.end)):
        if found.start >= done:
            pieces += [text[done : found.start], labels[found.code]]
            done = found.end
    return "".join(pieces) + text[done:]

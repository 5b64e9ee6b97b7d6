"""Detects personal data and secrets in texts. The check reports them, polish and excerpts redact them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from orchestrator.core.structs import Struct
from orchestrator.dataset.finding_codes import FindingCode

_KEY = re.compile(
    r"\b(?:sk-(?:proj-|ant-|or-)?[A-Za-z0-9_-]{20,}"  # OpenAI and providers with the same prefix
    r"|AKIA[0-9A-Z]{16}"  # Amazon
    r"|AIza[0-9A-Za-z_-]{35}"  # Google
    r"|gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,}|glpat-[A-Za-z0-9_-]{20,}"
    r"|xox[abposr]-[A-Za-z0-9-]{10,}"  # Slack
    r"|[sr]k_live_[A-Za-z0-9]{20,}"  # Stripe
    r"|hf_[A-Za-z0-9]{30,}"  # Hugging Face
    r"|eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,})"  # a JSON web token
    r"|-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----(?:[\s\S]*?-----END (?:[A-Z]+ )*PRIVATE KEY-----)?"
)
_ASSIGNED_SECRET = re.compile(
    r"(?i)\b(?:api[_ -]?key|access[_ -]?token|client[_ -]?secret|password|passwd)\b['\"]?\s*(?:[:=]|\bis\b)\s*"
    r"['\"]?(?P<value>(?=[^\s'\"]*\d)(?=[^\s'\"]*[A-Za-z])[^\s'\",;]{8,})"
)
_EMAIL = re.compile(r"\b[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}\b")
_PHONE = re.compile(
    r"(?<![\w.,/-])(?<!\d )(?:\+\d{1,3}[ .-]?)?(?:\(\d{1,5}\)[ .-]?)?\d{2,5}(?:[ .-]?\d{2,5}){1,5}(?![\w-]|[.,/]\d)"
)
_AMERICAN_PHONE = re.compile(r"[2-9]\d{2}[ .-]\d{3}[ .-]\d{4}")
_NOT_PHONE = re.compile(r"\d{1,2}[-.]\d{1,2}[-.]\d{4}|(?:\d{1,3}\.){3}\d{1,3}")  # a date, an internet address
_EXAMPLE_EMAIL = re.compile(
    r"@(?:[\w-]+\.)*example(?:\.(?:com|org|net|edu))?$|\.(?:example|invalid|test)$", re.IGNORECASE
)

_DIGIT = re.compile(r"\d")
_GITHUB_PREFIX = re.compile(rb"gh[pousr]_")
_DIGIT_TABLE = bytes.maketrans(b"123456789 ().-", b"0" * 14)
_LONG_NUMBER = b"0" * 9


class PiiMatch(Struct, frozen=True):
    """Personal data or a secret at `text[start:end]`."""

    code: FindingCode
    start: int
    end: int


class PiiDetector(NamedTuple):
    """Finds one kind of personal data or secret."""

    may_find: Callable[[bytes], bool]  # fast, for a text in UTF-8 or a whole example; False: there is nothing to find
    find: Callable[[str], Iterator[PiiMatch]]


def select_detectors(example: bytes) -> tuple[PiiDetector, ...]:
    """Select the detectors that could match in a JSON example. Fast, and empty for most examples."""
    return tuple([detector for detector in _DETECTORS if detector.may_find(example)])


def find_pii(text: str, detectors: Iterable[PiiDetector] | None = None) -> Iterator[PiiMatch]:
    """Find everything in the text that may be a key, an e-mail address or a telephone number.

    `detectors` limits the search to those that `select_detectors` returned for the whole example.
    """
    raw = text.encode("utf-8", "surrogatepass")
    for detector in _DETECTORS if detectors is None else detectors:
        if detector.may_find(raw):
            yield from detector.find(text)


def _may_hold_key(text: bytes) -> bool:
    if b"_" in text and (
        b"_live_" in text or b"hf_" in text or b"github_pat_" in text or _GITHUB_PREFIX.search(text)
    ):
        return True
    # The search for a rare character first is ten times as fast as the one for several.
    return (
        (b"-" in text and (b"sk-" in text or b"glpat-" in text or b"xox" in text))
        or (b"K" in text and (b"AKIA" in text or b"PRIVATE KEY" in text))
        or (b"J" in text and b"eyJ" in text)
        or (b"z" in text and b"AIza" in text)
    )


def _may_hold_assignment(text: bytes) -> bool:
    text = text.lower()
    return (
        b"passw" in text
        or (b"key" in text and b"api" in text)
        or (b"token" in text and b"access" in text)
        or (b"secret" in text and b"client" in text)
    )


def _may_hold_email(text: bytes) -> bool:
    return b"@" in text


def _may_hold_phone(text: bytes) -> bool:
    return _LONG_NUMBER in text.translate(_DIGIT_TABLE)


def _find_keys(text: str) -> Iterator[PiiMatch]:
    for match in _KEY.finditer(text):
        yield PiiMatch(FindingCode.SECRET, match.start(), match.end())


def _find_assignments(text: str) -> Iterator[PiiMatch]:
    if not _DIGIT.search(text):
        return  # as in most questions about passwords: a value has a digit
    for match in _ASSIGNED_SECRET.finditer(text):
        yield PiiMatch(FindingCode.SECRET, match.start("value"), match.end("value"))


def _find_emails(text: str) -> Iterator[PiiMatch]:
    for match in _EMAIL.finditer(text):
        if not _EXAMPLE_EMAIL.search(match[0]):
            yield PiiMatch(FindingCode.EMAIL_ADDRESS, match.start(), match.end())


def _find_phones(text: str) -> Iterator[PiiMatch]:
    for match in _PHONE.finditer(text):
        if _is_phone(match[0]):
            yield PiiMatch(FindingCode.PHONE_NUMBER, match.start(), match.end())


_DETECTORS = (
    PiiDetector(_may_hold_key, _find_keys),
    PiiDetector(_may_hold_email, _find_emails),
    PiiDetector(_may_hold_assignment, _find_assignments),
    PiiDetector(_may_hold_phone, _find_phones),
)


def _is_phone(text: str) -> bool:
    """Whether it has 9 to 15 digits, and starts with +, 0 or a bracket or is grouped as in North America."""
    digits = sum(char.isdigit() for char in text)
    has_phone_start = text[0] in "+0(" or _AMERICAN_PHONE.fullmatch(text) is not None
    return 9 <= digits <= 15 and has_phone_start and not _NOT_PHONE.fullmatch(text)


def redact_text(text: str) -> str:
    """Return the text with `[key]`, `[e-mail]` and `[phone]` in place of personal data and secrets. Idempotent."""
    labels = {FindingCode.SECRET: "[key]", FindingCode.EMAIL_ADDRESS: "[e-mail]", FindingCode.PHONE_NUMBER: "[phone]"}
    pieces, done = [], 0
    for match in sorted(find_pii(text), key=lambda match: (match.start, -match.end)):
        if match.start >= done:
            pieces += [text[done : match.start], labels[match.code]]
            done = match.end
    return "".join(pieces) + text[done:]

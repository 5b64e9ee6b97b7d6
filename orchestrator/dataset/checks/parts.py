"""Content in parts: texts and, from the user, images."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from orchestrator.dataset.checks.keys import typed, wrong_keys
from orchestrator.dataset.codes import Code
from orchestrator.dataset.example import Fault, Steps

KEYS: dict[str, dict[str, type]] = {
    "text": {"type": str, "text": str},
    "image_url": {"type": str, "image_url": dict},
    "refusal": {"type": str, "refusal": str},
}
ROLE_PARTS = {"user": ("text", "image_url"), "assistant": ("text", "refusal")}
DETAILS = ("auto", "low", "high")
_ADDRESS = re.compile(r"https?://[^\s/]+\S*|data:image/(?:png|jpeg|webp|gif);base64,[A-Za-z0-9+/]+={0,2}")


def part_errors(parts: list[Any], role: object, steps: Steps) -> Iterator[Fault]:
    """Every error of the parts, except in their texts."""
    if not parts:
        yield Fault(Code.EMPTY_CONTENT, steps, "the content has no parts")
    for index, part in enumerate(parts):
        place = (*steps, index)
        if not isinstance(part, dict):
            yield Fault(Code.WRONG_TYPE, place, f"a part must be an object, not {typed(part)}")
        else:
            yield from _part(part, role, place)


def _part(part: dict[str, Any], role: object, steps: Steps) -> Iterator[Fault]:
    kind = part.get("type")
    if not isinstance(kind, str) or kind not in KEYS:
        yield Fault(Code.WRONG_TYPE, steps, f"the part's type is {str(kind)[:40]!r}", "Use text or image_url.")
        return
    yield from wrong_keys(part, KEYS[kind], tuple(KEYS[kind]), steps)
    allowed = ROLE_PARTS.get(role, ("text",)) if isinstance(role, str) else tuple(KEYS)
    if kind == "image_url" and kind not in allowed:
        yield Fault(Code.BAD_IMAGE, steps, f"an image in a message of the {role}")
    elif kind not in allowed:
        yield Fault(Code.WRONG_TYPE, steps, f"a part of type {kind!r} in a message of the {role}")
    if kind == "image_url" and isinstance(image := part.get("image_url"), dict):
        yield from _image(image, (*steps, "image_url"))


def _image(image: dict[str, Any], steps: Steps) -> Iterator[Fault]:
    yield from wrong_keys(image, {"url": str, "detail": str}, ("url",), steps)
    url, detail = image.get("url"), image.get("detail")
    if isinstance(url, str) and not _ADDRESS.fullmatch(url):
        yield Fault(Code.BAD_IMAGE, (*steps, "url"), f"the address {url[:40]!r} is not one of an image")
    if isinstance(detail, str) and detail not in DETAILS:
        yield Fault(Code.BAD_IMAGE, (*steps, "detail"), f"the detail is {detail[:40]!r}", "Use auto, low or high.")

"""Content in parts: texts and, from the user, images."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from orchestrator.dataset.checks.keys import check_keys, describe_type
from orchestrator.dataset.codes import FindingCode
from orchestrator.dataset.example import ExampleIssue, PathSteps

PART_KEYS: dict[str, dict[str, type]] = {
    "text": {"type": str, "text": str},
    "image_url": {"type": str, "image_url": dict},
    "refusal": {"type": str, "refusal": str},
}
PART_TYPES_BY_ROLE = {"user": ("text", "image_url"), "assistant": ("text", "refusal")}
IMAGE_DETAILS = ("auto", "low", "high")
_IMAGE_URL = re.compile(r"https?://[^\s/]+\S*|data:image/(?:png|jpeg|webp|gif);base64,[A-Za-z0-9+/]+={0,2}")


def check_parts(parts: list[Any], role: object, steps: PathSteps) -> Iterator[ExampleIssue]:
    """Every error of the parts, except in their texts."""
    if not parts:
        yield ExampleIssue(FindingCode.EMPTY_CONTENT, steps, "the content has no parts")
    for index, part in enumerate(parts):
        place = (*steps, index)
        if not isinstance(part, dict):
            yield ExampleIssue(FindingCode.WRONG_TYPE, place, f"a part must be an object, not {describe_type(part)}")
        else:
            yield from _check_part(part, role, place)


def _check_part(part: dict[str, Any], role: object, steps: PathSteps) -> Iterator[ExampleIssue]:
    kind = part.get("type")
    if not isinstance(kind, str) or kind not in PART_KEYS:
        yield ExampleIssue(
            FindingCode.WRONG_TYPE, steps, f"the part's type is {str(kind)[:40]!r}", "Use text or image_url."
        )
        return
    yield from check_keys(part, PART_KEYS[kind], tuple(PART_KEYS[kind]), steps)
    allowed = PART_TYPES_BY_ROLE.get(role, ("text",)) if isinstance(role, str) else tuple(PART_KEYS)
    if kind == "image_url" and kind not in allowed:
        yield ExampleIssue(FindingCode.BAD_IMAGE, steps, f"an image in a message of the {role}")
    elif kind not in allowed:
        yield ExampleIssue(FindingCode.WRONG_TYPE, steps, f"a part of type {kind!r} in a message of the {role}")
    if kind == "image_url" and isinstance(image := part.get("image_url"), dict):
        yield from _check_image(image, (*steps, "image_url"))


def _check_image(image: dict[str, Any], steps: PathSteps) -> Iterator[ExampleIssue]:
    yield from check_keys(image, {"url": str, "detail": str}, ("url",), steps)
    url, detail = image.get("url"), image.get("detail")
    if isinstance(url, str) and not _IMAGE_URL.fullmatch(url):
        yield ExampleIssue(FindingCode.BAD_IMAGE, (*steps, "url"), f"the address {url[:40]!r} is not one of an image")
    if isinstance(detail, str) and detail not in IMAGE_DETAILS:
        yield ExampleIssue(
            FindingCode.BAD_IMAGE, (*steps, "detail"), f"the detail is {detail[:40]!r}", "Use auto, low or high."
        )

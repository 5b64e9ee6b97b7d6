"""SillyTavern's `extra`: what hangs on a message beside its text. The training format has no place for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_MEDIA_NAMES = {"image": "picture", "video": "video", "audio": "recording"}


def list_attachments(extra: Any) -> Iterator[str]:
    """Name each thing that is left out with a message: pictures, recordings, files, and a model's reasoning.

    Older versions keep one picture in `image` or several in `image_swipes`, newer ones everything in `media`.
    """
    if not isinstance(extra, dict):
        return
    shown = extra.get("image_swipes") or [extra.get("image")]
    media = extra.get("media") or []
    if not media:
        yield from ("picture" for one in (shown if isinstance(shown, list) else [shown]) if one)
        yield from (name for key, name in _MEDIA_NAMES.items() if key != "image" and extra.get(key))
    for one in media if isinstance(media, list) else [media]:
        yield _MEDIA_NAMES.get(str(one.get("type")), "attachment") if isinstance(one, dict) else "attachment"
    files = extra.get("files") or [extra.get("file")]
    yield from ("file" for one in (files if isinstance(files, list) else [files]) if one)
    if isinstance(reasoning := extra.get("reasoning"), str) and reasoning.strip():
        yield "reasoning"

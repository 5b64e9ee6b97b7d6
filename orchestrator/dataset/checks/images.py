"""Finds the images of an example, and their type, size and reachability by their URL alone. Nothing is fetched."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from orchestrator.dataset.checks.text_walk import iter_messages
from orchestrator.dataset.example import ExampleBody, KeyPath

_DATA_URL = re.compile(r"data:image/([a-z0-9.+-]+);base64,", re.IGNORECASE)
_SUPPORTED_URL = re.compile(r"https?://|data:image/")
_IMAGE_TYPE_BY_SUFFIX = {"jpg": "jpeg", "jpeg": "jpeg", "png": "png", "webp": "webp", "gif": "gif", "bmp": "bmp"}
_IMAGE_TYPE_BY_SUFFIX |= {"svg": "svg", "tif": "tiff", "tiff": "tiff", "avif": "avif", "heic": "heic"}
_IMAGE_SIGNATURES = ((b"\x89PNG", "png"), (b"\xff\xd8\xff", "jpeg"), (b"GIF8", "gif"), (b"BM", "bmp"))
_LOCAL_DOMAINS = (".local", ".localhost", ".internal", ".lan", ".home.arpa")


@dataclass(frozen=True)
class ImageReference:
    """One image of an example."""

    url: str  # http(s) or data:
    key_path: KeyPath  # of the URL in the body

    @cached_property
    def _data_url_match(self) -> re.Match[str] | None:
        return _DATA_URL.match(self.url)

    @property
    def is_embedded(self) -> bool:
        """Whether the URL is a data: URL with the image."""
        return self._data_url_match is not None

    @property
    def image_type(self) -> str | None:
        """The type by the first bytes, else the declared type, else the suffix of the URL; None if unknown."""
        if self._data_url_match is None:
            ending = urlsplit(self.url).path.rpartition(".")[2].lower()
            return _IMAGE_TYPE_BY_SUFFIX.get(ending)
        declared = self._data_url_match[1].lower()
        return _detect_image_type(self.url, self._data_url_match.end()) or _IMAGE_TYPE_BY_SUFFIX.get(
            declared, declared
        )

    @property
    def size_bytes(self) -> int:
        """The size of an embedded image in bytes; 0 for a URL that would have to be fetched."""
        if self._data_url_match is None:
            return 0
        digits = len(self.url) - self._data_url_match.end()
        return digits * 3 // 4 - self.url[-2:].count("=")

    @property
    def is_public(self) -> bool:
        """Whether a provider can reach the image: it is embedded, or its host is not local or private."""
        if self.is_embedded:
            return True
        try:
            host = urlsplit(self.url).hostname or ""
        except ValueError:
            return False
        try:
            return ipaddress.ip_address(host).is_global
        except ValueError:
            return "." in host.strip(".") and not f".{host}".endswith(_LOCAL_DOMAINS)


def iter_images(body: ExampleBody) -> Iterator[ImageReference]:
    """Yield every image with a supported URL. `messages` reports the others."""
    for message, key_path in iter_messages(body):
        content = message.get("content")
        for index, part in enumerate(content) if isinstance(content, list) else ():
            if (url := _get_url(part)) is not None and _SUPPORTED_URL.match(url):
                yield ImageReference(url, (*key_path, "content", index, "image_url", "url"))


def _get_url(part: Any) -> str | None:
    image = part.get("image_url") if isinstance(part, dict) else None
    url = image.get("url") if isinstance(image, dict) else None
    return url if isinstance(url, str) else None


def _detect_image_type(url: str, start: int) -> str | None:
    """Detect the type by the first bytes, because the declared type may be wrong: a renamed GIF stays a GIF."""
    try:
        first = base64.b64decode(url[start : start + 16])
    except (binascii.Error, ValueError):
        return None
    if first[:4] == b"RIFF" and first[8:12] == b"WEBP":
        return "webp"
    return next((name for magic, name in _IMAGE_SIGNATURES if first.startswith(magic)), None)

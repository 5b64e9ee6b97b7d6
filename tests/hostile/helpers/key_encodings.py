"""Every form in which somebody may repeat a key."""

from __future__ import annotations

import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import quote


def _escape(form: str) -> Callable[[str], str]:
    return lambda key: "".join(form.format(ord(character)) for character in key)


ENCODINGS: Final[Mapping[str, Callable[[str], str]]] = {
    "whole": str,
    "first half": lambda key: key[: len(key) // 2],
    "second half": lambda key: key[len(key) // 2 :],
    "upper case": str.upper,
    "lower case": str.lower,
    "base64": lambda key: b64encode(key.encode()).decode(),
    "base64 of a header": lambda key: b64encode(f"Bearer {key}".encode()).decode(),
    "base64 for URLs": lambda key: urlsafe_b64encode(f"a:{key}".encode()).decode().rstrip("="),
    "base64 of a half": lambda key: b64encode(key[: len(key) // 2].encode()).decode(),
    "base64, percent-encoded": lambda key: quote(b64encode(key.encode()).decode(), safe=""),
    "percent-encoded": _escape("%{:02X}"),
    "percent-encoded twice": _escape("%25{:02x}"),
    "percent-encoded in part": lambda key: key.replace("-", "%2D").replace("_", "%5F"),
    "hexadecimal": lambda key: key.encode().hex(),
    "hexadecimal in upper case": lambda key: key.encode().hex(" ").upper(),
    "escapes of JSON": _escape("\\u{:04x}"),
    "escapes of Python": _escape("\\x{:02x}"),
    "references of HTML": _escape("&#{};"),
    "JSON in JSON": lambda key: json.dumps(json.dumps(_escape("\\u{:04x}")(key))),
}

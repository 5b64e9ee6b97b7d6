"""Canonical JSONL: the same bytes for the same examples, on every machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from orchestrator.dataset.example import Body

_encode = msgspec.json.Encoder().encode
_FIRST = {"role": 0, "content": 1}


def canonical(body: Body) -> bytes:
    """One line: UTF-8 unescaped, no spaces, role and content first and every other key sorted, a line feed."""
    return _encode(_ordered(body)) + b"\n"


def _ordered(value: Any) -> Any:
    if isinstance(value, Mapping):
        keys = sorted(value, key=lambda key: (_FIRST.get(key, 2), key))
        return {key: _ordered(value[key]) for key in keys}
    if isinstance(value, list):
        return [_ordered(item) for item in value]
    return value

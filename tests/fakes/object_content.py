"""The content of an object in the fakes of buckets: kept, or only counted and hashed if it is larger than memory."""

from __future__ import annotations

import base64
import hashlib
from copy import copy
from typing import Self


class ObjectContent:
    """Bytes that arrive in pieces."""

    def __init__(self, *, keep: bool) -> None:
        self.size = 0
        self._kept = bytearray() if keep else None
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha256 = hashlib.sha256()

    def append(self, data: bytes) -> None:
        self.size += len(data)
        self._md5.update(data)
        self._sha256.update(data)
        if self._kept is not None:
            self._kept += data

    def fork(self) -> Self:
        """A copy that takes more bytes, so that a part which breaks off leaves nothing behind."""
        forked = copy(self)
        forked._kept = None if self._kept is None else bytearray(self._kept)
        forked._md5, forked._sha256 = self._md5.copy(), self._sha256.copy()
        return forked

    @property
    def content(self) -> bytes:
        """The bytes; empty if they are not kept."""
        return bytes(self._kept or b"")

    @property
    def md5(self) -> str:
        return base64.b64encode(self._md5.digest()).decode()

    @property
    def sha256(self) -> bytes:
        return self._sha256.digest()

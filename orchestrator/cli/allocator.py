"""Allocator: how the C library keeps what is given back to it."""

from __future__ import annotations

import ctypes
from typing import Final

M_MMAP_THRESHOLD: Final = -3  # mallopt(3)
MMAP_THRESHOLD_BYTES: Final = 128 * 1024  # bytes; where glibc begins


def set_mmap_threshold() -> None:
    """Have large blocks go back to the system for good; elsewhere than on glibc nothing happens.

    asyncio receives into 256 KB at a time. Once one was given back, glibc would take them from the heap, where the
    few bytes that remain of each keep the next ones from fitting: 3 MB within seconds.
    """
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES)

"""Large blocks go back to the system, where the C library can be told so."""

from __future__ import annotations

import ctypes

import pytest

from orchestrator.system.memory import M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES, set_mmap_threshold


class Library:
    """A C library that can be told."""

    def __init__(self) -> None:
        self.told: list[tuple[int, int]] = []

    def mallopt(self, what: int, value: int) -> int:
        self.told.append((what, value))
        return 1


def test_glibc_receives_the_threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    library = Library()
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: library)

    set_mmap_threshold()

    assert library.told == [(M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES)]


def test_other_libraries_are_not_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: object())

    set_mmap_threshold()

"""Shape: a chat in the providers' shape, with the way back to what was on disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.dataset.example import Body, Fault, Steps


def same(steps: Steps) -> Steps:
    """The way back where nothing was moved."""
    return steps


@dataclass(frozen=True, slots=True)
class Shape:
    """`body` is what a provider reads. `back` turns steps in it into steps in the source value.

    `faults` are what could not be translated; their steps are the source's.
    """

    format: str
    body: Body
    back: Callable[[Steps], Steps] = same
    faults: tuple[Fault, ...] = ()

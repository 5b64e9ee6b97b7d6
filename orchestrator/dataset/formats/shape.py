"""Shape: a chat in the providers' shape, with the way back to what was on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.dataset.example import Body, Fault, Steps


def same(steps: Steps) -> Steps:
    """The way back where nothing was moved."""
    return steps


@dataclass(frozen=True, slots=True)
class Shape:
    """`body` is what a provider reads. `back` turns steps in it into steps in the source value.

    `faults` are what could not be translated; their steps are the source's. `left_out` names what the providers'
    shape has no place for. `user` is the user's name where the source says it.
    """

    format: str
    body: Body
    back: Callable[[Steps], Steps] = same
    faults: tuple[Fault, ...] = ()
    left_out: tuple[str, ...] = ()
    user: str = ""


class Turns:
    """Messages in the making: each remembers the source value that its text came from."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self._origins: list[Steps] = []

    def add(self, role: str, content: object, origin: Steps) -> None:
        """One more message."""
        self.messages.append({"role": role, "content": content})
        self._origins.append(origin)

    def back(self, steps: Steps) -> Steps:
        """`("messages", 3, …)` to where that text stood; a text has no deeper place."""
        match steps:
            case (_, int(index), *_):
                return self._origins[index]
            case _:
                return ()


def other_keys(value: Mapping[str, Any], known: Iterable[str]) -> tuple[str, ...]:
    """What is left out of an object when only the known keys are read."""
    return tuple(f'key "{key}"' for key in value if key not in known)

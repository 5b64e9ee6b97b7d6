"""Shape: a chat in the providers' shape, with the way back to what was on disk; and what a format declares."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

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


@dataclass(frozen=True, slots=True)
class Format:
    """A format that is read: what docs/reference/formats.md says of it, and its reader.

    `example` is the text of a whole file. `read` returns None where the value is in another format; of an export,
    whose file is one chat, it takes the list of all lines.
    """

    name: str
    description: str
    example: str
    read: Callable[[Any], Shape | None]


class Placed(NamedTuple):
    """A message and where it stood. `keys` are its keys there, where they differ; None where only a text stood."""

    message: Any
    origin: Steps
    keys: Mapping[str, str] | None = None

    def back(self, inner: Sequence[str | int]) -> Steps:
        """Where something in the message stood in the source; a text has no deeper place."""
        first, *rest = inner or ("",)
        if self.keys is None or not first:
            return self.origin
        return (*self.origin, self.keys.get(str(first), first), *rest)


class Turns:
    """Messages in the making: each remembers the source value that it came from."""

    def __init__(self, placed: Iterable[Placed] = ()) -> None:
        self.placed = list(placed)

    @property
    def messages(self) -> list[Any]:
        """The messages themselves."""
        return [one.message for one in self.placed]

    def add(self, role: str, content: object, origin: Steps, **more: object) -> None:
        """Add a message whose text stands at `origin`."""
        self.placed.append(Placed({"role": role, "content": content, **more}, origin))

    def back(self, steps: Steps) -> Steps:
        """`("messages", 3, …)` to where that stood."""
        match steps:
            case (_, int(index), *inner):
                return self.placed[index].back(inner)
            case _:
                return ()


def other_keys(value: Mapping[str, Any], known: Iterable[str]) -> tuple[str, ...]:
    """What is left out of an object when only the known keys are read."""
    return tuple(f'key "{key}"' for key in value if key not in known)

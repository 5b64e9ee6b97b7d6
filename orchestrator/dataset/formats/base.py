"""Shape: a chat in the providers' shape, with the way back to what was on disk; and what a format declares."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from orchestrator.dataset.example import ExampleBody, ExampleIssue, PathSteps


def identity_path(steps: PathSteps) -> PathSteps:
    """The way back where nothing was moved."""
    return steps


@dataclass(frozen=True, slots=True)
class ParsedChat:
    """`body` is what a provider reads. `back` turns steps in it into steps in the source value.

    `faults` are what could not be translated; their steps are the source's. `left_out` names what the providers'
    shape has no place for. `user` is the user's name where the source says it.
    """

    format: str
    body: ExampleBody
    to_source: Callable[[PathSteps], PathSteps] = identity_path
    issues: tuple[ExampleIssue, ...] = ()
    left_out: tuple[str, ...] = ()
    user_name: str = ""


@dataclass(frozen=True, slots=True)
class ChatFormat:
    """A format that is read: what docs/reference/formats.md says of it, and its reader.

    `example` is the text of a whole file. `read` returns None where the value is in another format; of an export,
    whose file is one chat, it takes the list of all lines.
    """

    name: str
    description: str
    example: str
    parse: Callable[[Any], ParsedChat | None]


class PlacedMessage(NamedTuple):
    """A message and where it stood. `keys` are its keys there, where they differ; None where only a text stood."""

    message: Any
    origin: PathSteps
    keys: Mapping[str, str] | None = None

    def to_source(self, inner: Sequence[str | int]) -> PathSteps:
        """Where something in the message stood in the source; a text has no deeper place."""
        first, *rest = inner or ("",)
        if self.keys is None or not first:
            return self.origin
        return (*self.origin, self.keys.get(str(first), first), *rest)


class MessageBuilder:
    """Messages in the making: each remembers the source value that it came from."""

    def __init__(self, placed: Iterable[PlacedMessage] = ()) -> None:
        self.placed = list(placed)

    @property
    def messages(self) -> list[Any]:
        """The messages themselves."""
        return [one.message for one in self.placed]

    def add(self, role: str, content: object, origin: PathSteps, **more: object) -> None:
        """Add a message whose text stands at `origin`."""
        self.placed.append(PlacedMessage({"role": role, "content": content, **more}, origin))

    def to_source(self, steps: PathSteps) -> PathSteps:
        """`("messages", 3, …)` to where that stood."""
        match steps:
            case (_, int(index), *inner):
                return self.placed[index].to_source(inner)
            case _:
                return ()


def list_other_keys(value: Mapping[str, Any], known: Iterable[str]) -> tuple[str, ...]:
    """What is left out of an object when only the known keys are read."""
    return tuple(f'key "{key}"' for key in value if key not in known)

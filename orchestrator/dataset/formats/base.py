"""Shape: a chat in the providers' shape, with the way back to what was on disk; and what a format declares."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from orchestrator.dataset.example import ExampleBody, ExampleIssue, KeyPath


def identity_path(key_path: KeyPath) -> KeyPath:
    """The way back where nothing was moved."""
    return key_path


@dataclass(frozen=True, slots=True)
class ParsedChat:
    """`body` is what a provider reads. `back` turns key_path in it into key_path in the source value.

    `issues` are what could not be translated; their key_path are the source's. `left_out` names what the providers'
    shape has no place for. `user` is the user's name where the source says it.
    """

    format: str
    body: ExampleBody
    to_source: Callable[[KeyPath], KeyPath] = identity_path
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
    origin: KeyPath
    keys: Mapping[str, str] | None = None

    def to_source(self, inner: Sequence[str | int]) -> KeyPath:
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

    def add(self, role: str, content: object, origin: KeyPath, **more: object) -> None:
        """Add a message whose text stands at `origin`."""
        self.placed.append(PlacedMessage({"role": role, "content": content, **more}, origin))

    def to_source(self, key_path: KeyPath) -> KeyPath:
        """`("messages", 3, …)` to where that stood."""
        match key_path:
            case (_, int(index), *inner):
                return self.placed[index].to_source(inner)
            case _:
                return ()


def list_other_keys(value: Mapping[str, Any], known: Iterable[str]) -> tuple[str, ...]:
    """What is left out of an object when only the known keys are read."""
    return tuple(f'key "{key}"' for key in value if key not in known)

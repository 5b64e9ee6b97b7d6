"""The base of all formats: the parsed chat, the declaration of a format, and a builder of messages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from orchestrator.core.structs import Struct
from orchestrator.dataset.example import ExampleBody, ExampleIssue, KeyPath


def identity_path(key_path: KeyPath) -> KeyPath:
    """Return the key path unchanged, for a chat that is already in the providers' format."""
    return key_path


class ParsedChat(Struct, frozen=True):
    """A chat in the providers' format, with the way back to the source value."""

    format: str  # name of the format that it was read in
    body: ExampleBody
    to_source: Callable[[KeyPath], KeyPath] = identity_path  # turns a key path of `body` into one of the source value
    issues: tuple[ExampleIssue, ...] = ()  # what could not be converted; their key paths are those of the source
    left_out: tuple[str, ...] = ()  # data that is not part of the training format, by kind
    user_name: str = ""  # the user's name, if the source gives it


class ChatFormat(Struct, frozen=True):
    """A supported format: its entry in docs/reference/formats.md, and its parser."""

    name: str  # public: counted in the summary under this name
    description: str  # Markdown
    example: str  # the text of a whole file
    parse: Callable[[Any], ParsedChat | None]
    """Returns None for a value in another format. The parser of an export gets the list of its lines."""


class PlacedMessage(NamedTuple):
    """A message with its origin in the source value."""

    message: Any
    origin: KeyPath  # of the message, or of its text
    keys: Mapping[str, str] | None = None  # source keys by message key, where they differ; None: the origin is a text

    def to_source(self, inner: Sequence[str | int]) -> KeyPath:
        """Return the source key path of a value in the message. A text has no inner values."""
        first, *rest = inner or ("",)
        if self.keys is None or not first:
            return self.origin
        return (*self.origin, self.keys.get(str(first), first), *rest)


class MessageBuilder:
    """Builds a list of messages and remembers the origin of each."""

    def __init__(self, placed: Iterable[PlacedMessage] = ()) -> None:
        self.placed = list(placed)

    @property
    def messages(self) -> list[Any]:
        """The messages without their origins."""
        return [placed.message for placed in self.placed]

    def add(self, role: str, content: object, origin: KeyPath, **more: object) -> None:
        """Add a message whose text is at `origin` in the source."""
        self.placed.append(PlacedMessage({"role": role, "content": content, **more}, origin))

    def to_source(self, key_path: KeyPath) -> KeyPath:
        """Turn `("messages", 3, …)` into the key path of the source."""
        match key_path:
            case (_, int(index), *inner):
                return self.placed[index].to_source(inner)
            case _:
                return ()


def list_other_keys(value: Mapping[str, Any], known: Iterable[str]) -> tuple[str, ...]:
    """List the keys of an object that are not read, as kinds of left-out data."""
    return tuple(f'key "{key}"' for key in value if key not in known)

"""Polishing: the repairs of a whole dataset, as a diff first, and into another folder when asked."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import unified_diff
from hashlib import blake2b
from pathlib import Path, PurePosixPath

from orchestrator.core.account import ProviderName
from orchestrator.core.errors import ConfigError, DatasetError
from orchestrator.core.finding import Severity
from orchestrator.dataset import repairs
from orchestrator.dataset.checks.names import user_names
from orchestrator.dataset.checks.texts import message_lists, said
from orchestrator.dataset.checks.whole import FEW, MOST
from orchestrator.dataset.codes import Code
from orchestrator.dataset.example import Body, Example, finding
from orchestrator.dataset.files import Source, list_folder, sources
from orchestrator.dataset.provider_rules import text_roles
from orchestrator.dataset.reading import read


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """Which repairs are wanted.

    `text_roles` are the roles whose content in text parts is written as one text. `common_system` is the text, or ""
    for the one most chats have. `names` are the users' new names, one a chat in
    turn; `persona` is the old one, by default the names that most chats have in common.
    """

    cut_end: bool = False
    drop_unknown_keys: bool = False
    text_roles: frozenset[str] = frozenset()
    merge_system: bool = False
    drop_empty_system: bool = False
    common_system: str | None = None
    names: tuple[str, ...] = ()
    persona: str | None = None
    remove_duplicates: bool = False
    redact: bool = False


ALL = Wishes(
    cut_end=True,
    drop_unknown_keys=True,
    text_roles=text_roles([ProviderName.OPENAI]),
    merge_system=True,
    drop_empty_system=True,
    common_system="",
    remove_duplicates=True,
    redact=True,
)


@dataclass(frozen=True, slots=True)
class PolishedFile:
    """One file before and after. `before` is what was read, written as `after` is, so that only repairs differ."""

    name: str
    before: str
    after: str

    def diff(self) -> str:
        """A unified diff; empty when nothing changes."""
        rows = unified_diff(
            self.before.splitlines(keepends=True), self.after.splitlines(keepends=True), self.name, self.name, n=1
        )
        return "".join(row if row.endswith("\n") else row + "\n" for row in rows)


def polish(path: Path, wishes: Wishes = ALL) -> Iterator[PolishedFile]:
    """The files of the dataset as they would be, one at a time; nothing is written.

    Raises DatasetError when a chat cannot be read: what is not understood is not repaired.
    """
    _refuse_unreadable(path)
    plan = _Plan(path, wishes)
    for source in sources(path):
        yield plan.file(source)


def write_polished(files: Iterator[PolishedFile], path: Path, into: Path) -> list[Path]:
    """Write the files into another folder, which must be empty or not there. Returns what was written."""
    where = (path if path.is_dir() else path.parent).resolve()
    if into.resolve() == where or (path.is_dir() and where in into.resolve().parents):
        raise ConfigError(f"{into} is where the chats are", hint="Choose another folder: the chats stay as they are.")
    if into.exists() and not into.is_dir():
        raise ConfigError(f"{into} is a file", hint="Choose a folder that is empty or not there yet.")
    if into.exists() and any(into.iterdir()):
        raise ConfigError(f"{into} is not empty", hint="Choose a folder that is empty or not there yet.")
    written = []
    for file in files:
        if file.after:
            target = into / file.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(file.after, encoding="utf-8", newline="\n")
            written.append(target)
    return written


class _Plan:
    """What the whole dataset says about each chat: the usual system message, the personas, what was there before."""

    def __init__(self, path: Path, wishes: Wishes) -> None:
        self._wishes = wishes
        self._names = {source.name for source in sources(path)}
        self._chats = 0
        systems: Counter[str] = Counter()
        names: Counter[str] = Counter()
        for example, body in self._distinct(path):
            self._chats += 1
            names.update(user_names(body, list(said(body)), example.user))
            systems.update(_system(body))
        self._personas = self._find_personas(names)
        self._system = wishes.common_system or self._nameless(next((text for text, _ in systems.most_common(1)), ""))
        self._seen: set[bytes] = set()
        self._turn = 0

    def file(self, source: Source) -> PolishedFile:
        """One file, repaired. The files come in the order of the dataset."""
        examples = list(_examples(source))
        name = self._name(source.name, examples)
        after = [body for example in examples if (body := self._polished(example.body)) is not None]
        return PolishedFile(name, _text(name, [example.body for example in examples]), _text(name, after))

    def _polished(self, body: Body) -> Body | None:
        """The chat after all repairs; None when nothing is left of it, or it is there already (by either name)."""
        known = self._settled(body)
        body = known
        if self._wishes.names and self._personas:
            new = self._wishes.names[self._turn % len(self._wishes.names)]
            body = repairs.rename(self._personas, new)(body)
        if self._system and self._wishes.common_system is not None:
            body = repairs.common_system(self._system)(body)
        keys = {self._key(known), self._key(body)}
        if _says_nothing(known) or (self._wishes.remove_duplicates and keys & self._seen):
            return None
        self._seen |= keys
        self._turn += 1
        return body

    def _settled(self, body: Body) -> Body:
        """After the repairs that need nothing but the chat itself."""
        if self._wishes.drop_unknown_keys:
            body = repairs.drop_unknown_keys(body)
        if self._wishes.cut_end:
            body = repairs.cut_end(body)
        body = repairs.join_text_parts(self._wishes.text_roles)(body)
        if self._wishes.merge_system:
            body = repairs.merge_system(body)
        elif self._wishes.drop_empty_system:
            body = repairs.drop_empty_system(body)
        return repairs.redact(body) if self._wishes.redact else body

    def _distinct(self, path: Path) -> Iterator[tuple[Example, Body]]:
        """The chats that count: without those that will be removed."""
        seen: set[bytes] = set()
        for source in sources(path):
            for example in _examples(source):
                body = self._settled(example.body)
                key = self._key(body)
                if not _says_nothing(body) and not (self._wishes.remove_duplicates and key in seen):
                    seen.add(key)
                    yield example, body

    def _key(self, body: Body) -> bytes:
        """What makes two chats the same: all but the system message, where that will be the same anyway."""
        if self._wishes.common_system is not None:
            body = repairs.common_system("")(body)
        return blake2b(json.dumps(body, sort_keys=True).encode(), digest_size=16).digest()

    def _find_personas(self, names: Counter[str]) -> tuple[str, ...]:
        if self._wishes.persona:
            return (self._wishes.persona,)
        most = (name for name, count in names.items() if count > self._chats * MOST and self._chats >= FEW)
        return tuple(sorted(set(most) - set(self._wishes.names), key=lambda name: (-len(name), name)))

    def _nameless(self, system: str) -> str:
        """The common system message without the user's name, which will differ."""
        if not self._wishes.names or not self._personas:
            return system
        return repairs.renamed(self._personas, "the user", system)

    def _name(self, name: str, examples: Sequence[Example]) -> str:
        """An export becomes one JSON file; everything else keeps its name."""
        if not any(example.format == "sillytavern" for example in examples):
            return name
        new = str(PurePosixPath(name).with_suffix(".json"))
        return f"{name}.json" if new in self._names else new


def _says_nothing(body: Body) -> bool:
    return body.get("messages") == []


def _refuse_unreadable(path: Path) -> None:
    records = (record for source in sources(path) for record in read(source))
    errors = [found for record in records for found in record.findings if found.severity is Severity.ERROR]
    errors += [finding(Code.NO_SUCH_PATH, path.name, f"{path} does not exist")] if not path.exists() else []
    errors += [
        finding(Code.NO_SUCH_PATH, name, f"the folder cannot be read: {reason}")
        for name, reason in list_folder(path).unreadable
    ]
    if errors:
        chats = len({(found.file, found.line) for found in errors})
        raise DatasetError(
            f"{path} cannot be polished: {chats} chats cannot be read" if chats > 1 else f"{path} cannot be polished",
            hint="Correct what is named, then polish.",
            findings=errors,
        )


def _examples(source: Source) -> Iterator[Example]:
    return (record.example for record in read(source) if record.example)


def _system(body: Body) -> Iterator[str]:
    for messages, _ in message_lists(body):
        if messages and isinstance(messages[0], dict) and messages[0].get("role") == "system":
            content = messages[0].get("content")
            if isinstance(content, str) and content.strip():
                yield content


def _text(name: str, bodies: Sequence[Body]) -> str:
    """A `.json` file is written for people, a chat that is only messages as an array of them; other files by line."""
    if not name.lower().endswith(".json"):
        return "".join(json.dumps(body, ensure_ascii=False) + "\n" for body in bodies)
    plain = [body["messages"] if list(body) == ["messages"] else body for body in bodies]
    value = plain[0] if len(plain) == 1 else plain
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n" if plain else ""

"""Repairs a whole dataset: computes the polished files for a diff, and writes them to another folder."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import unified_diff
from hashlib import blake2b
from pathlib import Path, PurePosixPath

from orchestrator.core.account import ProviderName
from orchestrator.core.errors import ConfigError, DatasetError
from orchestrator.core.finding import Severity
from orchestrator.core.structs import Struct
from orchestrator.dataset.checks.corpus import MAJORITY_SHARE, MIN_EXAMPLES_FOR_MAJORITY
from orchestrator.dataset.checks.text_walk import iter_message_lists, iter_texts
from orchestrator.dataset.checks.user_names import find_user_names
from orchestrator.dataset.example import Example, ExampleBody, create_finding
from orchestrator.dataset.finding_codes import FindingCode
from orchestrator.dataset.polish import repairs
from orchestrator.dataset.provider_rules import list_text_only_roles
from orchestrator.dataset.read.reader import read_chats
from orchestrator.dataset.read.source_files import SourceFile, list_folder, list_source_files


class PolishOptions(Struct, frozen=True, kw_only=True):
    """The repairs to apply. Several fields have the name of their option of `orchestrator polish`."""

    cut_end: bool = False  # remove the messages after the last answer
    drop_unknown_keys: bool = False  # remove keys that only annotate
    text_roles: frozenset[str] = frozenset()  # roles whose text parts are joined to one string
    merge_system: bool = False  # merge all system messages into the first
    drop_empty_system: bool = False
    common_system: str | None = None  # the system message of every chat; "": the most frequent one; None: no change
    names: tuple[str, ...] = ()  # new user names, assigned to the chats in turn
    persona: str | None = None  # the user name to replace; None: the names that most chats have
    remove_duplicates: bool = False
    redact: bool = False  # replace personal data and secrets by placeholders


ALL_REPAIRS = PolishOptions(
    cut_end=True,
    drop_unknown_keys=True,
    text_roles=list_text_only_roles([ProviderName.OPENAI]),
    merge_system=True,
    drop_empty_system=True,
    common_system="",
    remove_duplicates=True,
    redact=True,
)


class PolishedFile(Struct, frozen=True):
    """One file before and after the repairs."""

    name: str  # in the output folder
    before: str  # the chats as read, in the output format, so that the diff shows only repairs
    after: str

    def diff(self) -> str:
        """Return a unified diff; empty if nothing changes."""
        rows = unified_diff(
            self.before.splitlines(keepends=True), self.after.splitlines(keepends=True), self.name, self.name, n=1
        )
        return "".join(row if row.endswith("\n") else row + "\n" for row in rows)


def polish_dataset(path: Path, options: PolishOptions = ALL_REPAIRS) -> Iterator[PolishedFile]:
    """Yield the polished files one at a time, without writing anything.

    Raises DatasetError if a chat cannot be read: a repair of a misunderstood chat could destroy it.
    """
    _raise_if_unreadable(path)
    polisher = _Polisher(path, options)
    for source in list_source_files(path):
        yield polisher.polish_file(source)


def write_polished_files(files: Iterator[PolishedFile], path: Path, output_folder: Path) -> list[Path]:
    """Write the files to another folder, and return their paths. Raises ConfigError unless it is empty or new."""
    source_folder = (path if path.is_dir() else path.parent).resolve()
    if output_folder.resolve() == source_folder or (
        path.is_dir() and source_folder in output_folder.resolve().parents
    ):
        raise ConfigError(
            f"{output_folder} contains the original chats",
            hint="Choose another folder: polish never changes the original chats.",
        )
    if output_folder.exists() and not output_folder.is_dir():
        raise ConfigError(f"{output_folder} is a file", hint="Choose an empty or new folder.")
    if output_folder.exists() and any(output_folder.iterdir()):
        raise ConfigError(f"{output_folder} is not empty", hint="Choose an empty or new folder.")
    written = []
    for file in files:
        if file.after:
            target = output_folder / file.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(file.after, encoding="utf-8", newline="\n")
            written.append(target)
    return written


class _Polisher:
    """Polishes the files of one dataset.

    Some repairs need facts about all chats (the most frequent system message and user names). Therefore the dataset
    is read twice: once here, and once for the repairs.
    """

    def __init__(self, path: Path, options: PolishOptions) -> None:
        self._options = options
        self._file_names = {source.name for source in list_source_files(path)}
        self._chat_count = 0
        systems: Counter[str] = Counter()
        names: Counter[str] = Counter()
        for example, body in self._iter_distinct(path):
            self._chat_count += 1
            names.update(find_user_names(body, list(iter_texts(body)), example.user_name))
            systems.update(_iter_system_messages(body))
        self._personas = self._find_personas(names)
        self._system_message = options.common_system or self._replace_persona(
            next((text for text, _ in systems.most_common(1)), "")
        )
        self._seen_keys: set[bytes] = set()
        self._name_index = 0

    def polish_file(self, source: SourceFile) -> PolishedFile:
        """Polish one file. Call it for the files in the order of the dataset: duplicates and names depend on it."""
        examples = list(_read_examples(source))
        name = self._output_name(source.name, examples)
        after = [body for example in examples if (body := self._polish_body(example.body)) is not None]
        return PolishedFile(
            name, _format_file(name, [example.body for example in examples]), _format_file(name, after)
        )

    def _polish_body(self, body: ExampleBody) -> ExampleBody | None:
        """Return the chat after all repairs; None if it is empty or a duplicate, by the old or the new user name."""
        repaired = self._apply_chat_repairs(body)
        body = repaired
        if self._options.names and self._personas:
            new = self._options.names[self._name_index % len(self._options.names)]
            body = repairs.rename_user(self._personas, new)(body)
        if self._system_message and self._options.common_system is not None:
            body = repairs.set_system_message(self._system_message)(body)
        keys = {self._duplicate_key(repaired), self._duplicate_key(body)}
        if _is_empty_chat(repaired) or (self._options.remove_duplicates and keys & self._seen_keys):
            return None
        self._seen_keys |= keys
        self._name_index += 1
        return body

    def _apply_chat_repairs(self, body: ExampleBody) -> ExampleBody:
        """Apply the repairs that need only the chat itself."""
        if self._options.drop_unknown_keys:
            body = repairs.drop_unknown_keys(body)
        if self._options.cut_end:
            body = repairs.cut_end(body)
        body = repairs.join_text_parts(self._options.text_roles)(body)
        if self._options.merge_system:
            body = repairs.merge_system(body)
        elif self._options.drop_empty_system:
            body = repairs.drop_empty_system(body)
        return repairs.redact_pii(body) if self._options.redact else body

    def _iter_distinct(self, path: Path) -> Iterator[tuple[Example, ExampleBody]]:
        """Yield the chats that remain: without empty ones and duplicates."""
        seen_keys: set[bytes] = set()
        for source in list_source_files(path):
            for example in _read_examples(source):
                body = self._apply_chat_repairs(example.body)
                key = self._duplicate_key(body)
                if not _is_empty_chat(body) and not (self._options.remove_duplicates and key in seen_keys):
                    seen_keys.add(key)
                    yield example, body

    def _duplicate_key(self, body: ExampleBody) -> bytes:
        """Return a hash that is equal for duplicates; without the system message, if all chats get the same one."""
        if self._options.common_system is not None:
            body = repairs.set_system_message("")(body)
        return blake2b(json.dumps(body, sort_keys=True).encode(), digest_size=16).digest()

    def _find_personas(self, names: Counter[str]) -> tuple[str, ...]:
        if self._options.persona:
            return (self._options.persona,)
        frequent = (
            name
            for name, count in names.items()
            if count > self._chat_count * MAJORITY_SHARE and self._chat_count >= MIN_EXAMPLES_FOR_MAJORITY
        )
        return tuple(sorted(set(frequent) - set(self._options.names), key=lambda name: (-len(name), name)))

    def _replace_persona(self, system: str) -> str:
        """Replace the user's name in the common system message, because the names will differ."""
        if not self._options.names or not self._personas:
            return system
        return repairs.replace_names(self._personas, "the user", system)

    def _output_name(self, name: str, examples: Sequence[Example]) -> str:
        """Return the name of the output file: an export becomes a JSON file, other files keep their name."""
        if not any(example.format == "sillytavern" for example in examples):
            return name
        new = str(PurePosixPath(name).with_suffix(".json"))
        return f"{name}.json" if new in self._file_names else new


def _is_empty_chat(body: ExampleBody) -> bool:
    return body.get("messages") == []


def _raise_if_unreadable(path: Path) -> None:
    records = (record for source in list_source_files(path) for record in read_chats(source))
    errors = [finding for record in records for finding in record.findings if finding.severity is Severity.ERROR]
    errors += (
        [create_finding(FindingCode.NO_SUCH_PATH, path.name, f"{path} does not exist")] if not path.exists() else []
    )
    errors += [
        create_finding(FindingCode.NO_SUCH_PATH, name, f"the folder cannot be read: {reason}")
        for name, reason in list_folder(path).unreadable
    ]
    if errors:
        chats = len({(finding.file, finding.line) for finding in errors})
        raise DatasetError(
            f"{path} cannot be polished: {chats} chats cannot be read" if chats > 1 else f"{path} cannot be polished",
            hint="Correct the reported errors, then run polish again.",
            findings=errors,
        )


def _read_examples(source: SourceFile) -> Iterator[Example]:
    return (record.example for record in read_chats(source) if record.example)


def _iter_system_messages(body: ExampleBody) -> Iterator[str]:
    for messages, _ in iter_message_lists(body):
        if messages and isinstance(messages[0], dict) and messages[0].get("role") == "system":
            content = messages[0].get("content")
            if isinstance(content, str) and content.strip():
                yield content


def _format_file(name: str, bodies: Sequence[ExampleBody]) -> str:
    """Format a `.json` file with indentation, and a chat of messages only as an array; other files as JSONL."""
    if not name.lower().endswith(".json"):
        return "".join(json.dumps(body, ensure_ascii=False) + "\n" for body in bodies)
    plain = [body["messages"] if list(body) == ["messages"] else body for body in bodies]
    value = plain[0] if len(plain) == 1 else plain
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n" if plain else ""

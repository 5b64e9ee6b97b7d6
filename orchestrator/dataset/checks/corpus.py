"""Warnings that need all examples together: system messages, user names, duplicates and lengths."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import NamedTuple

import msgspec

from orchestrator.core.finding import Finding
from orchestrator.dataset.checks.duplicates import DuplicateFinder
from orchestrator.dataset.checks.images import iter_images
from orchestrator.dataset.checks.near_duplicates import NearDuplicateFinder, Sketch, build_sketch
from orchestrator.dataset.checks.text_walk import MessageText, iter_message_lists
from orchestrator.dataset.checks.user_names import find_user_names
from orchestrator.dataset.example import Example, KeyPath, create_finding
from orchestrator.dataset.finding_codes import FindingCode

MAX_SYSTEM_MESSAGES = 1_000  # different system messages that are counted
MAX_EARLY_EXAMPLES = 5_000  # in which names are searched, and near-duplicates with the highest precision
MIN_EXAMPLES_FOR_MAJORITY = 8  # with fewer examples, "most" means nothing
MAJORITY_SHARE = 0.5
LENGTH_OUTLIER_FACTOR = 20  # times the median
LENGTH_OUTLIER_MIN_CHARACTERS = 4_000  # shorter examples are never outliers


class SystemMessage(NamedTuple):
    """The system message of an example."""

    text: str  # "": none
    line: int
    path: str


class CorpusTexts(msgspec.Struct, frozen=True, gc=False):
    """The texts of an example that findings about the dataset quote, by their hash."""

    system_messages: dict[int, SystemMessage]
    names: dict[int, str]


TextLoader = Callable[[Mapping[str, Collection[int]]], Iterable[CorpusTexts]]
"""Returns the texts of the accepted examples that start at some lines, by the name of their file."""


class TextsNotFound(Exception):
    """A text cannot be loaded, because its file changed while the dataset was checked."""


class CorpusFacts(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What these checks need of one accepted example, as plain values. Texts are 64-bit hashes."""

    characters: int  # of its texts
    roles: dict[str, int]  # number of texts of each
    key: int  # 64-bit hash of its canonical line
    system_messages: tuple[int, ...]  # two for a preference pair
    has_images: bool
    sketch: Sketch
    names: tuple[int, ...] = ()  # that it may call its user; only of an early example


class CorpusFactBuilder:
    """Extracts the facts of examples, one after the other."""

    def __init__(self) -> None:
        self._system_hashes: dict[str, int] = {}  # of system messages whose place is known

    def build(
        self, example: Example, line: bytes, texts: list[MessageText], *, early: bool
    ) -> tuple[CorpusFacts, CorpusTexts | None]:
        """Extract the facts of an example. `line` is its canonical form; `early`: also those that cost most.

        The texts are those that no example before had.
        """
        urls = [image.url for image in iter_images(example.body)] if b"image_url" in line else []
        names = find_names(example, texts) if early else {}
        new: dict[int, SystemMessage] = {}
        roles: dict[str, int] = {}
        for role, _, _ in texts:
            roles[role] = roles.get(role, 0) + 1
        facts = CorpusFacts(
            characters=sum([len(text) for _, text, _ in texts]),
            roles=roles,
            key=hash_text(line),
            system_messages=tuple(self._iter_system_messages(example, new)),
            has_images=bool(urls),
            sketch=build_sketch(texts, urls, early=early),
            names=tuple(names),
        )
        return facts, CorpusTexts(new, names) if new or names else None

    def _iter_system_messages(self, example: Example, new: dict[int, SystemMessage]) -> Iterator[int]:
        for system, key_path in iter_first_system_messages(example):
            if (known := self._system_hashes.get(system)) is not None:
                yield known  # the place is only used of the first one: finding it takes time
                continue
            key = hash_text(system.encode("utf-8", "surrogatepass"))
            if len(self._system_hashes) < MAX_SYSTEM_MESSAGES:
                self._system_hashes[system] = key
            new[key] = locate_system_message(example, system, key_path)
            yield key


def hash_text(text: bytes) -> int:
    """Return a 64-bit hash."""
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big")


def find_names(example: Example, texts: list[MessageText]) -> dict[int, str]:
    """Find the names that the example may call its user, by their hash."""
    names = sorted(find_user_names(example.body, texts, example.user_name))
    return {hash_text(name.encode("utf-8", "surrogatepass")): name for name in names}


def iter_first_system_messages(example: Example) -> Iterator[tuple[str, KeyPath]]:
    """Yield the text of the first message if it is a system message, else "", and its key path."""
    for messages, key_path in iter_message_lists(example.body):
        first = messages[0] if messages else None
        content = first.get("content") if isinstance(first, dict) and first.get("role") == "system" else None
        yield content if isinstance(content, str) else "", (*key_path, 0)


def locate_system_message(example: Example, text: str, key_path: KeyPath) -> SystemMessage:
    """Return a system message with its place in the source file."""
    line, path = example.locate(key_path)
    return SystemMessage(text, line or example.line, path)


class CorpusChecker:
    """Keeps a few numbers of each accepted example, and builds the findings at the end.

    The numbers are in arrays (about 200 bytes per example), because a dataset may have millions of examples.
    """

    def __init__(self) -> None:
        self._files: list[str] = []
        self._file_of = array("L")  # index in `_files`, by example
        self._line_of = array("L")  # by example
        self._duplicates = DuplicateFinder()
        self._near_duplicates = NearDuplicateFinder(MAX_EARLY_EXAMPLES)
        self._system_messages: Counter[int] = Counter()  # by hash
        self._names: Counter[int] = Counter()  # by hash
        self._first_examples: dict[int, int] = {}  # with this system message or name
        self._located: dict[int, SystemMessage] = {}  # in the first of these
        self._name_texts: dict[int, str] = {}
        self.lengths = array("Q")  # characters, by example
        self.roles: Counter[str] = Counter()
        self.image_examples = 0

    @property
    def is_early(self) -> bool:
        """Whether the next example is one of the first, which are searched with more effort."""
        return self.is_early_after(0)

    def is_early_after(self, examples: int) -> bool:
        """Whether the example after so many others is one of the first."""
        return len(self.lengths) + examples < MAX_EARLY_EXAMPLES

    def add(self, file: str, line: int, facts: CorpusFacts, texts: CorpusTexts | None = None) -> None:
        """Add an accepted example, which starts at this line of the file. Without texts, they are loaded later."""
        number = len(self.lengths)
        if not self._files or self._files[-1] != file:
            self._files.append(file)
        self._file_of.append(len(self._files) - 1)
        self._line_of.append(line)
        self._duplicates.add(facts.key, number)
        # It may have been checked as an early example although it is none.
        self._near_duplicates.add(facts.sketch if self.is_early else facts.sketch.to_late())
        if self.is_early:
            self._names.update(facts.names)
            for name in facts.names:
                self._first_examples.setdefault(name, number)
            self._name_texts |= texts.names if texts else {}
        self.lengths.append(facts.characters)
        for role, count in facts.roles.items():
            self.roles[role] += count
        self.image_examples += facts.has_images
        for system in facts.system_messages:
            self._add_system_message(system, texts)

    def _add_system_message(self, system: int, texts: CorpusTexts | None) -> None:
        if system not in self._system_messages:
            if len(self._system_messages) >= MAX_SYSTEM_MESSAGES:
                return
            self._first_examples[system] = len(self.lengths) - 1
            if texts and (located := texts.system_messages.get(system)):
                self._located[system] = located
        self._system_messages[system] += 1

    def build_findings(self, load_texts: TextLoader | None = None) -> Iterator[Finding]:
        """Yield the warnings about the examples together. `load_texts` loads texts that were not added.

        Raises TextsNotFound when a text cannot be loaded.
        """
        systems, names = self._system_messages.most_common(), self._list_frequent_names()
        self._load_missing_texts(
            [key for key, _ in (systems if len(systems) > 1 else ()) if key not in self._located]
            + [key for key, _ in names if key not in self._name_texts],
            load_texts,
        )
        yield from self._system_message_findings()
        yield from self._user_name_findings(names)
        yield from self._duplicate_findings()
        yield from self._length_findings()

    def _load_missing_texts(self, keys: list[int], load_texts: TextLoader | None) -> None:
        if not keys:
            return
        places: dict[str, set[int]] = {}
        for number in (self._first_examples[key] for key in keys):
            places.setdefault(self._files[self._file_of[number]], set()).add(self._line_of[number])
        for texts in load_texts(places) if load_texts else ():
            for key, located in texts.system_messages.items():
                self._located.setdefault(key, located)
            self._name_texts |= texts.names
        if any(key not in self._located and key not in self._name_texts for key in keys):
            raise TextsNotFound

    def _system_message_findings(self) -> Iterator[Finding]:
        (most_common, _), *others = self._system_messages.most_common() or [(0, 0)]
        total = self._system_messages.total()
        for system, count in others:
            text, line, path = self._located[system]
            file = self._file_of[self._first_examples[system]]
            message = (
                f"{count} of {total} chats begin with {_describe_system_message(text)}, "
                f"most with {_describe_system_message(self._located[most_common].text)}"
            )
            yield create_finding(FindingCode.DIFFERENT_SYSTEM, self._files[file], message, line=line, path=path)

    def _list_frequent_names(self) -> list[tuple[int, int]]:
        """List the names that most of the early examples call their user, by their hash, and the number of these."""
        total = min(len(self.lengths), MAX_EARLY_EXAMPLES)
        if total < MIN_EXAMPLES_FOR_MAJORITY:
            return []
        return [(name, count) for name, count in self._names.most_common(3) if count > total * MAJORITY_SHARE]

    def _user_name_findings(self, names: list[tuple[int, int]]) -> Iterator[Finding]:
        total = min(len(self.lengths), MAX_EARLY_EXAMPLES)
        for name, count in names:
            message = f"{count} of {total} chats call the user {self._name_texts[name]!r}"
            yield create_finding(FindingCode.SAME_USER_NAME, self._files[0], message)

    def _duplicate_findings(self) -> Iterator[Finding]:
        equal = dict(self._duplicates.find_pairs())
        for number, earlier in equal.items():
            yield self._duplicate_finding(FindingCode.DUPLICATE_EXAMPLE, "the same as", number, earlier)
        for number, earlier in self._near_duplicates.find_pairs().items():
            if number not in equal:
                yield self._duplicate_finding(FindingCode.NEAR_DUPLICATE, "nearly the same as", number, earlier)

    def _duplicate_finding(self, code: FindingCode, relation: str, number: int, earlier: int) -> Finding:
        first = f"{self._files[self._file_of[earlier]]}:{self._line_of[earlier]}"
        file = self._files[self._file_of[number]]
        return create_finding(code, file, f"the example is {relation} {first}", line=self._line_of[number], path="$")

    def _length_findings(self) -> Iterator[Finding]:
        if len(self.lengths) < MIN_EXAMPLES_FOR_MAJORITY:
            return
        median = _median(self.lengths)
        for number, length in enumerate(self.lengths):
            if length > max(LENGTH_OUTLIER_FACTOR * median, LENGTH_OUTLIER_MIN_CHARACTERS):
                message = f"the example has {length:,} characters, the median is {median:,}"
                file = self._files[self._file_of[number]]
                yield create_finding(FindingCode.UNEQUAL_LENGTHS, file, message, line=self._line_of[number], path="$")


def _describe_system_message(system: str) -> str:
    return f"the system message {system[:40]!r}" if system.strip() else "no system message"


def _median(values: array[int]) -> int:
    """Return the median. Counting equal values takes less memory than sorting millions."""
    counts, cumulative = Counter(values), 0
    for value in sorted(counts):
        cumulative += counts[value]
        if cumulative * 2 >= len(values):
            break
    return value

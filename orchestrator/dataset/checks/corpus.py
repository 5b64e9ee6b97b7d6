"""Warnings that need all examples together: system messages, user names, duplicates and lengths."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b

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


@dataclass(frozen=True, slots=True)
class CorpusFacts:
    """What these checks need of one accepted example, as plain values."""

    characters: int  # of its texts
    roles: tuple[str, ...]  # of its texts
    key: int  # 64-bit hash of its canonical line
    system_messages: tuple[tuple[str, int, str], ...]  # text ("": none), line and path; two for a preference pair
    has_images: bool
    sketch: Sketch
    names: frozenset[str] = frozenset()  # that it may call its user; only of an early example


class CorpusFactBuilder:
    """Extracts the facts of examples, one after the other."""

    def __init__(self) -> None:
        self._located: dict[str, str] = {}  # system messages whose place is known

    def build(self, example: Example, line: bytes, texts: list[MessageText], *, early: bool) -> CorpusFacts:
        """Extract the facts of an example. `line` is its canonical form; `early`: also those that cost most."""
        urls = [image.url for image in iter_images(example.body)] if b"image_url" in line else []
        return CorpusFacts(
            characters=sum(len(text) for _, text, _ in texts),
            roles=tuple(role for role, _, _ in texts),
            key=int.from_bytes(blake2b(line, digest_size=8).digest(), "big"),
            system_messages=tuple(self._iter_system_messages(example)),
            has_images=bool(urls),
            sketch=build_sketch(texts, urls, early=early),
            names=frozenset(find_user_names(example.body, texts, example.user_name)) if early else frozenset(),
        )

    def _iter_system_messages(self, example: Example) -> Iterator[tuple[str, int, str]]:
        for messages, key_path in iter_message_lists(example.body):
            first = messages[0] if messages else None
            content = first.get("content") if isinstance(first, dict) and first.get("role") == "system" else None
            system = content if isinstance(content, str) else ""
            if (known := self._located.get(system)) is not None:
                yield known, example.line, ""  # the place is only used of the first one: finding it takes time
                continue
            if len(self._located) < MAX_SYSTEM_MESSAGES:
                self._located[system] = system
            place: KeyPath = (*key_path, 0)
            line, path = example.locate(place)
            yield system, line or example.line, path


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
        self._system_messages: Counter[str] = Counter()
        self._system_message_places: dict[str, tuple[int, int, str]] = {}
        self._names: Counter[str] = Counter()
        self.lengths = array("Q")  # characters, by example
        self.roles: Counter[str] = Counter()
        self.image_examples = 0

    @property
    def is_early(self) -> bool:
        """Whether the next example is one of the first, which are searched with more effort."""
        return len(self.lengths) < MAX_EARLY_EXAMPLES

    def add(self, file: str, line: int, facts: CorpusFacts) -> None:
        """Add an accepted example, which starts at this line of the file."""
        number = len(self.lengths)
        if not self._files or self._files[-1] != file:
            self._files.append(file)
        self._file_of.append(len(self._files) - 1)
        self._line_of.append(line)
        self._duplicates.add(facts.key, number)
        self._near_duplicates.add(facts.sketch)
        if self.is_early:
            self._names.update(facts.names)
        self.lengths.append(facts.characters)
        self.roles.update(facts.roles)
        self.image_examples += facts.has_images
        for system, at, path in facts.system_messages:
            self._add_system_message(system, at, path)

    def _add_system_message(self, system: str, line: int, path: str) -> None:
        if system in self._system_messages or len(self._system_messages) < MAX_SYSTEM_MESSAGES:
            self._system_messages[system] += 1
            self._system_message_places.setdefault(system, (len(self._files) - 1, line, path))

    def build_findings(self) -> Iterator[Finding]:
        """Yield the warnings about the examples together."""
        yield from self._system_message_findings()
        yield from self._user_name_findings()
        yield from self._duplicate_findings()
        yield from self._length_findings()

    def _system_message_findings(self) -> Iterator[Finding]:
        (most_common, _), *others = self._system_messages.most_common() or [("", 0)]
        total = self._system_messages.total()
        for system, count in others:
            file, line, path = self._system_message_places[system]
            message = (
                f"{count} of {total} chats begin with {_describe_system_message(system)}, "
                f"most with {_describe_system_message(most_common)}"
            )
            yield create_finding(FindingCode.DIFFERENT_SYSTEM, self._files[file], message, line=line, path=path)

    def _user_name_findings(self) -> Iterator[Finding]:
        total = min(len(self.lengths), MAX_EARLY_EXAMPLES)
        for name, count in self._names.most_common(3) if total >= MIN_EXAMPLES_FOR_MAJORITY else ():
            if count > total * MAJORITY_SHARE:
                message = f"{count} of {total} chats call the user {name!r}"
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

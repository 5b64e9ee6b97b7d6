"""The whole: warnings that need every example. Sees them pass by once and keeps little of each."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator
from hashlib import blake2b

from orchestrator.core.finding import Finding
from orchestrator.dataset.checks.alike import Duplicates, NearDuplicates
from orchestrator.dataset.checks.names import user_names
from orchestrator.dataset.checks.texts import Said, message_lists
from orchestrator.dataset.codes import Code
from orchestrator.dataset.example import Example, Steps, finding

SYSTEMS = 1_000  # different system messages that are told apart
NAMED = 5_000  # examples whose names are counted
FEW = 8  # with fewer examples "most" says nothing
MOST = 0.5
UNEQUAL = 20  # times the median
MARK = 4_000  # characters; below it no example is long


class Whole:
    """Fed with every good example; afterwards `findings` says what they are like together."""

    def __init__(self) -> None:
        self._files: list[str] = []
        self._file_of = array("L")
        self._line_of = array("L")
        self._duplicates = Duplicates()
        self._near = NearDuplicates()
        self._near_pairs: list[tuple[int, int]] = []
        self._systems: Counter[str] = Counter()
        self._system_places: dict[str, tuple[int, int, str]] = {}
        self._names: Counter[str] = Counter()
        self.lengths = array("Q")
        self.roles: Counter[str] = Counter()

    def add(self, example: Example, line: bytes, texts: list[Said], pictures: list[str]) -> None:
        """One more example; `line` is its canonical form, `pictures` are the URLs of its pictures."""
        number = len(self.lengths)
        if not self._files or self._files[-1] != example.file:
            self._files.append(example.file)
        self._file_of.append(len(self._files) - 1)
        self._line_of.append(example.line)
        self.lengths.append(sum(len(text) for _, text, _ in texts))
        self.roles.update(role for role, _, _ in texts)
        self._duplicates.add(int.from_bytes(blake2b(line, digest_size=8).digest(), "big"), number)
        if (earlier := self._near.add(texts, pictures)) is not None:
            self._near_pairs.append((number, earlier))
        self._add_system(example)
        if number < NAMED:
            self._names.update(user_names(example.body, texts, example.user))

    def _add_system(self, example: Example) -> None:
        for messages, steps in message_lists(example.body):
            first = messages[0] if messages else None
            content = first.get("content") if isinstance(first, dict) and first.get("role") == "system" else None
            system = content if isinstance(content, str) else ""
            if system in self._systems or len(self._systems) < SYSTEMS:
                self._systems[system] += 1
                if system not in self._system_places:
                    place: Steps = (*steps, 0)
                    line, path = example.where(place)
                    self._system_places[system] = (len(self._files) - 1, line or example.line, path)

    def findings(self) -> Iterator[Finding]:
        """The warnings about the examples together."""
        yield from self._different_systems()
        yield from self._same_name()
        yield from self._alike()
        yield from self._unequal()

    def _different_systems(self) -> Iterator[Finding]:
        (usual, _), *others = self._systems.most_common() or [("", 0)]
        total = self._systems.total()
        for system, count in others:
            file, line, path = self._system_places[system]
            message = f"{count} of {total} chats begin with {_named(system)}, most with {_named(usual)}"
            yield finding(Code.DIFFERENT_SYSTEM, self._files[file], message, line=line, path=path)

    def _same_name(self) -> Iterator[Finding]:
        total = min(len(self.lengths), NAMED)
        for name, count in self._names.most_common(3) if total >= FEW else ():
            if count > total * MOST:
                message = f"{count} of {total} chats call the user {name!r}"
                yield finding(Code.SAME_USER_NAME, self._files[0], message)

    def _alike(self) -> Iterator[Finding]:
        equal = dict(self._duplicates.pairs())
        for number, earlier in equal.items():
            yield self._pair(Code.DUPLICATE_EXAMPLE, "the same as", number, earlier)
        for number, earlier in self._near_pairs:
            if number not in equal:
                yield self._pair(Code.NEAR_DUPLICATE, "nearly the same as", number, earlier)

    def _pair(self, code: Code, how: str, number: int, earlier: int) -> Finding:
        first = f"{self._files[self._file_of[earlier]]}:{self._line_of[earlier]}"
        file = self._files[self._file_of[number]]
        return finding(code, file, f"the example is {how} {first}", line=self._line_of[number], path="$")

    def _unequal(self) -> Iterator[Finding]:
        if len(self.lengths) < FEW:
            return
        usual = _median(self.lengths)
        for number, length in enumerate(self.lengths):
            if length > max(UNEQUAL * usual, MARK):
                message = f"{length} characters, where the usual example has {usual}"
                file = self._files[self._file_of[number]]
                yield finding(Code.UNEQUAL_LENGTHS, file, message, line=self._line_of[number], path="$")


def _named(system: str) -> str:
    return f"the system message {system[:40]!r}" if system.strip() else "no system message"


def _median(values: array[int]) -> int:
    """By counting equal values, which takes less memory than sorting millions."""
    counts, seen = Counter(values), 0
    for value in sorted(counts):
        seen += counts[value]
        if seen * 2 >= len(values):
            break
    return value

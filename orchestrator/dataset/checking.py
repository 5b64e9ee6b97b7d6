"""Checking: every finding of a dataset, and a summary that adds up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.core.finding import Finding, Severity
from orchestrator.dataset.checks.errors import errors
from orchestrator.dataset.codes import Code
from orchestrator.dataset.example import Example, finding
from orchestrator.dataset.files import Source, ignored, sources
from orchestrator.dataset.reading import Record, read
from orchestrator.dataset.rules import Rules
from orchestrator.dataset.tokens import Tally

Progress = Callable[[int, int], None]
"""Told after each file: bytes read so far, and of how many."""


@dataclass(slots=True)
class FileSummary:
    """What became of one file: `chats` = `examples` + `refused`."""

    file: str
    formats: dict[str, int] = field(default_factory=dict)
    chats: int = 0
    examples: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Summary:
    """What was read. Every chat is an example or refused, every file is in `files` or in `ignored`.

    `tokens` are those of all examples, by base model; None where they are not known.
    """

    files: tuple[FileSummary, ...]
    ignored: tuple[str, ...]
    tokens: Mapping[str, int | None]

    @property
    def chats(self) -> int:
        return sum(file.chats for file in self.files)

    @property
    def examples(self) -> int:
        return sum(file.examples for file in self.files)

    @property
    def refused(self) -> int:
        return sum(file.refused for file in self.files)


@dataclass(frozen=True, slots=True)
class Checked:
    """The outcome of a check: `findings` in the order of the files."""

    findings: tuple[Finding, ...]
    summary: Summary

    @property
    def errors(self) -> tuple[Finding, ...]:
        return tuple(found for found in self.findings if found.severity is Severity.ERROR)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        return tuple(found for found in self.findings if found.severity is Severity.WARNING)


class Check:
    """One pass over the files. `examples` gives what is good; afterwards `checked` says the rest."""

    def __init__(self, path: Path, rules: Rules, progress: Progress | None = None) -> None:
        self._path = path
        self._rules = rules
        self._progress = progress
        self._findings: list[Finding] = []
        self.tally = Tally(rules.base_models)
        self._files: list[FileSummary] = []

    def examples(self) -> Iterator[Example]:
        """The examples without an error, in the order of the dataset."""
        found = sources(self._path)
        sizes = [source.path.stat().st_size for source in found]
        for index, source in enumerate(found):
            yield from self._file(source)
            if self._progress:
                self._progress(sum(sizes[: index + 1]), sum(sizes))

    def checked(self) -> Checked:
        """The findings and the summary of what has been read."""
        summary = Summary(tuple(self._files), tuple(ignored(self._path)), self.tally.totals())
        return Checked((*self._findings, *self._whole(summary)), summary)

    def _file(self, source: Source) -> Iterator[Example]:
        summary = FileSummary(source.name)
        self._files.append(summary)
        for record in read(source):
            summary.chats += 1
            if self._is_good(record) and record.example is not None:
                summary.examples += 1
                form = record.example.format
                summary.formats[form] = summary.formats.get(form, 0) + 1
                self.tally.add(record.example.body)
                yield record.example
            else:
                summary.refused += 1

    def _is_good(self, record: Record) -> bool:
        findings = list(record.findings)
        if record.example is not None:
            findings += [record.example.finding(fault) for fault in errors(record.example.body, self._rules)]
        self._findings += findings
        return not any(found.severity is Severity.ERROR for found in findings)

    def _whole(self, summary: Summary) -> Iterator[Finding]:
        name, needed = self._path.name, self._rules.minimum_examples
        if not self._path.exists():
            yield finding(Code.NO_SUCH_PATH, name, f"{self._path} does not exist")
            return
        training = summary.examples - self._rules.validation_size(summary.examples)
        if training < needed:
            yield finding(Code.TOO_FEW_EXAMPLES, name, f"{training} training examples, at least {needed} are needed")


def check(path: Path, rules: Rules | None = None, *, progress: Progress | None = None) -> Checked:
    """Everything that can be known about the dataset at `path` (a folder or a file) before it is uploaded."""
    checking = Check(path, rules or Rules(), progress)
    for _ in checking.examples():
        pass
    return checking.checked()

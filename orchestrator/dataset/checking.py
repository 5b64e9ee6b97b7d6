"""Checking: one pass over the files that finds everything and keeps what is good."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from orchestrator.core.finding import Finding, Severity
from orchestrator.dataset.canonical import canonical, trimmed
from orchestrator.dataset.checks.advice import advice
from orchestrator.dataset.checks.errors import errors
from orchestrator.dataset.checks.pictures import pictures
from orchestrator.dataset.checks.provider import ProviderChecks
from orchestrator.dataset.checks.special import special_token_errors
from orchestrator.dataset.checks.texts import said
from orchestrator.dataset.checks.whole import Whole
from orchestrator.dataset.codes import Code
from orchestrator.dataset.example import Example, finding
from orchestrator.dataset.files import READ, Listing, Paths, list_paths, missing, size, sources
from orchestrator.dataset.found import Found
from orchestrator.dataset.reading import Record, read
from orchestrator.dataset.rules import Rules
from orchestrator.dataset.special_tokens import special_pattern
from orchestrator.dataset.summary import Checked, FileSummary, Summary, histogram, merge
from orchestrator.dataset.tally import Tally
from orchestrator.dataset.validation_set import (
    line_key,
    overlaps,
    split_names,
    training_sources,
    validation_rules,
)

Progress = Callable[[int, int], None]
"""Told from time to time: bytes read so far, and of how many."""


PROGRESS_BYTES = 1 << 20
NAMED = 5  # files that a message names


class Accepted(NamedTuple):
    """A good example and its canonical line."""

    example: Example
    line: bytes


class Check:
    """One pass over the files of a dataset. `accepted` gives what is good; afterwards `checked` says the rest."""

    def __init__(
        self, path: Paths, rules: Rules, progress: Progress | None = None, *, validation: bool = False
    ) -> None:
        self._validation = validation
        self.tally = Tally(rules.base_models, rules.tokenizers)
        self._path = path
        self._rules = rules
        self._provider_checks = ProviderChecks(rules.providers)
        self._special = special_pattern(rules.base_models, self.tally.special_tokens())
        self._picture_examples = 0
        self._progress = progress
        self._found = Found()
        self._whole = Whole()
        self._files: list[FileSummary] = []

    def accepted(self) -> Iterator[Accepted]:
        """The examples without an error, in the order of the dataset."""
        wanted = training_sources(sources(self._path), self._rules.validation_path)
        total = sum(size(source) for source in wanted)
        done = told = 0
        for source in wanted:
            summary = FileSummary(source.name)
            self._files.append(summary)
            for record in read(source):
                if accepted := self._judge(record, summary):
                    yield accepted
                done += record.size
                if self._progress and done - told >= PROGRESS_BYTES:
                    self._progress(told := min(done, total), total)
        if self._progress:
            self._progress(total, total)

    def checked(self, *more: Finding) -> Checked:
        """The findings and the summary of what has been read, and what else was found out about it."""
        listing = list_paths(self._path)
        summary = Summary(
            files=tuple(self._files),
            ignored=tuple(listing.ignored),
            tokens=self.tally.totals(),
            estimated_tokens=self.tally.estimates(),
            roles=dict(self._whole.roles),
            lengths=histogram(self._whole.lengths),
            token_lengths=self.tally.histograms(),
        )
        splits = () if self._validation else split_names([file.file for file in self._files])
        numbers = self._numbers(summary, listing)
        for found in (*self._folders(listing), *numbers, *more, *splits, *self._whole.findings()):
            self._found.add(found)
        return Checked(tuple(self._found.findings), summary, dict(self._found.counts), self._found.excerpts)

    def _judge(self, record: Record, summary: FileSummary) -> Accepted | None:
        """The record's example, or None if it is refused; counted either way."""
        summary.chats += 1
        for found in record.findings:
            self._found.add(found)
        refused = any(found.severity is Severity.ERROR for found in record.findings)
        if (example := record.example) is None or self._fails(example) or refused:
            summary.refused += 1
            return None
        summary.examples += 1
        summary.count(example.format, example.left_out)
        return self._accept(example)

    def _fails(self, example: Example) -> bool:
        """Whether it has errors; all of them are noted, and the tokens of one that has none."""
        if self._rules.method is None:
            self._rules = replace(self._rules, method="supervised" if "messages" in example.body else "dpo")
        faults = [*errors(example.body, self._rules), *self._provider_checks.errors(example.body)]
        if self._special:
            faults += special_token_errors(example.body, self._special)
        faults = faults or list(self.tally.measure(trimmed(example.body)))
        for fault in faults:
            self._found.add_fault(example, fault)
        return bool(faults)

    def _accept(self, example: Example) -> Accepted:
        line, texts = canonical(example.body), list(said(example.body))
        for fault in advice(example.body, texts, line):
            self._found.add_fault(example, fault)
        self.tally.keep()
        urls = [picture.url for picture in pictures(example.body)] if b"image_url" in line else []
        self._picture_examples += bool(urls)
        self._whole.add(example, line, texts, urls)
        return Accepted(example, line)

    def _folders(self, listing: Listing) -> Iterator[Finding]:
        """What was not entered. A folder that cannot be listed may hold most of the chats, so it is an error."""
        for name, reason in listing.unreadable:
            hint = "Let this user read and enter the folder (chmod u+rx), or move it out of the dataset."
            where = self._dataset_name() if name == "./" else name
            yield finding(Code.NO_SUCH_PATH, where, f"the folder cannot be read: {reason}", hint=hint)
        for name in listing.links:
            yield finding(Code.FOLDER_LINK, name, "a link to a folder, which is not followed: nothing in it is read")

    def _numbers(self, summary: Summary, listing: Listing) -> Iterator[Finding]:
        if lost := missing(self._path):
            yield from (finding(Code.NO_SUCH_PATH, self._named(path), f"{path} does not exist") for path in lost)
            return
        if listing.unreadable:
            return  # how many chats there are is not known
        if not summary.files:
            endings = f"{', '.join(READ[:-1])} or {READ[-1]}"
            message = f"no chats were found: no file has a name that ends in {endings}"
            yield finding(Code.NO_CHATS, self._dataset_name(), message + _not_read(summary))
            return
        training = summary.examples - self._rules.validation_size(summary.examples)
        for rule, message in self._provider_checks.count_errors(training, self._picture_examples):
            yield finding(rule.kind.code, self._dataset_name(), message)
        if training < (needed := self._rules.minimum_examples):
            have = "1 training example" if training == 1 else f"{training} training examples"
            message = f"{have}, at least {needed} are needed{_not_read(summary)}"
            yield finding(Code.TOO_FEW_EXAMPLES, self._dataset_name(), message)

    def _dataset_name(self) -> str:
        return ", ".join(map(self._named, [self._path] if isinstance(self._path, Path) else self._path))

    def _named(self, path: Path) -> str:
        return (path.name if isinstance(self._path, Path) else path.as_posix()) or path.as_posix()


def _not_read(summary: Summary) -> str:
    """Name a few of the files that are not read, for a message that they may explain."""
    if not summary.ignored:
        return ""
    more = len(summary.ignored) - NAMED
    return f"; not read: {', '.join(summary.ignored[:NAMED])}" + (f" and {more} more" if more > 0 else "")


def check(
    path: Paths, rules: Rules | None = None, *, training: Path | None = None, progress: Progress | None = None
) -> Checked:
    """Everything that can be known about the dataset at `path` (a folder or a file) before it is uploaded.

    With `training`, `path` is a validation set, and none of its examples may be in that training set.
    """
    rules = rules or Rules()
    if training is None:
        return _check_training_set(path, rules, progress)
    checking = Check(path, validation_rules(rules), progress, validation=True)
    places = {sha256(line).digest(): example for example, line in checking.accepted()}
    return checking.checked(*_overlaps(places, training, rules))


def _check_training_set(path: Paths, rules: Rules, progress: Progress | None) -> Checked:
    checking, keys = Check(path, rules, progress), array("Q")
    for _, line in checking.accepted():
        if rules.validation_path is not None:
            keys.append(line_key(rules.seed, line))
    checked = checking.checked()
    return checked if rules.validation_path is None else merge(checked, check_validation_set(rules, keys))


def check_validation_set(
    rules: Rules, training: Iterable[int], write: Callable[[bytes], object] = lambda line: None
) -> Checked:
    """Check the operator's own validation set and write each good example of it.

    `training` are the keys of the training examples (`line_key`), none of which may be in it.
    """
    assert rules.validation_path is not None
    checking = Check(rules.validation_path, validation_rules(rules), validation=True)
    found = list(overlaps(checking.accepted(), frozenset(training), rules.seed, write))
    return checking.checked(*found)


def _overlaps(places: dict[bytes, Example], training: Path, rules: Rules) -> Iterator[Finding]:
    for other, line in Check(training, replace(rules, validation_path=None)).accepted():
        if example := places.pop(sha256(line).digest(), None):
            at, path = example.where(())
            message = f"the example is in the training set as well, at {other.file}:{other.line}"
            yield finding(Code.VALIDATION_OVERLAP, example.file, message, line=at, path=path)

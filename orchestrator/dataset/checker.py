"""Checking: one pass over the files that finds everything and keeps what is good."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from orchestrator.core.finding import Finding, Severity
from orchestrator.dataset.canonical_jsonl import encode_canonical, remove_empty_fields
from orchestrator.dataset.checks.corpus import CorpusChecker
from orchestrator.dataset.checks.images import iter_images
from orchestrator.dataset.checks.provider_rule_checker import ProviderRuleChecker
from orchestrator.dataset.checks.special_tokens import build_special_token_pattern, check_special_tokens
from orchestrator.dataset.checks.structure import check_structure
from orchestrator.dataset.checks.style import check_style
from orchestrator.dataset.checks.text_walk import iter_texts
from orchestrator.dataset.example import Example, create_finding
from orchestrator.dataset.finding_codes import FindingCode
from orchestrator.dataset.finding_collector import FindingCollector
from orchestrator.dataset.read.reader import ChatRecord, read_chats
from orchestrator.dataset.read.source_files import (
    READABLE_SUFFIXES,
    DatasetPaths,
    FolderListing,
    get_file_size,
    list_folders,
    list_missing_paths,
    list_source_files,
)
from orchestrator.dataset.rules import DatasetRules
from orchestrator.dataset.summary import CheckResult, FileSummary, Summary, build_histogram, merge_results
from orchestrator.dataset.tokens.counter import TokenCounter
from orchestrator.dataset.validation_set import (
    build_validation_rules,
    check_split_names,
    exclude_validation_files,
    line_key,
    write_validation_examples,
)

ReadProgressCallback = Callable[[int, int], None]
"""Told from time to time: bytes read so far, and of how many."""


PROGRESS_INTERVAL_BYTES = 1 << 20
MAX_NAMED_FILES = 5  # files that a message names


class AcceptedExample(NamedTuple):
    """A good example and its canonical line."""

    example: Example
    line: bytes


class DatasetChecker:
    """One pass over the files of a dataset. `accepted` gives what is good; afterwards `checked` says the rest."""

    def __init__(
        self,
        path: DatasetPaths,
        rules: DatasetRules,
        progress: ReadProgressCallback | None = None,
        *,
        validation: bool = False,
    ) -> None:
        self._is_validation = validation
        self.token_counter = TokenCounter(rules.base_models, rules.tokenizers)
        self._paths = path
        self._rules = rules
        self._provider_checker = ProviderRuleChecker(rules.providers)
        self._special_token_pattern = build_special_token_pattern(
            rules.base_models, self.token_counter.special_tokens()
        )
        self._image_examples = 0
        self._progress = progress
        self._collector = FindingCollector()
        self._corpus_checker = CorpusChecker()
        self._files: list[FileSummary] = []

    def iter_accepted(self) -> Iterator[AcceptedExample]:
        """The examples without an error, in the order of the dataset."""
        wanted = exclude_validation_files(list_source_files(self._paths), self._rules.validation_path)
        total = sum(get_file_size(source) for source in wanted)
        done = told = 0
        for source in wanted:
            summary = FileSummary(source.name)
            self._files.append(summary)
            for record in read_chats(source):
                if accepted := self._check_record(record, summary):
                    yield accepted
                done += record.size
                if self._progress and done - told >= PROGRESS_INTERVAL_BYTES:
                    self._progress(told := min(done, total), total)
        if self._progress:
            self._progress(total, total)

    def build_result(self, *more: Finding) -> CheckResult:
        """The findings and the summary of what has been read, and what else was found out about it."""
        listing = list_folders(self._paths)
        summary = Summary(
            files=tuple(self._files),
            ignored=tuple(listing.ignored),
            tokens=self.token_counter.totals(),
            estimated_tokens=self.token_counter.estimates(),
            roles=dict(self._corpus_checker.roles),
            lengths=build_histogram(self._corpus_checker.lengths),
            token_lengths=self.token_counter.histograms(),
        )
        splits = () if self._is_validation else check_split_names([file.file for file in self._files])
        numbers = self._count_findings(summary, listing)
        for found in (
            *self._folder_findings(listing),
            *numbers,
            *more,
            *splits,
            *self._corpus_checker.build_findings(),
        ):
            self._collector.add(found)
        return CheckResult(
            tuple(self._collector.findings), summary, dict(self._collector.counts), self._collector.excerpts
        )

    def _check_record(self, record: ChatRecord, summary: FileSummary) -> AcceptedExample | None:
        """The record's example, or None if it is refused; counted either way."""
        summary.chats += 1
        for found in record.findings:
            self._collector.add(found)
        refused = any(found.severity is Severity.ERROR for found in record.findings)
        if (example := record.example) is None or self._collect_errors(example) or refused:
            summary.refused += 1
            return None
        summary.examples += 1
        summary.add_example(example.format, example.left_out)
        return self._accept(example)

    def _collect_errors(self, example: Example) -> bool:
        """Whether it has errors; all of them are noted, and the tokens of one that has none."""
        if self._rules.method is None:
            self._rules = replace(self._rules, method="supervised" if "messages" in example.body else "dpo")
        faults = [*check_structure(example.body, self._rules), *self._provider_checker.check_example(example.body)]
        if self._special_token_pattern:
            faults += check_special_tokens(example.body, self._special_token_pattern)
        faults = faults or list(self.token_counter.count_example(remove_empty_fields(example.body)))
        for fault in faults:
            self._collector.add_issue(example, fault)
        return bool(faults)

    def _accept(self, example: Example) -> AcceptedExample:
        line, texts = encode_canonical(example.body), list(iter_texts(example.body))
        for fault in check_style(example.body, texts, line):
            self._collector.add_issue(example, fault)
        self.token_counter.accept_example()
        urls = [picture.url for picture in iter_images(example.body)] if b"image_url" in line else []
        self._image_examples += bool(urls)
        self._corpus_checker.add(example, line, texts, urls)
        return AcceptedExample(example, line)

    def _folder_findings(self, listing: FolderListing) -> Iterator[Finding]:
        """What was not entered. A folder that cannot be listed may hold most of the chats, so it is an error."""
        for name, reason in listing.unreadable:
            hint = "Give this user read and execute permission (chmod u+rx), or move the folder out of the dataset."
            where = self._dataset_name() if name == "./" else name
            yield create_finding(FindingCode.NO_SUCH_PATH, where, f"the folder cannot be read: {reason}", hint=hint)
        for name in listing.folder_links:
            yield create_finding(
                FindingCode.FOLDER_LINK, name, "the link to a folder is not followed, so nothing in it is read"
            )

    def _count_findings(self, summary: Summary, listing: FolderListing) -> Iterator[Finding]:
        if lost := list_missing_paths(self._paths):
            yield from (
                create_finding(FindingCode.NO_SUCH_PATH, self._display_name(path), f"{path} does not exist")
                for path in lost
            )
            return
        if listing.unreadable:
            return  # how many chats there are is not known
        if not summary.files:
            endings = f"{', '.join(READABLE_SUFFIXES[:-1])} or {READABLE_SUFFIXES[-1]}"
            message = f"no chats found: no file name ends in {endings}"
            yield create_finding(FindingCode.NO_CHATS, self._dataset_name(), message + _ignored_files_text(summary))
            return
        training = summary.examples - self._rules.validation_size(summary.examples)
        for rule, message in self._provider_checker.check_counts(training, self._image_examples):
            yield create_finding(rule.kind.code, self._dataset_name(), message)
        if training < (needed := self._rules.minimum_examples):
            have = "is 1 training example" if training == 1 else f"are {training:,} training examples"
            message = f"there {have}, at least {needed} are required{_ignored_files_text(summary)}"
            yield create_finding(FindingCode.TOO_FEW_EXAMPLES, self._dataset_name(), message)

    def _dataset_name(self) -> str:
        return ", ".join(map(self._display_name, [self._paths] if isinstance(self._paths, Path) else self._paths))

    def _display_name(self, path: Path) -> str:
        return (path.name if isinstance(self._paths, Path) else path.as_posix()) or path.as_posix()


def _ignored_files_text(summary: Summary) -> str:
    """Name a few of the files that are not read, for a message that they may explain."""
    if not summary.ignored:
        return ""
    more = len(summary.ignored) - MAX_NAMED_FILES
    return f"; not read: {', '.join(summary.ignored[:MAX_NAMED_FILES])}" + (f" and {more} more" if more > 0 else "")


def check_dataset(
    path: DatasetPaths,
    rules: DatasetRules | None = None,
    *,
    training: Path | None = None,
    progress: ReadProgressCallback | None = None,
) -> CheckResult:
    """Everything that can be known about the dataset at `path` (a folder or a file) before it is uploaded.

    With `training`, `path` is a validation set, and none of its examples may be in that training set.
    """
    rules = rules or DatasetRules()
    if training is None:
        return _check_training_set(path, rules, progress)
    checking = DatasetChecker(path, build_validation_rules(rules), progress, validation=True)
    places = {sha256(line).digest(): example for example, line in checking.iter_accepted()}
    return checking.build_result(*_overlap_findings(places, training, rules))


def _check_training_set(
    path: DatasetPaths, rules: DatasetRules, progress: ReadProgressCallback | None
) -> CheckResult:
    checking, keys = DatasetChecker(path, rules, progress), array("Q")
    for _, line in checking.iter_accepted():
        if rules.validation_path is not None:
            keys.append(line_key(rules.seed, line))
    checked = checking.build_result()
    return checked if rules.validation_path is None else merge_results(checked, check_validation_set(rules, keys))


def check_validation_set(
    rules: DatasetRules, training: Iterable[int], write: Callable[[bytes], object] = lambda line: None
) -> CheckResult:
    """Check the operator's own validation set and write each good example of it.

    `training` are the keys of the training examples (`line_key`), none of which may be in it.
    """
    assert rules.validation_path is not None
    checking = DatasetChecker(rules.validation_path, build_validation_rules(rules), validation=True)
    found = list(write_validation_examples(checking.iter_accepted(), frozenset(training), rules.seed, write))
    return checking.build_result(*found)


def _overlap_findings(places: dict[bytes, Example], training: Path, rules: DatasetRules) -> Iterator[Finding]:
    for other, line in DatasetChecker(training, replace(rules, validation_path=None)).iter_accepted():
        if example := places.pop(sha256(line).digest(), None):
            at, path = example.locate(())
            message = f"the example is also in the training set, at {other.file}:{other.line}"
            yield create_finding(FindingCode.VALIDATION_OVERLAP, example.file, message, line=at, path=path)

"""Checks a dataset: one pass over its files that reports every finding and yields the accepted examples."""

# Theory of operation
#
# The data flow of one pass, for `orchestrator check` as well as for a build:
#
#     source files -> read_chats -> ChatRecord -> ExampleChecker -> CheckedChat -> _merge -> line (yielded)
#                                                                                    |
#                                                       FindingCollector, FileSummary, CorpusChecker, TokenCounter
#
# `DatasetChecker.iter_accepted` is a generator, because the dataset may be larger than memory: the builder writes
# each accepted line to disk before the next chat is read. `build_result` may be called only after the generator is
# exhausted; the findings about the dataset as a whole exist only then.
#
# Every chat is counted exactly once: as an example, or as refused. `summary.chats == examples + refused` for each
# file, and a refused chat always has at least one finding with the severity error. Nothing is dropped silently.
#
# Order matters in four places:
#   * Errors are checked before style. The style and corpus checks may assume a well-formed body, because only an
#     example without an error reaches them. So a warning never raises a KeyError on broken input.
#   * Tokens are counted last among the errors, and only if there is no other: counting is the most expensive step,
#     and it needs a valid body. The counts of an example become part of the totals in `_merge`, after all checks, or
#     a refused example would be billed in the estimate.
#   * The method of the first example decides for the others if no method is configured (`orchestrator check` without
#     an accounts file). So the rules may be replaced once, at the first chat.
#   * The findings about the dataset (too few examples, duplicates, lengths) come after those of the chats: the text
#     output is in the order of the files, and the totals are at its end.
#
# Errors about numbers need care. When a path is missing or a folder cannot be listed, the number of chats is unknown;
# then "too few examples" would only be a wrong consequence of the real error, so it is not reported.
#
# Memory per example: a canonical hash and a place (about 20 bytes), its length, and a sketch of about 200 bytes for
# the search for near-duplicates (`checks/corpus.py`, `checks/near_duplicates.py`). Findings are limited per code
# (`FindingCollector`), so that a file with a million broken lines does not exhaust memory.
#
# `iter_lines` lets other processes check the chats of a large dataset (`parallel_checker.py`). What concerns one chat
# alone is therefore in `example_checker.py`, and its result is plain values.

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple, Protocol

from orchestrator.core.finding import Finding
from orchestrator.core.structs import replace
from orchestrator.core.text import format_count, format_list
from orchestrator.dataset.cache.check_cache import MIN_DATASET_BYTES, CacheFolder, CheckCache, open_check_cache
from orchestrator.dataset.checks.corpus import CorpusChecker, CorpusTexts, TextsNotFound
from orchestrator.dataset.checks.provider_rule_checker import ProviderRuleChecker
from orchestrator.dataset.example import Example, create_finding
from orchestrator.dataset.example_checker import AcceptedFacts, CheckedChat, ExampleChecker, choose_method
from orchestrator.dataset.finding_codes import FindingCode
from orchestrator.dataset.finding_collector import FindingCollector
from orchestrator.dataset.parallel_checker import MIN_BYTES_PER_WORKER, PartCheckers, check_in_parallel, count_workers
from orchestrator.dataset.read.reader import read_chats, read_chats_at
from orchestrator.dataset.read.source_files import (
    READABLE_SUFFIXES,
    DatasetPaths,
    FolderListing,
    SourceFile,
    get_file_size,
    list_folder,
    list_folders,
    list_missing_paths,
    list_source_files,
    measure_sources,
)
from orchestrator.dataset.rules import DatasetRules
from orchestrator.dataset.summary import CheckResult, FileSummary, Summary, build_histogram, merge_results
from orchestrator.dataset.tokens.counter import TokenCounter
from orchestrator.dataset.validation_set import (
    build_validation_rules,
    check_split_names,
    exclude_validation_files,
    find_overlap,
    line_key,
)

ReadProgressCallback = Callable[[int, int], None]
"""Receives the bytes read so far and the total bytes, about once per PROGRESS_INTERVAL_BYTES."""

PROGRESS_INTERVAL_BYTES = 1 << 20
SMALL_DATASET_BYTES = 256 << 10  # its tokens are counted without loading whole encodings
MAX_NAMED_FILES = 5  # files that a message names; it only counts the others


class AcceptedExample(NamedTuple):
    """An example without an error, and its canonical line."""

    example: Example
    line: bytes


class ExampleObserver(Protocol):
    """Receives each accepted example; the HTML report is built from it."""

    def add(self, example: Example, line: bytes, codes: Sequence[str], tokens: tuple[int, bool] | None) -> None:
        """Receive an example, its canonical line, the codes of its warnings, and its tokens and if they are exact."""


class _ReadProgress:
    """Reports the bytes read, if anybody wants to know."""

    def __init__(self, report: ReadProgressCallback | None, sources: Iterable[SourceFile]) -> None:
        self._report = report
        self._total = sum(map(get_file_size, sources)) if report else 0
        self._done = self._reported = 0

    def add(self, size: int) -> None:
        self._done += size
        if self._report and self._done - self._reported >= PROGRESS_INTERVAL_BYTES:
            self._reported = min(self._done, self._total)
            self._report(self._reported, self._total)

    def finish(self) -> None:
        if self._report:
            self._report(self._total, self._total)


class DatasetChecker:
    """Checks the files of a dataset in one pass: first exhaust one of the iterators, then call `build_result`."""

    def __init__(
        self,
        path: DatasetPaths,
        rules: DatasetRules,
        progress: ReadProgressCallback | None = None,
        *,
        validation: bool = False,
        observer: ExampleObserver | None = None,
    ) -> None:
        """Prepare the pass. `validation`: the files are a validation set, so names like "test" are no warning."""
        self._is_validation = validation
        self._observer = observer
        self.token_counter = TokenCounter(rules.base_models, rules.tokenizers)
        self._paths = path
        self._rules = rules
        self._provider_checker = ProviderRuleChecker(rules.providers)
        self._progress = progress
        self._collector = FindingCollector()
        self._corpus_checker = CorpusChecker()
        self._sources: list[SourceFile] = []
        self._list_folder = cache(list_folder)  # once: files and findings are those of one moment
        self._files: list[FileSummary] = []

    def iter_accepted(self) -> Iterator[AcceptedExample]:
        """Yield the examples without an error, in the order of the dataset."""
        sources = self._list_sources()
        if sum(map(get_file_size, sources)) <= SMALL_DATASET_BYTES:  # reading twice costs a tenth of what it saves
            records = (record for source in sources for record in read_chats(source))
            self.token_counter.prepare(record.example.body for record in records if record.example)
        progress = _ReadProgress(self._progress, sources)
        checker = ExampleChecker(self._rules, self.token_counter)
        for index, source in enumerate(sources):
            for record in read_chats(source):
                checked = checker.check(record, early=self._corpus_checker.is_early)
                if (facts := self._merge(index, checked)) and (example := record.example):
                    if self._observer:
                        tokens = next(iter(facts.tokens.values()), None)
                        self._observer.add(example, facts.line, facts.warnings, tokens)
                    yield AcceptedExample(example, facts.line)
                progress.add(checked.size)
        progress.finish()

    def iter_lines(self, workers: int | None = None) -> Iterator[bytes]:
        """Yield the canonical lines of the examples without an error, in the order of the dataset.

        `workers` is the number of processes that check; by default, large datasets use all processors.
        """
        sources = self._list_sources()
        workers = workers or count_workers(sum(map(get_file_size, sources)))
        if workers == 1 or self._observer:
            yield from (line for _, line in self.iter_accepted())
            return
        self._set_method(sources)
        checkers = PartCheckers(self._rules, self.token_counter, workers)
        yield from (facts.line for facts in self._iter_facts(sources, checkers))

    def check_files(self, cache_folder: CacheFolder) -> None:
        """Check the files like `iter_lines`, but without lines and excerpts, and use and store results in a cache."""
        sources = self._list_sources()
        total_bytes = sum(map(get_file_size, sources))
        if total_bytes < MIN_DATASET_BYTES:
            for _ in self.iter_accepted():
                pass
            return
        self._set_method(sources)
        with open_check_cache(cache_folder, self._paths, self._rules) as results:
            checkers = PartCheckers(
                self._rules,
                self.token_counter,
                count_workers(total_bytes),
                keeps_texts=False,
                bytes_without_workers=0 if results.is_empty else MIN_BYTES_PER_WORKER,
            )
            for _ in self._iter_facts(sources, checkers, results):
                pass

    def _iter_facts(
        self, sources: list[SourceFile], checkers: PartCheckers, results: CheckCache | None = None
    ) -> Iterator[AcceptedFacts]:
        progress = _ReadProgress(self._progress, sources)
        for index, checked in check_in_parallel(sources, checkers, self._corpus_checker.is_early_after, results):
            if facts := self._merge(index, checked):
                yield facts
            progress.add(checked.size)
        progress.finish()

    def _set_method(self, sources: Iterable[SourceFile]) -> None:
        """Let the method of the first example decide for the others, if the rules name none."""
        if self._rules.method is None:
            examples = (record.example for source in sources for record in read_chats(source) if record.example)
            first = next(examples, None)
            self._rules = choose_method(self._rules, first.body) if first else self._rules

    def _load_texts(self, places: Mapping[str, Collection[int]]) -> Iterator[CorpusTexts]:
        """Yield the texts of the accepted examples that start at some lines of some files, by file name."""
        checker = ExampleChecker(self._rules, self.token_counter, keeps_texts=False)
        for source in self._sources:
            for record in read_chats_at(source, lines) if (lines := places.get(source.name)) else ():
                checker.start_part()
                if texts := checker.check(record, early=True).texts:
                    yield texts

    def _list_sources(self) -> list[SourceFile]:
        listed = list_source_files(self._paths, self._list_folder)
        sources = measure_sources(exclude_validation_files(listed, self._rules.validation_path))
        self._sources = sources
        self._files = [FileSummary(source.name) for source in sources]
        return sources

    def build_result(self, *more: Finding) -> CheckResult:
        """Return all findings and the summary. `more` are further findings, such as those of the split."""
        listing = list_folders(self._paths, self._list_folder)
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
        counts = self._count_findings(summary, listing)
        for finding in (
            *self._folder_findings(listing),
            *counts,
            *more,
            *splits,
            *self._corpus_checker.build_findings(self._load_texts),
        ):
            self._collector.add(finding)
        return CheckResult(
            tuple(self._collector.findings), summary, dict(self._collector.counts), self._collector.excerpts
        )

    def _merge(self, index: int, checked: CheckedChat) -> AcceptedFacts | None:
        """Count a chat of a file, and return its facts if it is accepted."""
        summary = self._files[index]
        summary.chats += 1
        for finding, excerpt in checked.findings:
            self._collector.add(finding, excerpt)
        if (facts := checked.accepted) is None:
            summary.refused += 1
            return None
        summary.examples += 1
        summary.add_example(facts.format, facts.left_out)
        self.token_counter.add_counts(facts.tokens)
        self._corpus_checker.add(summary.file, checked.line, facts.corpus, checked.texts)
        return facts

    def _folder_findings(self, listing: FolderListing) -> Iterator[Finding]:
        """Report folders that were not read. An unreadable one may contain most of the chats, so it is an error."""
        for name, reason in listing.unreadable:
            hint = "Give this user read and execute permission (chmod u+rx), or move the folder out of the dataset."
            where = self._dataset_name() if name == "./" else name
            yield create_finding(FindingCode.NO_SUCH_PATH, where, f"the folder cannot be read: {reason}", hint=hint)
        for name in listing.folder_links:
            yield create_finding(
                FindingCode.FOLDER_LINK, name, "the link to a folder is not followed, so nothing in it is read"
            )

    def _count_findings(self, summary: Summary, listing: FolderListing) -> Iterator[Finding]:
        if missing := list_missing_paths(self._paths):
            yield from (
                create_finding(FindingCode.NO_SUCH_PATH, self._display_name(path), f"{path} does not exist")
                for path in missing
            )
            return
        if listing.unreadable:
            return  # the number of chats is unknown
        if not summary.files:
            endings = f"{', '.join(READABLE_SUFFIXES[:-1])} or {READABLE_SUFFIXES[-1]}"
            message = f"no chats found: no file name ends in {endings}"
            yield create_finding(FindingCode.NO_CHATS, self._dataset_name(), message + _ignored_files_text(summary))
            return
        training = summary.examples - self._rules.validation_size(summary.examples)
        for rule, message in self._provider_checker.check_counts(training, self._corpus_checker.image_examples):
            yield create_finding(rule.kind.code, self._dataset_name(), message)
        if training < (needed := self._rules.minimum_examples):
            verb = "is" if training == 1 else "are"
            count = format_count(training, "training example")
            message = f"there {verb} {count}, at least {needed} are required{_ignored_files_text(summary)}"
            yield create_finding(FindingCode.TOO_FEW_EXAMPLES, self._dataset_name(), message)

    def _dataset_name(self) -> str:
        return ", ".join(map(self._display_name, [self._paths] if isinstance(self._paths, Path) else self._paths))

    def _display_name(self, path: Path) -> str:
        return (path.name if isinstance(self._paths, Path) else path.as_posix()) or path.as_posix()


def _ignored_files_text(summary: Summary) -> str:
    """Name a few of the files that are not read, for a message that they may explain."""
    if not summary.ignored:
        return ""
    return f"; not read: {format_list(summary.ignored, limit=MAX_NAMED_FILES)}"


def check_dataset(
    path: DatasetPaths,
    rules: DatasetRules | None = None,
    *,
    training: Path | None = None,
    progress: ReadProgressCallback | None = None,
    observer: ExampleObserver | None = None,
    cache_folder: CacheFolder | None = None,
) -> CheckResult:
    """Check the dataset at `path` (a folder, a file or several) without uploading or writing anything.

    `cache_folder`: results of earlier checks are used, and those of this one are stored there. Then the result may
    lack excerpts. With `training`, `path` is a validation set, and none of its examples may be in that training set.
    Raises ConfigError only when a tokenizer of the rules cannot be loaded; problems of the dataset are findings.
    """
    rules = rules or DatasetRules()
    if training is None:
        if cache_folder and not observer and rules.validation_path is None:
            checker = DatasetChecker(path, rules, progress)
            with suppress(TextsNotFound):  # then nothing is known of it any more
                checker.check_files(cache_folder)
                return checker.build_result()
        return _check_training_set(path, rules, progress, observer)
    checker = DatasetChecker(path, build_validation_rules(rules), progress, validation=True, observer=observer)
    places = {sha256(line).digest(): example for example, line in checker.iter_accepted()}
    return checker.build_result(*_overlap_findings(places, training, rules))


def _check_training_set(
    path: DatasetPaths,
    rules: DatasetRules,
    progress: ReadProgressCallback | None,
    observer: ExampleObserver | None,
) -> CheckResult:
    checker, keys = DatasetChecker(path, rules, progress, observer=observer), array("Q")
    for line in checker.iter_lines():
        if rules.validation_path is not None:
            keys.append(line_key(rules.seed, line))
    result = checker.build_result()
    return result if rules.validation_path is None else merge_results(result, check_validation_set(rules, keys))


def check_validation_set(
    rules: DatasetRules, training: Iterable[int], write: Callable[[bytes], object] = lambda line: None
) -> CheckResult:
    """Check the validation set of `rules.validation_path`, and call `write` with the line of each accepted example.

    `training` are the keys of the training examples (`line_key`), none of which may be in the validation set.
    """
    assert rules.validation_path is not None
    checker = DatasetChecker(rules.validation_path, build_validation_rules(rules), validation=True)
    training_keys, overlaps = frozenset(training), []
    for example, line in checker.iter_accepted():
        write(line)
        if finding := find_overlap(example, line, training_keys, rules.seed):
            overlaps.append(finding)
    return checker.build_result(*overlaps)


def _overlap_findings(places: dict[bytes, Example], training: Path, rules: DatasetRules) -> Iterator[Finding]:
    for other, line in DatasetChecker(training, replace(rules, validation_path=None)).iter_accepted():
        if example := places.pop(sha256(line).digest(), None):
            at, path = example.locate(())
            message = f"the example is also in the training set, at {other.file}:{other.line}"
            yield create_finding(FindingCode.VALIDATION_OVERLAP, example.file, message, line=at, path=path)

"""The results of a check and of a build, as plain values that can be pickled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from orchestrator.core.dataset import Dataset
from orchestrator.core.finding import Finding, Severity
from orchestrator.core.structs import Struct, field, replace
from orchestrator.dataset.finding_codes import FindingCode


class FileSummary(Struct):
    """The counts of one file: `chats` = `examples` + `refused`; `examples` = the sum of `formats`.

    The field names are the keys of `check --json`.
    """

    file: str  # name as findings show it
    formats: dict[str, int] = field(default_factory=dict)  # examples by format
    left_out: dict[str, int] = field(default_factory=dict)  # data that is not part of the training format, by kind
    chats: int = 0
    examples: int = 0  # chats without an error
    refused: int = 0  # chats with an error

    def add_example(self, form: str, left_out: Iterable[str]) -> None:
        """Count one example's format and the data that was left out of it."""
        self.formats[form] = self.formats.get(form, 0) + 1
        for kind in left_out:
            self.left_out[kind] = self.left_out.get(kind, 0) + 1


class LengthHistogram(Struct, frozen=True):
    """A histogram: `counts[i]` examples have `bounds[i]` or more, and less than the next bound."""

    bounds: tuple[int, ...] = ()
    counts: tuple[int, ...] = ()


class Summary(Struct, frozen=True, kw_only=True):
    """The counts of a dataset. Every chat is an example or refused; every file is in `files` or in `ignored`.

    The field names are the keys of `check --json`.
    """

    files: tuple[FileSummary, ...]
    ignored: tuple[str, ...]  # files that are not read; a folder that is not entered ends with /
    tokens: Mapping[str, int | None]  # of one epoch of all examples, by base model; None where not known exactly
    roles: Mapping[str, int]  # messages by role
    estimated_tokens: Mapping[str, int] = field(default_factory=dict)  # for the base models with None in `tokens`
    lengths: LengthHistogram = LengthHistogram()  # of the examples, in characters
    token_lengths: Mapping[str, LengthHistogram] = field(default_factory=dict)  # in tokens, by encoding

    @property
    def chats(self) -> int:
        return sum(file.chats for file in self.files)

    @property
    def examples(self) -> int:
        return sum(file.examples for file in self.files)

    @property
    def refused(self) -> int:
        return sum(file.refused for file in self.files)

    @property
    def formats(self) -> dict[str, int]:
        """The number of examples by format."""
        return _sum_counts(file.formats for file in self.files)

    @property
    def left_out(self) -> dict[str, int]:
        """The number of times that data was left out, by its kind."""
        return _sum_counts(file.left_out for file in self.files)


def _sum_counts(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return dict(total)


class CheckResult(Struct, frozen=True):
    """The result of a check."""

    findings: tuple[Finding, ...]  # in the order of the files; at most MAX_COLLECTED_PER_CODE of each code
    summary: Summary
    counts: Mapping[str, int]  # all findings by code, listed or not
    excerpts: Mapping[int, str] = field(default_factory=dict)  # text around some findings, by index in `findings`

    @property
    def errors(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.severity is Severity.ERROR)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.severity is Severity.WARNING)

    def count_findings(self, severity: Severity) -> int:
        """Return the number of findings of this severity, listed or not."""
        return sum(count for slug, count in self.counts.items() if FindingCode.from_slug(slug).severity is severity)


def merge_results(training: CheckResult, validation: CheckResult) -> CheckResult:
    """Return the findings and files of both parts. Tokens, roles and lengths are those of the training part."""
    summary = replace(
        training.summary,
        files=training.summary.files + validation.summary.files,
        ignored=training.summary.ignored
        + tuple(name for name in validation.summary.ignored if name not in training.summary.ignored),
    )
    start = len(training.findings)
    return CheckResult(
        findings=training.findings + validation.findings,
        summary=summary,
        counts=dict(Counter(training.counts) + Counter(validation.counts)),
        excerpts={**training.excerpts, **{start + index: text for index, text in validation.excerpts.items()}},
    )


class BuildResult(Struct, frozen=True):
    """The result of a build: the files on disk and what the check reported."""

    dataset: Dataset
    tokens: Mapping[str, int | None]  # training tokens of one epoch by base model; None where not known exactly
    check_result: CheckResult


def build_histogram(values: Iterable[int], bars: int = 24) -> LengthHistogram:
    """Build a histogram of at most `bars` equal steps, each of 1, 2 or 5 times a power of ten."""
    counts = Counter(values)
    if not counts:
        return LengthHistogram()
    step = next(size for size in _iter_step_sizes() if max(counts) // size < bars)
    grouped: Counter[int] = Counter()
    for value, count in counts.items():
        grouped[value // step] += count
    last = max(grouped)
    return LengthHistogram(
        tuple(bar * step for bar in range(last + 1)), tuple(grouped[bar] for bar in range(last + 1))
    )


def _iter_step_sizes() -> Iterator[int]:
    power = 1
    while True:
        yield from (power, 2 * power, 5 * power)
        power *= 10

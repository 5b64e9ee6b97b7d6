"""Summary: what a check has read, and what it has found. Plain values; everything adds up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from orchestrator.core.dataset import Dataset
from orchestrator.core.finding import Finding, Severity
from orchestrator.dataset.finding_codes import FindingCode


@dataclass(slots=True)
class FileSummary:
    """What became of one file: `chats` = `examples` + `refused`; `examples` = the sum of `formats`.

    `left_out` counts what the training format has no place for, such as a frontend's settings.
    """

    file: str
    formats: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    chats: int = 0
    examples: int = 0
    refused: int = 0

    def add_example(self, form: str, left_out: Iterable[str]) -> None:
        """Note one example's format and what was left out of it."""
        self.formats[form] = self.formats.get(form, 0) + 1
        for what in left_out:
            self.left_out[what] = self.left_out.get(what, 0) + 1


@dataclass(frozen=True, slots=True)
class LengthHistogram:
    """How many examples have how much: `counts[i]` of them have `bounds[i]` or more, and less than the next bound."""

    bounds: tuple[int, ...] = ()
    counts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What was read. Every chat is an example or refused; every file is in `files` or in `ignored`.

    A folder that is not entered is one entry of `ignored`, with a `/` at its end.

    `tokens` are those of one epoch of all examples, by base model; None where they are not known exactly, for which
    `estimate_example_tokens` has a figure to go by.
    """

    files: tuple[FileSummary, ...]
    ignored: tuple[str, ...]
    tokens: Mapping[str, int | None]
    roles: Mapping[str, int]
    estimated_tokens: Mapping[str, int] = field(default_factory=dict)
    lengths: LengthHistogram = LengthHistogram()
    token_lengths: Mapping[str, LengthHistogram] = field(default_factory=dict)

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
        """How many examples were read in each format."""
        return _sum_counts(file.formats for file in self.files)

    @property
    def left_out(self) -> dict[str, int]:
        """How often something was left out, by what it was."""
        return _sum_counts(file.left_out for file in self.files)


def _sum_counts(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return dict(total)


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The outcome of a check, in the order of the files.

    Of each code the first 10,000 findings are kept; `counts` has the true numbers. `excerpts` gives, for some
    findings by their index, the text they are about.
    """

    findings: tuple[Finding, ...]
    summary: Summary
    counts: Mapping[str, int]
    excerpts: Mapping[int, str] = field(default_factory=dict)

    @property
    def errors(self) -> tuple[Finding, ...]:
        return tuple(found for found in self.findings if found.severity is Severity.ERROR)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        return tuple(found for found in self.findings if found.severity is Severity.WARNING)

    def count_findings(self, severity: Severity) -> int:
        """How many findings of this severity there are, kept or not."""
        return sum(count for slug, count in self.counts.items() if FindingCode.from_slug(slug).severity is severity)


def merge_results(training: CheckResult, validation: CheckResult) -> CheckResult:
    """Return what was found in both parts. Tokens, roles and lengths stay those of the training part."""
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


@dataclass(frozen=True, slots=True)
class BuildResult:
    """The dataset on disk. `tokens` are the training tokens of one epoch by base model, None where unknown."""

    dataset: Dataset
    tokens: Mapping[str, int | None]
    check_result: CheckResult


def build_histogram(values: Iterable[int], bars: int = 24) -> LengthHistogram:
    """Equal steps of 1, 2 or 5 times a power of ten, as many as fit into `bars`."""
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

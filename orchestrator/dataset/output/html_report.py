"""Renders the result of a check as one self-contained HTML page, without scripts and external resources."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from string import Template

from orchestrator.core.finding import Finding, Severity
from orchestrator.core.structs import Struct
from orchestrator.dataset.browse.distribution import build_distribution
from orchestrator.dataset.browse.histogram import Histogram, build_histograms
from orchestrator.dataset.finding_codes import FindingCode
from orchestrator.dataset.moderation.runner import ModerationResult
from orchestrator.dataset.output.example_renderer import render_examples, render_histogram
from orchestrator.dataset.output.formatters import format_tokens
from orchestrator.dataset.output.report_examples import SHOWN_PER_CODE, SHOWN_WITHOUT_FINDING, ReportExamples
from orchestrator.dataset.summary import CheckResult, FileSummary, LengthHistogram, Summary

MAX_SHOWN_FINDINGS = 50  # of each code; the text output has all
MAX_SHOWN_FILES = 500


class JobPrice(Struct, frozen=True):
    """The estimated price of one job, and the sentence that says where it comes from."""

    usd: float
    note: str


def to_html(
    result: CheckResult,
    *,
    title: str,
    moderation: ModerationResult | None = None,
    examples: ReportExamples | None = None,
    price: JobPrice | None = None,
) -> str:
    """Render the page: totals, histograms, roles, findings by code with excerpts, examples, moderation, and files."""
    summary = result.summary
    has_errors = result.count_findings(Severity.ERROR) > 0 or (moderation is not None and bool(moderation.findings))
    template = Template(files(__package__).joinpath("report.html").read_text("utf-8"))
    return template.substitute(
        title=escape(title),
        verdict="This dataset has errors and cannot be used." if has_errors else "This dataset can be used.",
        verdict_class="error" if has_errors else "good",
        cards=_render_cards(result),
        histograms=_render_histograms(result, examples, price),
        examples=_render_examples(examples),
        contents=_render_figure("Tokens of one epoch", _render_tokens(summary))
        + _render_figure("Messages by role", _render_counts(summary.roles))
        + _render_figure("Examples by format", _render_counts(summary.formats))
        + _render_figure("Left out (not part of the training format)", _render_counts(summary.left_out)),
        findings=_render_findings(result),
        moderation=_render_moderation(moderation),
        files=_render_files(summary.files),
        ignored=f'<p class="quiet">Not read: {escape(", ".join(summary.ignored))}</p>' if summary.ignored else "",
    )


def _render_cards(result: CheckResult) -> str:
    summary = result.summary
    numbers = {
        "chats": summary.chats,
        "examples": summary.examples,
        "refused": summary.refused,
        "errors": result.count_findings(Severity.ERROR),
        "warnings": result.count_findings(Severity.WARNING),
    }
    cards = (f'<div class="card"><b>{number:,}</b><span>{label}</span></div>' for label, number in numbers.items())
    return "".join(cards)


def _render_histograms(result: CheckResult, examples: ReportExamples | None, price: JobPrice | None) -> str:
    if examples is not None and examples.turns:
        return "".join(map(render_histogram, _build_histograms(examples, price)))
    lengths = _render_figure("Examples by characters", _render_bars(result.summary.lengths))
    tokens = (
        _render_figure(f"Examples by tokens ({name})", _render_bars(bars))
        for name, bars in result.summary.token_lengths.items()
    )
    return lengths + "".join(tokens)


def _build_histograms(examples: ReportExamples, price: JobPrice | None) -> tuple[Histogram, ...]:
    return build_histograms(
        build_distribution(examples.tokens),
        build_distribution(examples.turns),
        usd=price.usd if price else None,
        price_note=price.note if price else "The price is not known: the bars are shares of the tokens.",
        estimated=examples.is_estimated,
    )


def _render_examples(examples: ReportExamples | None) -> str:
    if examples is None or not examples.shown:
        return ""
    note = (
        f"Up to {SHOWN_PER_CODE} examples of each warning, and {SHOWN_WITHOUT_FINDING} without one. Keys, e-mail "
        "addresses and telephone numbers are replaced."
    )
    return f'<h2>Examples</h2><p class="quiet">{note}</p>{render_examples(examples.shown)}'


def _render_bars(histogram: LengthHistogram) -> str:
    """Render an SVG with one unit per bar, stretched to the width of the figure; each bar has a tooltip."""
    if not histogram.counts:
        return '<p class="quiet">no examples</p>'
    step = histogram.bounds[1] - histogram.bounds[0] if len(histogram.bounds) > 1 else histogram.bounds[0] + 1
    top = max(histogram.counts)
    bars = "".join(
        f'<rect x="{index + 0.06}" y="{100 - height:.2f}" width="0.88" height="{height:.2f}">'
        f"<title>{bound:,} to {bound + step - 1:,}: {count:,}</title></rect>"
        for index, (bound, count) in enumerate(zip(histogram.bounds, histogram.counts, strict=True))
        if (height := max(count * 100 / top, 1.5 if count else 0))
    )
    label = f"{len(histogram.counts)} bars, the highest {top:,}"
    width = max(len(histogram.counts), 8)
    return (
        f'<svg viewBox="0 0 {width} 100" preserveAspectRatio="none" role="img" aria-label="{label}">{bars}</svg>'
        f'<div class="axis"><span>0</span><span>highest bar: {top:,}</span><span>{width * step:,}</span></div>'
    )


def _render_figure(caption: str, inside: str) -> str:
    return f"<figure><figcaption>{escape(caption)}</figcaption>{inside}</figure>" if inside else ""


def _render_counts(counts: Mapping[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    return _render_table((), ((label, f"{count:,}") for label, count in ordered)) if counts else ""


def _render_tokens(summary: Summary) -> str:
    rows = [(base_model, format_tokens(summary, base_model)) for base_model in summary.tokens]
    return _render_table((), rows) if rows else ""


def _render_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Render a table whose first column is text and whose other columns are numbers."""
    kinds = ("", *[' class="number"'] * 9)
    titles = "".join(f"<th{kind}>{escape(cell)}</th>" for kind, cell in zip(kinds, head, strict=False))
    body = "".join(
        "<tr>" + "".join(f"<td{kind}>{escape(cell)}</td>" for kind, cell in zip(kinds, row, strict=False)) + "</tr>"
        for row in rows
    )
    return f"<table>{f'<thead><tr>{titles}</tr></thead>' if head else ''}<tbody>{body}</tbody></table>"


def _render_findings(result: CheckResult) -> str:
    grouped: dict[str, list[int]] = {}
    for index, finding in enumerate(result.findings):
        grouped.setdefault(finding.code, []).append(index)
    order = {code.slug: number for number, code in enumerate(FindingCode)}
    groups = (
        _render_group(FindingCode.from_slug(slug), grouped[slug], result)
        for slug in sorted(grouped, key=order.__getitem__)
    )
    return "".join(groups) or '<p class="good">No findings.</p>'


def _render_group(code: FindingCode, indexes: Sequence[int], result: CheckResult) -> str:
    rows = "".join(
        _render_item(result.findings[index], result.excerpts.get(index)) for index in indexes[:MAX_SHOWN_FINDINGS]
    )
    number = result.counts[code.slug]
    more = f'<p class="quiet">and {number - MAX_SHOWN_FINDINGS:,} more</p>' if number > MAX_SHOWN_FINDINGS else ""
    opened = " open" if code.severity is Severity.ERROR else ""
    return (
        f'<details{opened}><summary><code class="{code.severity}">{code.slug}</code> {number:,}</summary>'
        f'<p>{escape(code.meaning)}</p><p class="quiet">{escape(code.hint)}</p><ol>{rows}</ol>{more}</details>'
    )


def _render_item(finding: Finding, excerpt: str | None) -> str:
    line = f":{finding.line}" if finding.line is not None else ""
    quoted = f"<blockquote>{escape(excerpt)}</blockquote>" if excerpt else ""
    location = escape(f"{finding.file}{line}  {finding.path or ''}".rstrip())
    return f"<li><code>{location}</code><p>{escape(finding.message)}</p>{quoted}</li>"


def _render_moderation(outcome: ModerationResult | None) -> str:
    """Render what the cache knows; a text without a verdict never counts as passed."""
    if outcome is None or not outcome.sent + outcome.known:
        return '<p class="quiet">Not moderated yet.</p>'
    rows = "".join(_render_item(finding, None) for finding in outcome.findings[:MAX_SHOWN_FINDINGS])
    flagged = f'<details open><summary><code class="error">flagged</code></summary><ol>{rows}</ol></details>'
    return f'<p class="{"good" if outcome.passed else "error"}">{escape(str(outcome))}.</p>' + (
        flagged if rows else ""
    )


def _render_files(summaries: Sequence[FileSummary]) -> str:
    head = ("file", "chats", "examples", "refused")
    rows = [
        (file.file, f"{file.chats:,}", f"{file.examples:,}", f"{file.refused:,}")
        for file in summaries[:MAX_SHOWN_FILES]
    ]
    if len(summaries) > MAX_SHOWN_FILES:
        rows.append((f"and {len(summaries) - MAX_SHOWN_FILES:,} more files", "", "", ""))
    return _render_table(head, rows)

"""Report: the outcome of a check as one self-contained page. It loads nothing and runs nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from string import Template

from orchestrator.core.finding import Finding, Severity
from orchestrator.dataset.codes import Code
from orchestrator.dataset.moderating import Moderated
from orchestrator.dataset.output import tokens_text
from orchestrator.dataset.summary import Checked, FileSummary, Histogram, Summary

SHOWN = 50  # findings of each code; the text output has them all
FILES = 500


def to_html(checked: Checked, *, title: str, moderation: Moderated | None = None) -> str:
    """The page: totals, histograms, roles, findings by code with the text around them, moderation, files."""
    summary = checked.summary
    stops = checked.total(Severity.ERROR) > 0 or (moderation is not None and bool(moderation.findings))
    template = Template(files(__package__).joinpath("report.html").read_text("utf-8"))
    return template.substitute(
        title=escape(title),
        verdict="This dataset cannot be used yet." if stops else "This dataset can be used.",
        verdict_class="error" if stops else "good",
        cards=_cards(checked),
        histograms=_histograms(checked),
        contents=_figure("Tokens of one epoch", _tokens(summary))
        + _figure("Messages by role", _counts(summary.roles))
        + _figure("Examples by format", _counts(summary.formats))
        + _figure("Left out, as the training format has no place for it", _counts(summary.left_out)),
        findings=_findings(checked),
        moderation=_moderation(moderation),
        files=_files(summary.files),
        ignored=f'<p class="quiet">Not read: {escape(", ".join(summary.ignored))}</p>' if summary.ignored else "",
    )


def _cards(checked: Checked) -> str:
    summary = checked.summary
    numbers = {
        "chats": summary.chats,
        "examples": summary.examples,
        "refused": summary.refused,
        "errors": checked.total(Severity.ERROR),
        "warnings": checked.total(Severity.WARNING),
    }
    cards = (f'<div class="card"><b>{number:,}</b><span>{what}</span></div>' for what, number in numbers.items())
    return "".join(cards)


def _histograms(checked: Checked) -> str:
    lengths = _figure("Examples by characters", _bars(checked.summary.lengths))
    tokens = (
        _figure(f"Examples by tokens ({name})", _bars(bars)) for name, bars in checked.summary.token_lengths.items()
    )
    return lengths + "".join(tokens)


def _bars(histogram: Histogram) -> str:
    """An SVG of one unit a bar, stretched to the figure's width; each bar says its number when pointed at."""
    if not histogram.counts:
        return '<p class="quiet">nothing</p>'
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


def _figure(caption: str, inside: str) -> str:
    return f"<figure><figcaption>{escape(caption)}</figcaption>{inside}</figure>" if inside else ""


def _counts(counts: Mapping[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    return _table((), ((what, f"{count:,}") for what, count in ordered)) if counts else ""


def _tokens(summary: Summary) -> str:
    rows = [(base_model, tokens_text(summary, base_model)) for base_model in summary.tokens]
    return _table((), rows) if rows else ""


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """The first column is text, the others are numbers."""
    kinds = ("", *[' class="number"'] * 9)
    titles = "".join(f"<th{kind}>{escape(cell)}</th>" for kind, cell in zip(kinds, head, strict=False))
    body = "".join(
        "<tr>" + "".join(f"<td{kind}>{escape(cell)}</td>" for kind, cell in zip(kinds, row, strict=False)) + "</tr>"
        for row in rows
    )
    return f"<table>{f'<thead><tr>{titles}</tr></thead>' if head else ''}<tbody>{body}</tbody></table>"


def _findings(checked: Checked) -> str:
    grouped: dict[str, list[int]] = {}
    for index, found in enumerate(checked.findings):
        grouped.setdefault(found.code, []).append(index)
    order = {code.slug: number for number, code in enumerate(Code)}
    groups = (_group(Code.named(slug), grouped[slug], checked) for slug in sorted(grouped, key=order.__getitem__))
    return "".join(groups) or '<p class="good">Nothing was found.</p>'


def _group(code: Code, indexes: Sequence[int], checked: Checked) -> str:
    rows = "".join(_item(checked.findings[index], checked.excerpts.get(index)) for index in indexes[:SHOWN])
    number = checked.counts[code.slug]
    more = f'<p class="quiet">and {number - SHOWN:,} more</p>' if number > SHOWN else ""
    opened = " open" if code.severity is Severity.ERROR else ""
    return (
        f'<details{opened}><summary><code class="{code.severity}">{code.slug}</code> {number:,}</summary>'
        f'<p>{escape(code.meaning)}</p><p class="quiet">{escape(code.hint)}</p><ol>{rows}</ol>{more}</details>'
    )


def _item(found: Finding, excerpt: str | None) -> str:
    line = f":{found.line}" if found.line is not None else ""
    quoted = f"<blockquote>{escape(excerpt)}</blockquote>" if excerpt else ""
    place = escape(f"{found.file}{line}  {found.path or ''}".rstrip())
    return f"<li><code>{place}</code><p>{escape(found.message)}</p>{quoted}</li>"


def _moderation(outcome: Moderated | None) -> str:
    """What is known without asking; a text that nobody judged is never called clean."""
    if outcome is None or not outcome.sent + outcome.known:
        return '<p class="quiet">Not moderated yet.</p>'
    rows = "".join(_item(found, None) for found in outcome.findings[:SHOWN])
    flagged = f'<details open><summary><code class="error">flagged</code></summary><ol>{rows}</ol></details>'
    return f'<p class="{"good" if outcome.passed else "error"}">{escape(str(outcome))}.</p>' + (
        flagged if rows else ""
    )


def _files(summaries: Sequence[FileSummary]) -> str:
    head = ("file", "chats", "examples", "refused")
    rows = [(one.file, f"{one.chats:,}", f"{one.examples:,}", f"{one.refused:,}") for one in summaries[:FILES]]
    if len(summaries) > FILES:
        rows.append((f"and {len(summaries) - FILES:,} more files", "", "", ""))
    return _table(head, rows)

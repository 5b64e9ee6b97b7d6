"""Output: a check's outcome as text, JSON or SARIF. Pure functions; printing is the caller's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any
from urllib.parse import quote

from orchestrator.core.finding import Finding, Severity
from orchestrator.core.printable import printable
from orchestrator.dataset.codes import Code
from orchestrator.dataset.summary import Checked, Summary

SCHEMA = 1


def to_text(checked: Checked) -> str:
    """For people: a line for each finding, its hint below it where it changes, then the summary."""
    rows, last = [], ""
    for found in checked.findings:
        rows.append(f"{_where(found)}: {found.severity}: {found.message} [{found.code}]")
        if found.hint != last:
            rows.append(f"    {found.hint}")
        last = found.hint
    return "\n".join(map(printable, [*rows, *_summary_text(checked)])) + "\n"


def _where(found: Finding) -> str:
    line = f":{found.line}" if found.line is not None else ""
    return f"{found.file}{line}" + (f" {found.path}" if found.path else "")


def _summary_text(checked: Checked) -> list[str]:
    summary = checked.summary
    rows = [
        f"{_some(len(summary.files), 'file')}, {_some(summary.chats, 'chat')}: "
        + _some(summary.examples, "example")
        + _counted(" (", summary.formats, ")")
        + f", {summary.refused:,} refused"
    ]
    if summary.ignored:
        rows.append(f"not read: {', '.join(summary.ignored)}")
    if summary.left_out:
        rows.append(_counted("left out, as the training format has no place for it: ", summary.left_out))
    rows += [f"{base_model}: {tokens_text(summary, base_model)}" for base_model in summary.tokens]
    listed = Counter(found.code for found in checked.findings)
    if unlisted := {slug: count - listed[slug] for slug, count in checked.counts.items() if count > listed[slug]}:
        rows.append(_counted("counted, but not listed one by one: ", unlisted))
    return [*rows, *(_total(checked, severity) for severity in Severity)]


def _total(checked: Checked, severity: Severity) -> str:
    """How many, and of which codes; the most frequent first."""
    counts = {slug: count for slug, count in checked.counts.items() if Code.named(slug).severity is severity}
    ordered = dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
    return _some(checked.total(severity), str(severity)) + _counted(": ", ordered)


def tokens_text(summary: Summary, base_model: str) -> str:
    """The tokens of one epoch, and whether they are estimated."""
    if (tokens := summary.tokens[base_model]) is not None:
        return f"{tokens:,} tokens"
    return f"about {summary.estimated_tokens[base_model]:,} tokens (estimated)"


def _counted(before: str, counts: Mapping[str, int], after: str = "") -> str:
    return before + ", ".join(f"{count:,} × {what}" for what, count in counts.items()) + after if counts else ""


def _some(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def to_json(checked: Checked) -> dict[str, Any]:
    """For programs: everything, as plain values."""
    return {
        "schema": SCHEMA,
        "errors": checked.total(Severity.ERROR),
        "warnings": checked.total(Severity.WARNING),
        "counts": dict(checked.counts),
        "summary": _summary_json(checked.summary),
        "findings": [asdict(found) for found in checked.findings],
    }


def _summary_json(summary: Summary) -> dict[str, Any]:
    totals = {
        "chats": summary.chats,
        "examples": summary.examples,
        "refused": summary.refused,
        "formats": summary.formats,
        "left_out": summary.left_out,
    }
    return totals | asdict(summary)


def to_sarif(checked: Checked) -> dict[str, Any]:
    """For code review tools: SARIF 2.1.0."""
    codes = list(Code)
    driver = {"name": "orchestrator check", "rules": [_rule(code) for code in codes]}
    index = {code.slug: number for number, code in enumerate(codes)}
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": driver},
                "columnKind": "unicodeCodePoints",
                "results": [_result(found, index[found.code]) for found in checked.findings],
            }
        ],
    }


def _rule(code: Code) -> dict[str, Any]:
    return {
        "id": code.slug,
        "shortDescription": {"text": code.meaning},
        "help": {"text": code.hint},
        "defaultConfiguration": {"level": str(code.severity)},
    }


def _result(found: Finding, rule: int) -> dict[str, Any]:
    place: dict[str, Any] = {"physicalLocation": {"artifactLocation": {"uri": quote(found.file)}}}
    if found.line is not None:
        place["physicalLocation"]["region"] = {"startLine": found.line}
    if found.path:
        place["logicalLocations"] = [{"fullyQualifiedName": found.path}]
    return {
        "ruleId": found.code,
        "ruleIndex": rule,
        "level": str(found.severity),
        "message": {"text": f"{found.message}. {found.hint}"},
        "locations": [place],
    }

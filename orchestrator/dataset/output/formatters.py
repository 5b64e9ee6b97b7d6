"""Formats the result of a check as text, JSON or SARIF. Pure functions; the caller prints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from orchestrator.core.finding import Finding, Severity
from orchestrator.core.structs import asdict
from orchestrator.core.text import format_count
from orchestrator.core.text_sanitizer import sanitize_line
from orchestrator.dataset.finding_codes import FindingCode
from orchestrator.dataset.summary import CheckResult, Summary

OUTPUT_SCHEMA_VERSION = 1


def to_text(result: CheckResult) -> str:
    """Format for people: a line per finding, its hint below it unless it is repeated, then the summary."""
    rows, last_hint = [], ""
    for finding in result.findings:
        rows.append(f"{_format_location(finding)}: {finding.severity}: {finding.message} [{finding.code}]")
        if finding.hint != last_hint:
            rows.append(f"    {finding.hint}")
        last_hint = finding.hint
    return "\n".join(map(sanitize_line, [*rows, *_format_summary(result)])) + "\n"


def _format_location(finding: Finding) -> str:
    line = f":{finding.line}" if finding.line is not None else ""
    return f"{finding.file}{line}" + (f" {finding.path}" if finding.path else "")


def _format_summary(result: CheckResult) -> list[str]:
    summary = result.summary
    rows = [
        f"{format_count(len(summary.files), 'file')}, {format_count(summary.chats, 'chat')}: "
        + format_count(summary.examples, "example")
        + _format_counts(" (format: ", summary.formats, ")")
        + f", {summary.refused:,} refused"
    ]
    if summary.ignored:
        rows.append(f"not read: {', '.join(summary.ignored)}")
    if summary.left_out:
        rows.append(_format_counts("left out (not part of the training format): ", summary.left_out))
    rows += [f"{base_model}: {format_tokens(summary, base_model)}" for base_model in summary.tokens]
    listed = Counter(finding.code for finding in result.findings)
    if unlisted := {slug: count - listed[slug] for slug, count in result.counts.items() if count > listed[slug]}:
        rows.append(_format_counts("counted, but not listed: ", unlisted))
    return [*rows, *(_format_total(result, severity) for severity in Severity)]


def _format_total(result: CheckResult, severity: Severity) -> str:
    """Format the number of findings of a severity and their codes, the most frequent first."""
    counts = {
        slug: count for slug, count in result.counts.items() if FindingCode.from_slug(slug).severity is severity
    }
    ordered = dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
    return format_count(result.count_findings(severity), str(severity)) + _format_counts(": ", ordered)


def format_tokens(summary: Summary, base_model: str) -> str:
    """Format the tokens of one epoch, and whether they are estimated."""
    if (tokens := summary.tokens[base_model]) is not None:
        return f"{tokens:,} tokens"
    return f"about {summary.estimated_tokens[base_model]:,} tokens (estimated)"


def _format_counts(before: str, counts: Mapping[str, int], after: str = "") -> str:
    return before + ", ".join(f"{count:,} × {name}" for name, count in counts.items()) + after if counts else ""


def to_json(result: CheckResult) -> dict[str, Any]:
    """Format for programs: everything as plain values. The keys are public (`check --json`)."""
    return {
        "schema": OUTPUT_SCHEMA_VERSION,
        "errors": result.count_findings(Severity.ERROR),
        "warnings": result.count_findings(Severity.WARNING),
        "counts": dict(result.counts),
        "summary": _summary_to_json(result.summary),
        "findings": [asdict(finding) for finding in result.findings],
    }


def _summary_to_json(summary: Summary) -> dict[str, Any]:
    totals = {
        "chats": summary.chats,
        "examples": summary.examples,
        "refused": summary.refused,
        "formats": summary.formats,
        "left_out": summary.left_out,
    }
    return totals | asdict(summary)


def to_sarif(result: CheckResult) -> dict[str, Any]:
    """Format for code review tools: SARIF 2.1.0."""
    codes = list(FindingCode)
    driver = {"name": "orchestrator check", "rules": [_sarif_rule(code) for code in codes]}
    index = {code.slug: number for number, code in enumerate(codes)}
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": driver},
                "columnKind": "unicodeCodePoints",
                "results": [_sarif_result(finding, index[finding.code]) for finding in result.findings],
            }
        ],
    }


def _sarif_rule(code: FindingCode) -> dict[str, Any]:
    return {
        "id": code.slug,
        "shortDescription": {"text": code.meaning},
        "help": {"text": code.hint},
        "defaultConfiguration": {"level": str(code.severity)},
    }


def _sarif_result(finding: Finding, rule: int) -> dict[str, Any]:
    location: dict[str, Any] = {"physicalLocation": {"artifactLocation": {"uri": quote(finding.file)}}}
    if finding.line is not None:
        location["physicalLocation"]["region"] = {"startLine": finding.line}
    if finding.path:
        location["logicalLocations"] = [{"fullyQualifiedName": finding.path}]
    return {
        "ruleId": finding.code,
        "ruleIndex": rule,
        "level": str(finding.severity),
        "message": {"text": _escape_links(f"{finding.message}. {finding.hint}")},
        "locations": [location],
    }


def _escape_links(text: str) -> str:
    """Escape `[text](address)`, which viewers of SARIF would show as a link, with an address of the chats' author."""
    return text.replace("](", r"\](")

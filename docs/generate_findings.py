"""Writes docs/findings.md from the tables of codes and of provider rules: `python docs/generate_findings.py`."""

from __future__ import annotations

import re
from pathlib import Path

from orchestrator.core.account import ProviderName
from orchestrator.core.capabilities import CAPABILITIES, WireFormat
from orchestrator.core.finding import Severity
from orchestrator.dataset.canonical_jsonl import encode_canonical
from orchestrator.dataset.finding_codes import FindingCode
from orchestrator.dataset.provider_rule_examples import find_rule_examples
from orchestrator.dataset.provider_rules import ProviderRule, RuleKind, list_provider_rules

HEAD = """# Findings

Generated from `orchestrator/dataset/finding_codes.py` and `orchestrator/dataset/provider_rules.py`; do not edit.
A test fails if this page differs from the tables.

The findings of `orchestrator check`, by code. A dataset with an error is not used. A dataset
with warnings only is used; with `--strict`, the command exits with 1 for warnings too. Every finding names the file,
the line and the JSON path.
"""

PROVIDERS = """
## Rules of the providers

The requirements of each provider beyond OpenAI's chat format. The rules of the providers in the accounts file are
checked before anything is uploaded; without an accounts file, the rules of openai are used. The requirements of an
`openai-compatible` server are not known.

| provider | rule | finding |
|---|---|---|
"""

EXAMPLES = """
A refused and an accepted example for each rule about a single chat; images are shortened:

"""
SHOWN_CHARACTERS = 60  # of a data: URL


def page() -> str:
    """The page: a section for each code, and the rules of the providers."""
    errors, warnings = _section("Errors", Severity.ERROR), _section("Warnings", Severity.WARNING)
    return HEAD + errors + warnings + PROVIDERS + "".join(map(_rules, ProviderName)) + EXAMPLES + _examples()


def _rules(provider: ProviderName) -> str:
    fewest = CAPABILITIES[provider].minimum_examples
    count = f"{fewest} training example{'s'[: fewest > 1]}"
    rows = [f"| {provider} | A file must have at least {count}. | too-few-examples |\n"]
    rows += [_rule(rule) for rule in list_provider_rules([provider])]
    if (wire_format := CAPABILITIES[provider].wire_format) is not WireFormat.CHAT_LINES:
        rows.append(f"| {provider} | An example must fit into the format {wire_format} whole. | not-convertible |\n")
    return "".join(rows)


def _rule(rule: ProviderRule) -> str:
    return f"| {rule.provider} | {rule.meaning} ([source]({rule.source})) | {rule.kind.code.slug} |\n"


def _section(title: str, severity: Severity) -> str:
    codes = [code for code in FindingCode if code.severity is severity]
    return f"\n## {title}\n" + "".join(f"\n### {one.slug}\n{one.meaning}\n\n> {one.hint}\n" for one in codes)


def _examples() -> str:
    rows, shown = [], set[RuleKind]()
    for rule in list_provider_rules(ProviderName):
        if rule.kind not in shown and (examples := find_rule_examples(rule)) and len(str(examples)) < 2_000:
            shown.add(rule.kind)
            rows.append(f"{rule.meaning}\n\n```\n")
            for word, body in zip(("refused ", "accepted"), examples, strict=True):
                rows.append(f"{word} {_shortened(encode_canonical(body).decode())}")
            rows.append("```\n\n")
    return "".join(rows).rstrip("\n") + "\n"


def _shortened(line: str) -> str:
    return re.sub(rf'(data:[^"]{{{SHOWN_CHARACTERS}}})[^"]+', r"\1…", line)


if __name__ == "__main__":
    Path(__file__).with_name("findings.md").write_text(page(), encoding="utf-8")

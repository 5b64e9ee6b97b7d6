"""Writes docs/findings.md from the table in orchestrator/dataset/codes.py: `python docs/generate_findings.py`."""

from __future__ import annotations

from pathlib import Path

from orchestrator.core.finding import Severity
from orchestrator.dataset.codes import Code

HEAD = """# Findings

Generated from `orchestrator/dataset/codes.py`; do not edit. A test fails when this page is not what the table says.

What `orchestrator check` can find, by code. An error stops the dataset; a warning is advice, unless `--strict` makes
it stop, too. Every finding says the file, the line and the JSON path.
"""


def page() -> str:
    """The page: a section for each code."""
    return HEAD + _section("Errors", Severity.ERROR) + _section("Warnings", Severity.WARNING)


def _section(title: str, severity: Severity) -> str:
    codes = [code for code in Code if code.severity is severity]
    return f"\n## {title}\n" + "".join(f"\n### {one.slug}\n{one.meaning}\n\n> {one.hint}\n" for one in codes)


if __name__ == "__main__":
    Path(__file__).with_name("findings.md").write_text(page(), encoding="utf-8")

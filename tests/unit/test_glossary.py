"""A word that the code uses for a job's life stands in the glossary."""

from __future__ import annotations

import re
from pathlib import Path

from orchestrator.core.account import ProviderName
from orchestrator.core.jobs.lifecycle import JobState

DOCS = Path(__file__).parents[2] / "docs"
GLOSSARY = (DOCS / "glossary.md").read_text(encoding="utf-8")


def test_every_state_is_explained() -> None:
    words = set(re.findall(r"^\| ([a-z]+) \|", GLOSSARY, re.MULTILINE))
    assert {str(state) for state in JobState} <= words


def test_every_provider_is_named() -> None:
    assert [name for name in ProviderName if f"`{name}`" not in GLOSSARY] == []


def test_links_between_pages_are_valid() -> None:
    top = DOCS.parent
    pages = [*DOCS.rglob("*.md"), top / "CONTRIBUTING.md", top / "CHANGELOG.md", top / "SECURITY.md"]
    broken = [
        f"{page.relative_to(top)}: {link}"
        for page in pages
        for link in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text(encoding="utf-8"))
        if not (page.parent / link).exists()
    ]
    assert broken == []

"""No locked package has a licence that would bind this program's users, and the page names them all."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(
    sys.version_info[:2] != (3, 11), reason="the oldest supported Python needs the most packages: there all are seen"
)
DOCS = Path(__file__).parents[2] / "docs"
MAKER: dict[str, Any] = runpy.run_path(str(DOCS / "generate_licences.py"))
LICENCES: dict[str, str] = MAKER["licences"]()


@pytest.mark.parametrize("name", LICENCES)
def test_the_licence_is_known_and_permissive(name: str) -> None:
    named = MAKER["names_in"](LICENCES[name])
    assert named
    assert set(named) <= MAKER["ALLOWED"], f"{name}: {LICENCES[name]}"


@pytest.mark.parametrize("expression", ["GPL-3.0-or-later", "MIT AND AGPL-3.0-only", "unknown", "Proprietary"])
def test_unknown_licence_is_detected(expression: str) -> None:
    assert not set(MAKER["names_in"](expression)) <= MAKER["ALLOWED"]


def test_licences_page_matches_the_packages() -> None:
    written = (DOCS / "licences.md").read_text(encoding="utf-8")
    assert written == MAKER["page"](LICENCES), "docs/licences.md has drifted; run: python docs/generate_licences.py"

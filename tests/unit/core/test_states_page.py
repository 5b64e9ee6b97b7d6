from __future__ import annotations

import runpy
from pathlib import Path

DOCS = Path(__file__).parents[3] / "docs"


def test_states_page_matches_the_table() -> None:
    page = runpy.run_path(str(DOCS / "generate_states.py"))["page"]()
    written = (DOCS / "states.md").read_text(encoding="utf-8")
    assert written == page, "docs/states.md has drifted; run: python docs/generate_states.py"

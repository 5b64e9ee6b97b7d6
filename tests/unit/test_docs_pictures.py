"""Each picture of the documentation is taken by the script, so that none shows an old page for ever."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]


def test_every_picture_is_taken_by_the_script_and_shown_on_a_page() -> None:
    script = (ROOT / "docs" / "generate_images.py").read_text(encoding="utf-8")
    taken = {f"{name}.png" for name in re.findall(r'save\(page, "([\w-]+)"\)', script)}
    stored = {path.name for path in (ROOT / "docs" / "images").iterdir()}
    shown = {name for page in PAGES for name in re.findall(r"images/([\w.-]+)\)", page.read_text(encoding="utf-8"))}
    assert taken == stored == shown

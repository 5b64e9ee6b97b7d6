"""The tables of attacks in docs/explanation/security.md name tests that exist, and every test of tests/hostile/."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest
from source_tree import CHECKOUT, SourceTree

PAGE = "docs/explanation/security.md"
SECTION = "## What was attacked"
TEST = re.compile(r"`([\w/]+\.py)::(test_\w+)`")
DEFINITION = re.compile(r"^\s*(?:async )?def (test_\w+)\(", re.MULTILINE)  # to parse all tests takes 4 s of CPU


def list_rows(page: str) -> list[str]:
    """Return the rows of all tables of the section, without their heads."""
    section = page.partition(f"\n{SECTION}\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    return [row for row in rows if not row.startswith(("|---", "| attack | what happens | test |"))]


def list_tests(tree: SourceTree, pattern: str) -> Iterator[tuple[str, str]]:
    """Yield the path and the name of each test function, also of those in classes."""
    for path in tree.files:
        if fnmatch(path, pattern):
            for name in DEFINITION.findall(tree.read(path)):
                yield path, name


ROWS = list_rows(CHECKOUT.read(PAGE))
KNOWN = {(Path(path).name, name) for path, name in list_tests(CHECKOUT, "tests/*.py")}


def test_section_has_rows() -> None:
    assert ROWS, f"{PAGE} has no table under {SECTION!r}"


@pytest.mark.parametrize("row", ROWS)
def test_every_row_names_tests_that_exist(row: str) -> None:
    cells = [cell.strip() for cell in row.strip("|").split(" | ")]
    assert len(cells) == 3, "attack | what happens | test"
    named = {(Path(path).name, name) for path, name in TEST.findall(cells[2])}
    assert named, "the last column names a test as `file.py::test_name`"
    assert sorted(named - KNOWN) == []


def test_every_hostile_test_is_a_row() -> None:
    named = {(Path(path).name, name) for row in ROWS for path, name in TEST.findall(row)}
    hostile = {(Path(path).name, name) for path, name in list_tests(CHECKOUT, "tests/hostile/*.py")}
    assert sorted(hostile - named) == []

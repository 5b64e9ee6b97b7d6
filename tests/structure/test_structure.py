"""The limits of the structure: how large, how connected, how named and how worded the program is."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from import_graph import ImportKind, build_graph, find_cycles
from measurements import DATA_TABLES, count_comments, find_duplicate_classes, list_bare_constants
from source_tree import CHECKOUT, Module, SourceTree
from structure_report import TARGETS, WIDTH, Report, make_report, to_text
from user_texts import UserText, list_user_texts
from words import load_word_list


@pytest.fixture(scope="module")
def report() -> Report:
    return make_report()


@pytest.mark.parametrize("name", TARGETS)
def test_limit_is_kept(report: Report, name: str) -> None:
    value, limit = report.values[name], TARGETS[name]
    assert limit.allows(value), (
        f"{name}: {value:g}, wanted {limit.text} ({limit.why}); run: python tests/structure/structure_report.py"
    )


def test_every_limit_has_a_value(report: Report) -> None:
    assert report.values.keys() == TARGETS.keys()


def test_every_hard_file_is_found(report: Report) -> None:
    assert report.measured.missing_hard_files == [], "moved: correct HARD_FILES in tests/structure/measurements.py"


def test_every_data_table_is_found() -> None:
    paths = {module.path for module in CHECKOUT.modules}
    assert paths >= DATA_TABLES, "moved: correct DATA_TABLES in tests/structure/measurements.py"


def test_report_fits_into_80_columns(report: Report) -> None:
    assert [line for line in to_text(report).splitlines() if len(line) > WIDTH] == []


def module(name: str, text: str, *, package: bool = False) -> Module:
    path = name.replace(".", "/") + ("/__init__.py" if package else ".py")
    return Module(path, name, text, ast.parse(text))


def test_cycle_is_found_unless_it_is_deferred_or_for_types() -> None:
    modules = [
        module("orchestrator.a", "from orchestrator import b\n"),
        module("orchestrator.b", "if True:\n    import orchestrator.c\n"),
        module("orchestrator.c", "from .a import name\n"),
        module("orchestrator.d", "from orchestrator.e import X\n"),
        module("orchestrator.e", "def call():\n    from orchestrator import d\n"),
        module("orchestrator.f", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .g import X\n"),
        module("orchestrator.g", "from orchestrator.f import Y\n"),
    ]
    load, call, typing = ImportKind.LOAD, ImportKind.CALL, ImportKind.TYPING
    at_load = ["orchestrator.a", "orchestrator.b", "orchestrator.c"]
    at_call, for_types = ["orchestrator.d", "orchestrator.e"], ["orchestrator.f", "orchestrator.g"]
    assert find_cycles(build_graph(modules, {load})) == [at_load]
    assert find_cycles(build_graph(modules, {load, call})) == [at_load, at_call]
    assert find_cycles(build_graph(modules, {load, call, typing})) == [at_load, at_call, for_types]


def test_names_are_found_in_modules_and_classes() -> None:
    text = "MOST = 3\nclass A:\n    PATIENCE: float = 1.0\nclass Kind(StrEnum):\n    GONE = 1\nMAX_WAIT_SECONDS = 9\n"
    one, other = module("orchestrator.a", text), module("orchestrator.b", "class A: ...\nclass B: ...\n")
    assert [line.split()[1] for line in list_bare_constants(one)] == ["MOST", "PATIENCE"]
    assert find_duplicate_classes([one, other]) == {"A": ["orchestrator/a.py:2", "orchestrator/b.py:1"]}


def test_comments_are_counted_without_pragmas() -> None:
    text = "# why\nx = '# no comment'  # because\ny = x  # noqa: E501\nz = x  # type: ignore[misc]\n"
    assert (count_comments(text).commented, count_comments(text).lines) == (2, 4)


CODE = '''"""A module is told nothing."""
import re
from pydantic import BaseModel, Field

PATTERN = re.compile("it is told here")
SQL = "SELECT told FROM rows"


class Answer(BaseModel):
    """Whoever asks."""

    at: float = Field(description="When it was given up.")


class Plain:
    """Not shown, and told."""


@command()
def approve() -> None:
    """Let the run go on."""
    log.info("price.not_told", told=1)
    raise Error(f"file {name} is looked at", hint="Mend the file.")


def helper() -> None:
    """It is told to nobody."""
'''
TEMPLATE = """{# told #}<script>told()</script>
<p class="told told" title="For good, or not">{{ told | filter("an old tale, told") }} it goes
 on</p>
"""
PAGE = """# Told twice

`told` in code, [told](told.md) in text.

```
told in a block
```
"""


def test_listed_words_are_found_where_a_user_reads_them(tmp_path: Path) -> None:
    files = {
        "orchestrator/a.py": CODE,
        "orchestrator/web/a.html": TEMPLATE,
        "docs/a.md": PAGE,
        "README.md": "Anew.\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    found = list(load_word_list().find(list_user_texts(SourceTree(tmp_path))))
    assert sorted((each.path, each.line, each.word.word) for each in found) == [
        ("README.md", 1, "anew"),
        ("docs/a.md", 1, "told"),
        ("docs/a.md", 3, "told"),
        ("orchestrator/a.py", 10, "asked"),
        ("orchestrator/a.py", 10, "whoever"),
        ("orchestrator/a.py", 12, "given up"),
        ("orchestrator/a.py", 21, "go on"),
        ("orchestrator/a.py", 22, "told"),
        ("orchestrator/a.py", 23, "look at"),
        ("orchestrator/a.py", 23, "mend"),
        ("orchestrator/web/a.html", 2, "for good"),
        ("orchestrator/web/a.html", 2, "go on"),
        ("orchestrator/web/a.html", 2, "told"),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A lost answer is looked up after the deadline.", []),
        ("Look it up in the console.", []),
        ("text that looks like a key", []),
        ("Ask the account's owner for permission.", []),
        ("cancel asked", []),
        ("The retelling, the mender and the go-ongoing tool.", []),
        ("The key is looked\nat, and gives\nup.", ["given up", "look at"]),
        ("It was told what was told.", ["told", "what was given"]),
    ],
)
def test_phrases_are_allowed_and_words_found_whole(text: str, words: list[str]) -> None:
    found = load_word_list().find([UserText("string", "orchestrator/a.py", 1, text)])
    assert sorted(each.word.word for each in found) == words


def test_every_entry_of_the_word_list_matches_itself_or_gives_a_pattern() -> None:
    words = load_word_list().words
    assert len({word.word for word in words}) == len(words)
    assert [word.word for word in words if not word.match.search(word.word)] == []
    assert [word.word for word in words if word.match.search(word.write)] == []

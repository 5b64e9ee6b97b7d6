"""Print how the checkout is built: sizes, cycles, names, comments, words. See the README of tests/.

python tests/structure/structure_report.py                the table
python tests/structure/structure_report.py --words        every word of the list, with its place
python tests/structure/structure_report.py --json         everything, for a comparison
"""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measurements import Comments, Measurements, measure
from source_tree import CHECKOUT, ROOT, SourceTree
from user_texts import list_user_texts
from words import Occurrence, load_word_list

WIDTH = 80


@dataclass(frozen=True)
class Limit:
    """What a figure may be, and why."""

    name: str
    at_most: float | None
    at_least: float | None
    why: str

    def allows(self, value: float) -> bool:
        return (self.at_most is None or value <= self.at_most) and (self.at_least is None or value >= self.at_least)

    @property
    def text(self) -> str:
        return f"≤ {self.at_most:g}" if self.at_most is not None else f"≥ {self.at_least:g}"


TARGETS: dict[str, Limit] = {
    limit.name: limit
    for limit in (
        Limit("modules", 630, None, "fewer files, each with a subject that its name gives away"),
        Limit("median lines per module", None, 80, "a median below it means one noun per file"),
        Limit("maximum lines per module", 390, None, "a longer one has two subjects, explanations included"),
        Limit("files of at most 40 lines", 60, None, "only ports, constants and data tables are that short"),
        Limit("files in the largest folder", 22, None, "a longer listing is not read; use sub-folders"),
        Limit("import cycles", 0, None, "two modules in a circle are one module"),
        Limit("class names used twice", 0, None, "a search for the name finds one class"),
        Limit("bare constants", 0, None, "a constant names its subject and its unit"),
        Limit("longest function, lines", 45, None, "a longer one is split, or is a table"),
        Limit("comments per 1,000 lines", None, 25, "the code says what, the comments say why"),
        Limit("comments in the hard files", None, 30, "the least commented of the eight hard files"),
        Limit("listed words, program", 0, None, "plain, standard English in every message"),
        Limit("listed words, documentation", 0, None, "plain, standard English on every page"),
        Limit("soft words, program", 20, None, "ask and say have correct uses, but few"),
        Limit("soft words, documentation", 60, None, "ask and say have correct uses, but few"),
    )
}


@dataclass(frozen=True)
class Report:
    """The measurements and the words of one checkout."""

    measured: Measurements
    words: list[Occurrence]

    @property
    def values(self) -> dict[str, float]:
        """One figure for each target."""
        measured = self.measured
        hard = [comments.per_thousand for comments in measured.hard_files.values()]
        return {
            "modules": measured.modules,
            "median lines per module": measured.median_lines,
            "maximum lines per module": measured.max_lines,
            "files of at most 40 lines": len(measured.small_files),
            "files in the largest folder": measured.largest_folder[1],
            "import cycles": len(measured.cycles),
            "class names used twice": len(measured.duplicate_classes),
            "bare constants": len(measured.bare_constants),
            "longest function, lines": measured.longest_functions[0][0],
            "comments per 1,000 lines": measured.comments.per_thousand,
            "comments in the hard files": min(hard, default=0.0),
            "listed words, program": self._count(soft=False, documentation=False),
            "listed words, documentation": self._count(soft=False, documentation=True),
            "soft words, program": self._count(soft=True, documentation=False),
            "soft words, documentation": self._count(soft=True, documentation=True),
        }

    def _count(self, *, soft: bool, documentation: bool) -> int:
        return sum(found.word.soft is soft and found.in_documentation is documentation for found in self.words)


def make_report(tree: SourceTree = CHECKOUT) -> Report:
    """Measure a checkout."""
    return Report(measure(tree), list(load_word_list().find(list_user_texts(tree))))


def to_text(report: Report) -> str:
    """Render the table and its details, at most 80 columns wide."""
    return "\n".join([*_table(report), *_details(report.measured), *_word_counts(report.words)])


def to_json(report: Report) -> str:
    """Render everything."""
    measured = report.measured
    whole: dict[str, Any] = {
        "values": report.values,
        "missed": [name for name, value in report.values.items() if not TARGETS[name].allows(value)],
        "largest_module": measured.largest_module,
        "small_files": measured.small_files,
        "folders": measured.folders,
        "cycles": measured.cycles,
        "cycles_with_calls": measured.cycles_with_calls,
        "cycles_with_typing": measured.cycles_with_typing,
        "duplicate_classes": measured.duplicate_classes,
        "bare_constants": measured.bare_constants,
        "longest_functions": measured.longest_functions,
        "hard_files": {name: comments.per_thousand for name, comments in measured.hard_files.items()},
        "missing_hard_files": measured.missing_hard_files,
        "words": [
            {
                "word": found.word.word,
                "kind": found.kind,
                "path": found.path,
                "line": found.line,
                "text": found.excerpt,
            }
            for found in report.words
        ],
    }
    return json.dumps(whole, indent=1, ensure_ascii=False)


def to_word_lines(words: Sequence[Occurrence]) -> Iterator[str]:
    """Render every occurrence, by place."""
    for found in sorted(words, key=lambda found: (found.path, found.line)):
        yield f"{found.path}:{found.line}: {found.word.word} → {found.word.write}"
        yield from textwrap.wrap(f"… {found.excerpt} …", WIDTH, initial_indent="    ", subsequent_indent="    ")


def _table(report: Report) -> Iterator[str]:
    yield f"{'':<34}{'value':>10}{'target':>10}"
    for name, value in report.values.items():
        mark = "" if TARGETS[name].allows(value) else "  missed"
        yield f"{name:<34}{value:>10,g}{TARGETS[name].text:>10}{mark}"


def _details(measured: Measurements) -> Iterator[str]:
    yield from _section("Comments per 1,000 lines in the hard files", map(_hard_line, measured.hard_files.items()))
    yield from _section("Hard files that were not found", measured.missing_hard_files)
    yield from _section("Largest module", [f"{measured.max_lines} {measured.largest_module}"])
    folders = sorted(measured.folders.items(), key=lambda item: -item[1])[:5]
    yield from _section("Largest folders", [f"{count:>4} {name}" for name, count in folders])
    yield from _section("Longest functions", [f"{lines:>4} {place}" for lines, place in measured.longest_functions])
    yield from _section("Import cycles", map(" ".join, measured.cycles))
    yield from _section("Cycles through imports inside functions", map(" ".join, measured.cycles_with_calls))
    yield from _section("Cycles through imports for the type checker too", map(" ".join, measured.cycles_with_typing))
    doubles = [f"{name}: {' '.join(places)}" for name, places in measured.duplicate_classes.items()]
    yield from _section("Class names used twice", doubles)
    yield from _section("Bare constants", measured.bare_constants)


def _hard_line(item: tuple[str, Comments]) -> str:
    name, comments = item
    return f"{comments.per_thousand:>6.1f} {name} ({comments.commented} of {comments.lines} lines)"


def _word_counts(words: Sequence[Occurrence]) -> Iterator[str]:
    program = Counter(found.word.word for found in words if not found.in_documentation)
    pages = Counter(found.word.word for found in words if found.in_documentation)
    names = sorted(program.keys() | pages.keys(), key=lambda name: (-program[name], -pages[name]))
    rows = [f"{name:<30}{program[name]:>10}{pages[name]:>15}" for name in names]
    yield from _section(f"{'Words of the list':<32}{'program':>10}{'documentation':>15}", rows)


def _section(title: str, lines: Iterator[str] | map[str] | Sequence[str]) -> Iterator[str]:
    rows = list(lines)
    if rows:
        yield from ("", title)
    for row in rows:
        indent = " " * (2 + len(row) - len(row.lstrip()))
        yield from textwrap.wrap(row.lstrip(), WIDTH, initial_indent=indent, subsequent_indent="      ")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Measure how the program is built.")
    parser.add_argument("--root", type=Path, default=ROOT, help="checkout to measure (default: this one)")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.add_argument("--words", action="store_true", help="print every word of the list with its place")
    options = parser.parse_args(arguments)
    report = make_report(SourceTree(options.root.resolve()))
    if options.json:
        print(to_json(report))
    elif options.words:
        print(*to_word_lines(report.words), sep="\n")
    else:
        print(to_text(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The mutants of a module: what is changed, and what is left alone by rule."""

from __future__ import annotations

import ast

import pytest
from mutants import find_mutants

SOURCE = '''
"""A module."""
from math import pi
__all__ = ["check"]
LIMIT: int = 3
Number = int | float
class Kind:
    """A class."""
    name: str = "kind"
def check(value: int, log, *, strict: bool = True) -> bool:
    """Check it."""
    log.info("value.checked", value=value)
    if strict and value < LIMIT:
        raise ValueError(f"{value} is below {LIMIT}")
    match value:
        case 1 | 5:
            return call(value, name="a text with spaces", key="key", hint="hint")
    return not value
'''


def list_changes(source: str) -> list[str]:
    return [mutant.change for mutant in find_mutants(ast.parse(source))]


def test_every_kind_of_change_is_found_once() -> None:
    assert sorted(list_changes(SOURCE)) == sorted(
        [
            "3 → 4", "'kind' → 'kindx'", "True → False", "statement removed", "And → Or", "condition negated",
            "Lt → LtE",
            "statement removed", "1 → 2", "5 → 6", "pattern 1 removed", "pattern 2 removed", "returns None",
            "argument name removed", "argument key removed", "'key' → 'keyx'", "returns None", "Not removed",
        ]
    )  # fmt: skip


def test_each_mutant_is_a_program_of_its_own() -> None:
    programs = set()
    for number in range(len(list_changes(SOURCE))):
        tree = ast.parse(SOURCE)
        find_mutants(tree)[number].apply()
        compile(ast.fix_missing_locations(tree), "mutant", "exec")
        programs.add(ast.unparse(tree))
    assert len(programs) == len(list_changes(SOURCE))
    assert ast.unparse(ast.parse(SOURCE)) not in programs


@pytest.mark.parametrize(
    "source",
    [
        '"""A docstring."""',
        "from math import pi",
        "@dataclass(frozen=True, slots=True)\nclass A: ...",
        "__all__ = ['a']",
        "assert value > 3",
        "value: Final[int | None]",
        "if TYPE_CHECKING:\n    x = 3",
        "text = 'a text for people'",
        "text = f'{value:.2f} USD'",
    ],
)
def test_what_no_test_should_depend_on_is_left_alone(source: str) -> None:
    assert list_changes(source) == []


def test_place_of_a_mutant_is_its_outermost_function_or_the_constant_that_is_computed() -> None:
    source = "LIMIT = 3\nclass A:\n    size = 4\n    def grow(self):\n        def add():\n            return 5\n"
    places = {
        mutant.change: (mutant.context.function, mutant.context.constant)
        for mutant in find_mutants(ast.parse(source))
    }
    assert places == {
        "3 → 4": (None, "LIMIT"),
        "4 → 5": (None, "size"),
        "returns None": ("A.grow", None),
        "5 → 6": ("A.grow", None),
    }

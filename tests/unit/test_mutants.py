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
        "class A(Struct, frozen=True, order=False): ...",
        "@cached(maxsize=3)\nclass A: ...",
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


def test_each_caught_error_is_no_longer_caught_in_one_mutant() -> None:
    source = """
def call():
    with suppress(OSError):
        try:
            return 1
        except (KeyError, TypeError):
            return 2
        except ValueError as error:
            raise
"""
    tree = ast.parse(source)
    names = ("except removed", "error 1 removed", "error 2 removed")
    found = [(number, each) for number, each in enumerate(find_mutants(tree)) if each.change in names]
    assert [(each.change, each.line) for _, each in found] == [
        ("error 1 removed", 3), ("error 1 removed", 6), ("error 2 removed", 6), ("except removed", 8)
    ]  # fmt: skip
    changed = []
    for number, _ in found:
        tree = ast.parse(source)
        find_mutants(tree)[number].apply()
        lines = zip(ast.unparse(ast.parse(source)).splitlines(), ast.unparse(tree).splitlines(), strict=True)
        changed += [new.strip() for old, new in lines if old != new]
    assert changed == ["with suppress():", "except (TypeError,):", "except (KeyError,):", "except () as error:"]


def test_place_of_a_mutant_says_whether_it_handles_an_error() -> None:
    source = """
def call(value):
    if value == 1:
        raise ValueError
    if value == 2:
        return 3
    try:
        return 4
    except ValueError:
        return 5
"""
    handled = {mutant.line for mutant in find_mutants(ast.parse(source)) if mutant.context.handles_error}
    assert handled == {3, 4, 9, 10}

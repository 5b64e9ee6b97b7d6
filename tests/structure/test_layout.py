"""The layout of the tests: unit tests mirror the package, and modules that tests import have one name each."""

from __future__ import annotations

import ast
import re
import tomllib
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path

import pytest
from source_tree import CHECKOUT, PACKAGE, ROOT, SourceTree

TREE = CHECKOUT
UNIT_TESTS = [path for path in TREE.files if path.startswith("tests/unit/") and Path(path).name.startswith("test_")]
CONFIG = tomllib.loads(TREE.read("pyproject.toml"))
HELPER_FOLDERS = CONFIG["tool"]["pytest"]["ini_options"]["pythonpath"]


def list_expected_folders(test: str, tree: SourceTree) -> set[str]:
    """Return the folders below tests/unit/ in which a test of the module or package with this name may be."""
    name = Path(test).stem.removeprefix("test_")
    return list_folders_by_name(tree)[name]


@cache
def list_folders_by_name(tree: SourceTree) -> defaultdict[str, set[str]]:
    """Return the folders of the modules and packages by name; the tests of a package may be in the one above."""
    folders: defaultdict[str, set[str]] = defaultdict(set)
    for module in tree.modules:
        path = Path(module.path).relative_to(PACKAGE)
        folders[path.stem].add(str(path.parent))
        if module.is_package:
            folders[path.parent.name] |= {str(path.parent), str(path.parent.parent)}
    return folders


@pytest.mark.parametrize("test", UNIT_TESTS)
def test_unit_test_is_in_the_folder_of_its_module(test: str) -> None:
    folder = str(Path(test).parent.relative_to("tests/unit"))
    assert folder == "." or (ROOT / PACKAGE / folder).is_dir(), f"there is no {PACKAGE}/{folder}"
    expected = list_expected_folders(test, TREE)
    assert not expected or folder in expected, f"belongs in one of {sorted(expected)}, or needs another name"


def test_helper_folders_are_those_of_the_type_checker_and_their_names_are_unique() -> None:
    assert CONFIG["tool"]["mypy"]["mypy_path"] == ["$MYPY_CONFIG_FILE_DIR", *HELPER_FOLDERS]
    names = Counter(path.stem for folder in HELPER_FOLDERS for path in (ROOT / folder).glob("*.py"))
    assert [name for name, count in names.items() if count > 1 and name != "conftest"] == []


def test_every_helper_folder_is_importable() -> None:
    folders = {str(Path(path).parent) for path in TREE.files if path.startswith("tests/") and "/helpers/" in path}
    assert folders <= set(HELPER_FOLDERS)


def test_map_in_the_package_docstring_names_every_package_and_nothing_else() -> None:
    package_docstring = ast.get_docstring(ast.parse(TREE.read(f"{PACKAGE}/__init__.py"))) or ""
    named = re.findall(r"^(\w+(?:/|\.py)) {2,}\S", package_docstring, re.MULTILINE)
    top = {Path(module.path).relative_to(PACKAGE) for module in TREE.modules}
    expected = {f"{path.parts[0]}/" for path in top if len(path.parts) > 1}
    expected |= {path.name for path in top if len(path.parts) == 1 and not path.stem.startswith("__")}
    assert sorted(named) == sorted(expected)

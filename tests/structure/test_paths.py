"""Paths, test names and make targets that the documentation mentions exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest
from source_tree import CHECKOUT, PACKAGE, SourceTree

PAGES = (
    "README.md", "CONTRIBUTING.md", "SECURITY.md", "tests/README.md", "benchmarks/README.md", "docs/*.md", "Makefile",
    "pyproject.toml", "Dockerfile", "compose.yaml",
)  # fmt: skip
FILE = re.compile(r"(?<![\w/.{$~-])((?:[\w-]+/)*[\w-]+\.(?:py|toml|html|sh|service|lock|yaml|md))\b(?:::(\w+))?")
FOLDER = re.compile(rf"(?<=`)((?:[\w-]+/)+)(?=`)|(?<![\w/.]){PACKAGE}(?:/[\w-]+)+(?![\w/.])")
TEST_NAME = re.compile(r"`(test_\w+)(?:\[[^`]*\])?`")
TARGET = re.compile(r"`make ([a-z][\w-]*)")
# Files that an operator, a tool or another program has, and folders that a command creates.
FOREIGN = {
    "accounts.toml", "together.toml", "prices.toml", "my-values.yaml", "router.yaml", "uv.lock", "dist/",
    "faults.toml", "report.html", f"{PACKAGE}/chats", f"{PACKAGE}/migrations",
    "core/qm.py", "adapters/persistence/qb.py", "qb.py", "domain/settings.py",
}  # fmt: skip
CLASS_NAME = re.compile(r"`([A-Z][a-z]+[A-Z]\w*)(?:\.(\w+))?")
LOG_EVENT = re.compile(r"`([a-z_]+(?:\.[a-z_]+){1,2})`")
EVENT_PAGES = ("docs/reference/log-events.md", "docs/reference/notifications.md")
FOREIGN_CLASSES = {"HttpOnly", "MockTransport", "RetryRequested", "SameSite", "SecretStr"}
EXAMPLE = re.compile(r"acme")  # the example of a new provider
INVENTED = {"test_delivery_for_an_unknown_target_expires"}  # an example of a name


def list_pages(tree: SourceTree) -> list[str]:
    return [path for path in tree.files if any(fnmatch(path, pattern) for pattern in PAGES)]


def list_missing_paths(text: str, tree: SourceTree) -> Iterator[str]:
    """Yield the files and folders that a page names and that do not exist, and the tests that their file lacks.

    A page may leave out the first folders of a path (`store/db/database.py`), as the architecture does.
    """
    text = re.sub(r"https?://\S+", "", text)
    folders = list_folders(tree)
    for found in FILE.finditer(text):
        files = [file for file in tree.files if f"/{file}".endswith(f"/{found[1]}")]
        if not files and found[1] not in FOREIGN and not EXAMPLE.search(found[1]):
            yield found[1]
        elif found[2] and not any(found[2] in list_functions(tree.read(file)) for file in files):
            yield found[0]
    for found in FOLDER.finditer(text):
        if (
            not any(f"/{folder}".endswith(f"/{found[0].rstrip('/')}/") for folder in folders)
            and found[0] not in FOREIGN
        ):
            yield found[0]


@cache
def list_folders(tree: SourceTree) -> set[str]:
    return {f"{parent}/" for path in tree.files for parent in Path(path).parents}


def list_functions(text: str) -> set[str]:
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(ast.parse(text)) if isinstance(node, functions)}


TREE = CHECKOUT


@pytest.mark.parametrize("page", list_pages(TREE))
def test_paths_of_a_page_exist(page: str) -> None:
    assert sorted(set(list_missing_paths(TREE.read(page), TREE))) == []


def test_test_names_and_make_targets_of_the_pages_exist() -> None:
    texts = [TREE.read(page) for page in list_pages(TREE)]
    functions = {
        name for path in TREE.files if fnmatch(path, "tests/*test_*.py") for name in list_functions(TREE.read(path))
    }
    rules = re.findall(r"^([\w -]+):(?!=)", TREE.read("Makefile"), re.MULTILINE)
    assert {name for text in texts for name in TEST_NAME.findall(text)} <= functions | INVENTED
    assert {name for text in texts for name in TARGET.findall(text)} <= {
        name for rule in rules for name in rule.split()
    }


def test_class_names_of_the_pages_exist() -> None:
    named = {found for page in list_pages(TREE) for found in CLASS_NAME.findall(TREE.read(page))}
    classes: dict[str, set[str]] = {}
    for module in TREE.modules:
        for node in module.nodes:
            if isinstance(node, ast.ClassDef):
                classes.setdefault(node.name, set()).update(_list_members(node))
    unknown = {name for name, _ in named} - classes.keys() - FOREIGN_CLASSES
    assert unknown == set()
    assert {
        f"{name}.{member}" for name, member in named if member and member not in classes.get(name, {member})
    } == set()


def test_log_events_of_the_pages_exist() -> None:
    known = {event for page in EVENT_PAGES for event in LOG_EVENT.findall(TREE.read(page))}
    subjects = {event.partition(".")[0] for event in known}
    for page in list_pages(TREE):
        named = {event for event in LOG_EVENT.findall(TREE.read(page)) if event.partition(".")[0] in subjects}
        assert {event for event in named if not event.endswith((".json", ".py", ".toml", ".md"))} <= known, page


def _list_members(node: ast.ClassDef) -> Iterator[str]:
    """Yield the names of the class's methods and fields."""
    for part in ast.walk(node):
        if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef):
            yield part.name
        elif isinstance(part, ast.Name | ast.Attribute) and isinstance(part.ctx, ast.Store):
            yield part.id if isinstance(part, ast.Name) else part.attr


def test_missing_path_is_reported(tmp_path: Path) -> None:
    for path in ("orchestrator/store/db/database.py", "tests/unit/test_a.py", "docs/a.md"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("def test_b() -> None: ...\n")
    good = "`db/database.py` database.py docs/a.md `store/` orchestrator/store tests/unit/test_a.py::test_b dist/"
    bad = "store/outage.py retry.py tests/unit/test_a.py::test_c `stoer/` orchestrator/stoer"
    text = f"{good} https://x.example/orchestrator/none.py {bad}"
    assert list(list_missing_paths(text, SourceTree(tmp_path))) == bad.replace("`", "").split()

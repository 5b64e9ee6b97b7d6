"""The files of a checkout, and the syntax trees of the package's modules. Nothing is imported and nothing is run."""

from __future__ import annotations

import ast
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "orchestrator"
TYPING_ONLY = {"TYPE_CHECKING", "typing.TYPE_CHECKING"}


@dataclass(frozen=True)
class Module:
    """One file of the package."""

    path: str  # relative to the checkout
    name: str  # dotted
    text: str
    tree: ast.Module

    @property
    def is_package(self) -> bool:
        return self.path.endswith("/__init__.py")

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """All nodes of the syntax tree; many figures look at each, and to find them takes longer than to look."""
        return list(ast.walk(self.tree))

    @property
    def lines(self) -> int:
        return self.text.count("\n")

    @property
    def has_content(self) -> bool:
        """Whether anything is defined here; a docstring, `from __future__` and re-exports are no content."""
        if self.is_package:
            return any(
                isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) for node in self.tree.body
            )
        return any(not _is_docstring(node) and not _is_future_import(node) for node in self.tree.body)


@dataclass(frozen=True)
class SourceTree:
    """A git checkout, or a folder that was one."""

    root: Path = ROOT

    @cached_property
    def files(self) -> list[str]:
        """Every tracked or new file, relative to the root; ignored ones are left out."""
        command = ["git", "-C", str(self.root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        try:
            listed = subprocess.run(command, capture_output=True, check=True, text=True).stdout.split("\0")
        except (OSError, subprocess.CalledProcessError):  # an unpacked archive, or no git
            listed = [str(path.relative_to(self.root)) for path in self.root.rglob("*") if ".venv" not in path.parts]
        return sorted({name for name in listed if name and (self.root / name).is_file()})

    @cached_property
    def modules(self) -> list[Module]:
        """The package's modules, by path."""
        paths = [name for name in self.files if name.startswith(f"{PACKAGE}/") and name.endswith(".py")]
        return [self._module(path) for path in paths]

    def read(self, name: str) -> str:
        return (self.root / name).read_text(encoding="utf-8")

    def _module(self, path: str) -> Module:
        text = self.read(path)
        name = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        return Module(path=path, name=name, text=text, tree=ast.parse(text, path))


CHECKOUT = SourceTree()  # one for all tests: to parse the package takes 2 s of CPU


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_future_import(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"

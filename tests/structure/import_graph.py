"""Imports between the package's modules, and the cycles among them."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from functools import cache

from source_tree import PACKAGE, TYPING_ONLY, Module


class ImportKind(StrEnum):
    """When an import is executed."""

    LOAD = "load"  # with the module
    CALL = "call"  # inside a function, when it is called
    TYPING = "typing"  # for the type checker only


Graph = Mapping[str, set[str]]


def build_graph(modules: Iterable[Module], kinds: set[ImportKind]) -> Graph:
    """The modules that each module imports in one of these ways.

    That `import a.b.c` also executes `a` and `a.b` is no edge here: every package that re-exports a name of its
    modules would be a cycle.
    """
    known = {module.name: module for module in modules}
    graph: dict[str, set[str]] = {name: set() for name in known}
    for name, module in known.items():
        for kind, target in _list_imports(module):
            found = target if target in known else target.rpartition(".")[0]
            if kind in kinds and found in known and found != name:
                graph[name].add(found)
    return graph


def find_cycles(graph: Graph) -> list[list[str]]:
    """The strongly connected components of more than one module (Tarjan's algorithm)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    cycles: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for target in sorted(graph[name]):
            if target not in index:
                visit(target)
                low[name] = min(low[name], low[target])
            elif target in stack:
                low[name] = min(low[name], index[target])
        if low[name] == index[name]:
            component = stack[stack.index(name) :]
            del stack[-len(component) :]
            if len(component) > 1:
                cycles.append(sorted(component))

    for name in sorted(graph):
        if name not in index:
            visit(name)
    return sorted(cycles)


@cache  # several graphs are built of the same modules
def _list_imports(module: Module) -> list[tuple[ImportKind, str]]:
    return list(_walk(module, module.tree.body, ImportKind.LOAD))


def _walk(module: Module, body: Iterable[ast.AST], kind: ImportKind) -> Iterator[tuple[ImportKind, str]]:
    for node in body:
        if isinstance(node, ast.Import):
            yield from ((kind, alias.name) for alias in node.names if alias.name.startswith(PACKAGE))
        elif isinstance(node, ast.ImportFrom):
            base = _resolve(module, node)
            yield from ((kind, f"{base}.{alias.name}") for alias in node.names if base.startswith(PACKAGE))
        elif isinstance(node, ast.If) and ast.unparse(node.test) in TYPING_ONLY:
            yield from _walk(module, node.body, ImportKind.TYPING)
            yield from _walk(module, node.orelse, kind)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from _walk(module, ast.iter_child_nodes(node), ImportKind.CALL if kind is ImportKind.LOAD else kind)
        else:
            yield from _walk(module, ast.iter_child_nodes(node), kind)


def _resolve(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parts = module.name.split(".")
    package = parts[: len(parts) - node.level + module.is_package]
    return ".".join([*package, *([node.module] if node.module else [])])

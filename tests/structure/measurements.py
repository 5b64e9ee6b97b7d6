"""Figures about the package's modules: size, names, comments, cycles."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from statistics import median

from import_graph import ImportKind, build_graph, find_cycles
from source_tree import Module, SourceTree

SMALL_LINES = 40

# The files whose code cannot be understood without its reasons: path today, or after the move into sub-packages.
HARD_FILES: dict[str, tuple[str, ...]] = {
    "lifecycle": ("orchestrator/core/lifecycle.py", "orchestrator/core/jobs/lifecycle.py"),
    "next action": ("orchestrator/core/action.py", "orchestrator/core/jobs/next_action.py"),
    "reconciler": ("orchestrator/daemon/reconciler.py",),
    "outcome recording": ("orchestrator/store/outcomes.py", "orchestrator/store/queries/outcomes.py"),
    "group commit": ("orchestrator/store/writer.py", "orchestrator/store/db/group_commit.py"),
    "HTTP transport": ("orchestrator/providers/sockets.py", "orchestrator/providers/http/aiohttp_transport.py"),
    "status cache": ("orchestrator/status/document.py", "orchestrator/status/cache/status_cache.py"),
    "dispatch adapter": ("orchestrator/dispatch/pgqueuer.py", "orchestrator/dispatch/pgqueuer_dispatch.py"),
}

# Modules that are one table of data: their length is the number of rows, and a split would only scatter the rows.
DATA_TABLES = {"orchestrator/dataset/finding_codes.py"}  # an enum, one row per kind of finding; it cannot be split

# Constants whose name says neither the subject nor the unit.
# fmt: off
BARE_CONSTANTS = {
    "AGED", "AT_ONCE", "BATCH", "BITE", "BITES", "CHUNK", "EVERY", "FEW", "FOREVER", "GONE", "GRACE", "HALF",
    "KEPT", "KEYS", "LAST", "LEAST", "LIMIT", "LONGEST", "MANY", "MAX", "MIN", "MOST", "MOST_AT_ONCE",
    "MOST_IN_ALL", "OFTEN", "PAGE", "PATIENCE", "QUIET", "RARELY", "REMEMBERED", "RETRY", "SHARE", "SHORTEST",
    "SILENCE", "SIZE", "SLOW", "SOON", "STALE", "STRANGE", "TIMEOUT", "TOGETHER", "WAIT", "WINDOW",
}
# fmt: on
PRAGMA = re.compile(r"#\s*(noqa|type:\s*ignore|pragma|fmt:)")


@dataclass(frozen=True)
class Comments:
    """How much is explained where it is written. Pragmas for tools are no comments."""

    lines: int
    commented: int

    @property
    def per_thousand(self) -> float:
        return round(1000 * self.commented / self.lines, 1) if self.lines else 0.0


@dataclass(frozen=True)
class Measurements:
    """Everything that is measured without looking at prose."""

    modules: int
    median_lines: float
    max_lines: int
    largest_module: str
    small_files: list[str]
    folders: dict[str, int]
    cycles: list[list[str]]
    cycles_with_calls: list[list[str]]
    cycles_with_typing: list[list[str]]
    duplicate_classes: dict[str, list[str]]
    bare_constants: list[str]
    comments: Comments
    hard_files: dict[str, Comments]
    missing_hard_files: list[str]
    longest_functions: list[tuple[int, str]] = field(default_factory=list)

    @property
    def largest_folder(self) -> tuple[str, int]:
        return max(self.folders.items(), key=lambda item: (item[1], item[0]))


def measure(tree: SourceTree) -> Measurements:
    """Measure a checkout."""
    filled = [module for module in tree.modules if module.has_content]
    sizes = [module.lines for module in filled]
    largest = max((module for module in filled if module.path not in DATA_TABLES), key=lambda module: module.lines)
    comments = {module.path: count_comments(module.text) for module in tree.modules}
    hard = {name: next((path for path in paths if path in comments), "") for name, paths in HARD_FILES.items()}
    load, call, typing = ImportKind.LOAD, ImportKind.CALL, ImportKind.TYPING
    return Measurements(
        modules=len(filled),
        median_lines=median(sizes),
        max_lines=largest.lines,
        largest_module=largest.path,
        small_files=[module.path for module in filled if module.lines <= SMALL_LINES],
        folders=_count_by_folder(tree.modules),
        cycles=find_cycles(build_graph(tree.modules, {load})),
        cycles_with_calls=find_cycles(build_graph(tree.modules, {load, call})),
        cycles_with_typing=find_cycles(build_graph(tree.modules, {load, call, typing})),
        duplicate_classes=find_duplicate_classes(tree.modules),
        bare_constants=[name for module in tree.modules for name in list_bare_constants(module)],
        comments=Comments(sum(c.lines for c in comments.values()), sum(c.commented for c in comments.values())),
        hard_files={name: comments[path] for name, path in hard.items() if path},
        missing_hard_files=[name for name, path in hard.items() if not path],
        longest_functions=sorted(
            (size for module in tree.modules for size in _function_sizes(module)),
            key=lambda size: (-size[0], size[1]),
        )[:5],
    )


def count_comments(text: str) -> Comments:
    """Count the lines that hold a comment, whole or at their end."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    commented = {
        token.start[0] for token in tokens if token.type == tokenize.COMMENT and not PRAGMA.match(token.string)
    }
    return Comments(text.count("\n"), len(commented))


def find_duplicate_classes(modules: Sequence[Module]) -> dict[str, list[str]]:
    """Every class name that is defined more than once, with its places."""
    places: dict[str, list[str]] = defaultdict(list)
    for module in modules:
        for node in module.nodes:
            if isinstance(node, ast.ClassDef):
                places[node.name].append(f"{module.path}:{node.lineno}")
    return {name: found for name, found in sorted(places.items()) if len(found) > 1}


def list_bare_constants(module: Module) -> Iterator[str]:
    """List the constants of a module or of its classes whose name is in the word list; members of enums are none."""
    classes = [node for node in module.tree.body if isinstance(node, ast.ClassDef) and not _is_enum(node)]
    for node in (node for body in [module.tree.body, *(node.body for node in classes)] for node in body):
        for target in _assigned(node):
            if isinstance(target, ast.Name) and target.id.lstrip("_") in BARE_CONSTANTS:
                yield f"{module.path}:{node.lineno} {target.id}"


def _assigned(node: ast.stmt) -> list[ast.expr]:
    if isinstance(node, ast.Assign):
        return node.targets
    return [node.target] if isinstance(node, ast.AnnAssign) else []


def _is_enum(node: ast.ClassDef) -> bool:
    return any(ast.unparse(base).endswith(("Enum", "Flag")) for base in node.bases)


def _count_by_folder(modules: Sequence[Module]) -> dict[str, int]:
    return dict(Counter(str(PurePosixPath(module.path).parent) for module in modules if not module.is_package))


def _function_sizes(module: Module) -> Iterator[tuple[int, str]]:
    for node in module.nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield (node.end_lineno or node.lineno) - node.lineno + 1, f"{module.path}:{node.lineno} {node.name}"

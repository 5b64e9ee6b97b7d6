"""The texts that a user reads, taken from the source without running it.

A text of the code is a string constant with a space in it: messages, hints, help texts, descriptions, summaries,
findings, dashboard labels. Docstrings are for programmers, except those of commands, routes and API models, which
are printed. Log events have no space; they are recognised as the first argument of a call. Of a template the tags and
the expressions are left out, of a page its code.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch

from source_tree import PACKAGE, Module, SourceTree

PAGES = ("README.md", "CHANGELOG.md", "SECURITY.md", "CONTRIBUTING.md", "docs/*.md", "tests/README.md")
DECISIONS = "docs/decisions/*"  # a record of its time: only the titles have to be clear
COMMENTED = (
    "accounts.example.toml", "deploy/*.toml", "deploy/*.yaml", "deploy/*.service", "deploy/*.env", "compose.yaml",
)  # fmt: skip
TEMPLATES = (f"{PACKAGE}/*.html",)
SCRIPTS = (f"{PACKAGE}/*/static/*.js",)
VENDORED = ("*.min.js", "*/static/*.iife.*", "deploy/helm/rendered/*", "*/tests/*")
DOCUMENTATION = {"page", "comment of an example"}
WHOLE_FILES = {"template", *DOCUMENTATION}  # kinds whose texts are whole files: a place in them has its own line
SHOWN_DOCSTRINGS = {"command", "callback", "get", "post", "put", "patch", "delete", "api_route"}
PYDANTIC = {"BaseModel", "BaseSettings"}
LOG_EVENT = re.compile(r"[a-z][a-z_]*\.[a-z_]+")
FILE_NAME = re.compile(r".*\.(toml|json|jsonl|html|py|md|db|css|js|lock|csv|env|txt|pem|svg|yaml|gz)")
NOT_TEXT = re.compile(
    r"\s*(SELECT|INSERT|UPDATE|DELETE|PRAGMA|CREATE|ALTER|DROP|BEGIN|WITH|SET|NOTIFY|LISTEN|LOCK)\b"
)
NOT_TEXT_CALLS = {"re.compile", "text", "sa.text", "DDL", "Template"}


ClassId = tuple[str, str]  # its module and its name


@dataclass(frozen=True)
class UserText:
    """One text, with its place; `kind` says where a user meets it."""

    kind: str
    path: str
    line: int
    text: str


def list_user_texts(tree: SourceTree) -> Iterator[UserText]:
    """Every text that a user may read."""
    models = _find_models(tree.modules)
    for module in tree.modules:
        yield from _code_texts(module, models)
    for path in _select(tree, TEMPLATES):
        yield UserText("template", path, 1, _template_text(tree.read(path)))
    for path in _select(tree, SCRIPTS):
        yield from _script_texts(path, tree.read(path))
    for path in _select(tree, PAGES):
        text = tree.read(path)
        yield UserText("page", path, 1, _titles(text) if fnmatch(path, DECISIONS) else _page_text(text))
    for path in _select(tree, COMMENTED):
        comments = re.sub(r"^[^#\n]*|(?<=\n)[^#\n]*", "", tree.read(path)).replace("#", " ")
        yield UserText("comment of an example", path, 1, comments)


def _select(tree: SourceTree, patterns: Iterable[str]) -> list[str]:
    found = [path for path in tree.files if any(fnmatch(path, pattern) for pattern in patterns)]
    return [path for path in found if not any(fnmatch(path, pattern) for pattern in VENDORED)]


# Code


def _code_texts(module: Module, models: set[ClassId]) -> Iterator[UserText]:
    docstrings = dict(_docstrings(module))
    skipped = set(_inside_not_text(module))
    parts = {id(value) for node in module.nodes if isinstance(node, ast.JoinedStr) for value in node.values}
    for node in module.nodes:
        if isinstance(node, ast.Call) and node.args and (event := _log_event(node.args[0])):
            yield UserText("log event", module.path, node.lineno, event)
        if id(node) in skipped or id(node) in parts:
            continue
        kind = "string"
        if id(node) in docstrings:
            kind = _docstring_kind(module, docstrings[id(node)], models)
        text = _string(node)
        if kind and text and " " in text.strip() and not NOT_TEXT.match(text):
            yield UserText(kind, module.path, node.lineno, text)  # type: ignore[attr-defined]


def _string(node: ast.AST) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)  # type: ignore[misc]
    return ""


def _log_event(node: ast.expr) -> str:
    text = _string(node)
    return re.sub(r"[._]", " ", text) if LOG_EVENT.fullmatch(text) and not FILE_NAME.fullmatch(text) else ""


def _docstrings(module: Module) -> Iterator[tuple[int, ast.AST]]:
    """The id of each docstring's node and its owner; also of the strings that stand below a field."""
    for owner in module.nodes:
        if isinstance(owner, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            for index, node in enumerate(owner.body):
                if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                    yield id(node.value), owner if index == 0 else module.tree


def _docstring_kind(module: Module, owner: ast.AST, models: set[ClassId]) -> str:
    if isinstance(owner, ast.FunctionDef | ast.AsyncFunctionDef):
        names = {_last_name(node.func if isinstance(node, ast.Call) else node) for node in owner.decorator_list}
        return "command or route" if names & SHOWN_DOCSTRINGS else ""
    return "API model" if isinstance(owner, ast.ClassDef) and (module.name, owner.name) in models else ""


def _find_models(modules: Iterable[Module]) -> set[ClassId]:
    """Find the classes whose docstring pydantic puts into the description of the API."""
    bases: dict[ClassId, set[ClassId]] = {}
    for module in modules:
        imported = {
            alias.asname or alias.name: (node.module or "", alias.name)
            for node in module.nodes
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        for node in module.nodes:
            if isinstance(node, ast.ClassDef):
                names = map(_last_name, node.bases)
                bases[module.name, node.name] = {imported.get(name, (module.name, name)) for name in names}
    models = {owner for owner, names in bases.items() if PYDANTIC & {name for _, name in names}}
    while more := {owner for owner, names in bases.items() if models & names} - models:
        models |= more
    return models


def _inside_not_text(module: Module) -> Iterator[int]:
    """Patterns, SQL, and names in `__all__` and in annotations of types."""
    for node in module.nodes:
        called = isinstance(node, ast.Call) and ast.unparse(node.func) in NOT_TEXT_CALLS
        listed = isinstance(node, ast.Assign) and any(ast.unparse(target) == "__all__" for target in node.targets)
        if called or listed:
            yield from (id(part) for part in ast.walk(node))


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


# Templates, scripts and pages: what is left out becomes spaces, so that the lines stay the same


def _blank(pattern: str, text: str, flags: int = 0) -> str:
    return re.sub(pattern, lambda found: re.sub(r"[^\n]", " ", found[0]), text, flags=flags)


def _template_text(text: str) -> str:
    text = _blank(r"\{#.*?#\}|<style.*?</style>|<script.*?</script>|<!--.*?-->", text, re.DOTALL)
    shown = r"""\b(?:title|alt|placeholder|aria-label|content|value|data-[a-z-]+)="([^"<>{}]*\s[^"<>{}]*)\""""
    text = re.sub(shown, lambda found: f">{found[1]}<", text)
    quoted = r"""\{[{%].*?[%}]\}"""
    text = re.sub(quoted, lambda found: _quoted(found[0]), text, flags=re.DOTALL)
    return _blank(r"<[^<>]*>", text)


def _quoted(expression: str) -> str:
    """The strings of an expression that have a space in them."""
    strings = " ".join(found[2] for found in re.finditer(r"""(["'])([^"'\n]*\s[^"'\n]*)\1""", expression))
    return strings + "\n" * expression.count("\n")


def _script_texts(path: str, text: str) -> Iterator[UserText]:
    code = _blank(r"/\*.*?\*/|(?m:(?<![:\"'])//.*$)", text, re.DOTALL)
    for found in re.finditer(r"""(["'`])((?:\\.|(?!\1)[^\\\n])*)\1""", code):
        if " " in found[2].strip():
            yield UserText("script", path, code.count("\n", 0, found.start()) + 1, found[2])


def _page_text(text: str) -> str:
    text = _blank(r"^( *)(```|~~~).*?^\1\2", text, re.DOTALL | re.MULTILINE)
    text = _blank(r"<!--.*?-->|`[^`\n]*`", text, re.DOTALL)
    return _blank(r"\]\([^)\s]*\)|<[^<>\n]*>|https?://\S+", text)


def _titles(text: str) -> str:
    return "\n".join(line if line.startswith("#") else "" for line in text.splitlines())

"""Finds the mutants of a module: small changes of its syntax tree, of which a good test suite detects each.

Excluded by rule, because no test should depend on them: docstrings, annotations, imports, decorators, the options of
a class (`frozen`), `__all__`, assertions, texts for people (strings with a space, and the strings of messages and log
lines), formats of numbers, and `|` between types.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr,
    ast.LShift: ast.RShift, ast.RShift: ast.LShift,
}  # fmt: skip
SWAPPED_NAMES = {"min": "max", "max": "min", "any": "all", "all": "any"}
SWAPPED_METHODS = {
    "startswith": "endswith", "endswith": "startswith", "lower": "upper", "upper": "lower", "strip": "lstrip",
    "partition": "rpartition", "rpartition": "partition", "union": "intersection", "intersection": "union",
}  # fmt: skip
SKIPPED_FIELDS = {"annotation", "returns", "decorator_list", "type_comment", "type_params", "ctx", "format_spec"}
MESSAGE_KEYWORDS = {"hint", "reason", "message", "detail", "explanation", "title", "description"}
TYPE_FUNCTIONS = {"cast", "TypeVar", "NewType", "ParamSpec", "assert_never"}


@dataclass(frozen=True, slots=True)
class Context:
    """Where a node stands."""

    function: str | None  # qualified name of the outermost function; None: the code runs when the module is imported
    lines: tuple[int, int]  # of the statement, or of the head of a statement with a body
    is_message: bool = False
    is_generator: bool = False
    handles_error: bool = False  # in a handler or a `suppress`, or with the `if` of a `raise`
    constant: str | None = None  # of code that runs during the import: the name to which it assigns a value
    is_in_class: bool = False

    @property
    def is_replaceable(self) -> bool:
        """Return whether a function or a constant of the module has to be replaced, and nothing else."""
        return self.function is not None or (self.constant is not None and not self.is_in_class)


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of a module."""

    change: str
    line: int
    context: Context
    apply: Callable[[], object]  # changes the syntax tree


def find_mutants(tree: ast.Module) -> list[Mutant]:
    """Return the mutants of a module in a fixed order: the same source has the same list."""
    return list(_visit_children(tree, Context(None, (1, 1)), ()))


def _visit_children(node: ast.AST, context: Context, classes: tuple[str, ...]) -> Iterator[Mutant]:
    for field, value in ast.iter_fields(node):
        if field in SKIPPED_FIELDS or (isinstance(node, ast.ClassDef) and field != "body"):
            continue
        inner = context
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and field == "body" and context.function is None:
            inner = Context(".".join((*classes, node.name)), context.lines, is_generator=_is_generator(node))
        if isinstance(node, ast.Lambda) and field == "body" and context.function is None:
            inner = Context(".".join((*classes, "<lambda>")), context.lines)
        for index, child in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(child, ast.AST):
                place = _Place(node, field, index if isinstance(value, list) else None)
                yield from _visit(child, place, inner, classes)


@dataclass(frozen=True, slots=True)
class _Place:
    """The attribute, or the item of a list, that holds a node."""

    parent: ast.AST
    field: str
    index: int | None

    def replace(self, node: ast.AST) -> None:
        if self.index is None:
            setattr(self.parent, self.field, node)
        else:
            getattr(self.parent, self.field)[self.index] = node


def _visit(node: ast.AST, place: _Place, context: Context, classes: tuple[str, ...]) -> Iterator[Mutant]:
    if _is_excluded(node, context):
        return
    if isinstance(node, ast.stmt):
        constant = find_constant(node) if context.function is None else None
        context = replace(
            context, lines=_get_lines(node), is_message=False, constant=constant, is_in_class=bool(classes)
        )
    if isinstance(node, ast.ExceptHandler):
        context = replace(context, lines=(node.lineno, max(node.lineno, node.body[0].lineno - 1)))
    if _handles_error(node):
        context = replace(context, handles_error=True)
    if isinstance(node, ast.ClassDef) and context.function is None:
        classes = (*classes, node.name)
    for change, apply in _find_changes(node, place, context):
        yield Mutant(change, getattr(node, "lineno", context.lines[0]), context, apply)
    if isinstance(node, ast.Raise | ast.Call | ast.keyword | ast.JoinedStr) and _has_message(node):
        context = replace(context, is_message=True)
    yield from _visit_children(node, context, classes)


def find_constant(node: ast.stmt) -> str | None:
    """Return the name to which a statement assigns a value."""
    match node:
        case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
            return name
        case _:
            return None


def _get_lines(node: ast.stmt) -> tuple[int, int]:
    body: list[ast.stmt] = getattr(node, "body", [])
    if isinstance(node, ast.Match):
        return node.lineno, node.end_lineno or node.lineno
    return node.lineno, max(node.lineno, body[0].lineno - 1) if body else node.end_lineno or node.lineno


def _handles_error(node: ast.AST) -> bool:
    match node:
        case ast.ExceptHandler() | ast.Raise() | ast.Call(func=ast.Name(id="suppress")):
            return True
        case ast.If(body=body):
            return any(isinstance(statement, ast.Raise) for statement in body)
        case _:
            return False


def _is_generator(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(isinstance(node, ast.Yield | ast.YieldFrom) for node in ast.walk(function))


def _has_message(node: ast.Raise | ast.Call | ast.keyword | ast.JoinedStr) -> bool:
    if isinstance(node, ast.JoinedStr):
        return any(isinstance(part, ast.Constant) and " " in str(part.value) for part in node.values)
    if isinstance(node, ast.keyword):
        return node.arg in MESSAGE_KEYWORDS
    if isinstance(node, ast.Raise):
        return True
    owner = node.func.value if isinstance(node.func, ast.Attribute) else None
    name = owner.id if isinstance(owner, ast.Name) else owner.attr if isinstance(owner, ast.Attribute) else ""
    return name.strip("_") in {"log", "logger"}


def _is_excluded(node: ast.AST, context: Context) -> bool:
    match node:
        case ast.Import() | ast.ImportFrom() | ast.Assert() | ast.Global() | ast.Nonlocal():
            return True
        case ast.Expr(value=ast.Constant()):  # a docstring, or the ellipsis of a protocol
            return True
        case ast.Assign(targets=[ast.Name(id="__all__" | "__slots__")]):
            return True
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
        case ast.Expr(value=ast.Call(func=ast.Name(id=name))) | ast.Call(func=ast.Name(id=name)):
            return name in TYPE_FUNCTIONS
        case ast.Constant(value=str() as text):
            return context.is_message or any(character.isspace() for character in text) or not text
        case ast.JoinedStr():
            return context.is_message
        case ast.BinOp(op=ast.BitOr(), left=left, right=right):
            return _is_type(left) and _is_type(right)
        case _:
            return False


def _is_type(node: ast.AST) -> bool:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name[:1].isupper() or name in {"str", "int", "float", "bool", "bytes", "dict", "list", "object"}
        case ast.BinOp(op=ast.BitOr(), left=left, right=right):
            return _is_type(left) and _is_type(right)
        case ast.Subscript(value=value):
            return _is_type(value)
        case ast.Constant(value=None):
            return True
        case _:
            return False


Change = tuple[str, Callable[[], object]]


def _find_changes(node: ast.AST, place: _Place, context: Context) -> Iterator[Change]:
    if isinstance(node, ast.expr):
        yield from _change_expression(node, place)
    elif isinstance(node, ast.stmt):
        yield from _change_statement(node, place, context)
    yield from _change_conditions(node)
    yield from _remove_parts(node)
    yield from _remove_caught_errors(node)


def _change_expression(node: ast.expr, place: _Place) -> Iterator[Change]:
    match node:
        case ast.Compare(ops=ops):
            for index, op in enumerate(ops):
                other = COMPARISONS[type(op)]
                yield f"{_name(op)} → {other.__name__}", partial(ops.__setitem__, index, other())
        case ast.BoolOp(op=op):
            swapped = ast.Or() if isinstance(op, ast.And) else ast.And()
            yield f"{_name(op)} → {_name(swapped)}", partial(setattr, node, "op", swapped)
        case ast.BinOp(op=op) if type(op) in ARITHMETIC:
            yield _change_operator(node, op)
        case ast.UnaryOp(op=ast.Not() | ast.USub() as op, operand=operand):
            yield f"{_name(op)} removed", partial(place.replace, operand)
        case ast.Constant(value=value):
            yield from _change_constant(node, value)
        case ast.Name(id=name) if name in SWAPPED_NAMES:
            yield f"{name} → {SWAPPED_NAMES[name]}", partial(setattr, node, "id", SWAPPED_NAMES[name])
        case ast.Attribute(attr=name) if name in SWAPPED_METHODS:
            yield f"{name} → {SWAPPED_METHODS[name]}", partial(setattr, node, "attr", SWAPPED_METHODS[name])


def _change_operator(node: ast.BinOp | ast.AugAssign, op: ast.operator) -> Change:
    other = ARITHMETIC[type(op)]
    return f"{_name(op)} → {other.__name__}", partial(setattr, node, "op", other())


def _change_constant(node: ast.Constant, value: object) -> Iterator[Change]:
    changed: object = None
    match value:
        case bool():
            changed = not value
        case int() | float():
            changed = value + 1
        case str() if value:
            changed = value + "x"
        case bytes() if value:
            changed = value + b"x"
    if changed is not None:
        yield f"{value!r} → {changed!r}", partial(setattr, node, "value", changed)


def _change_statement(node: ast.stmt, place: _Place, context: Context) -> Iterator[Change]:
    match node:
        case ast.Expr(value=ast.Call() | ast.Await()) | ast.Raise():
            yield "statement removed", partial(place.replace, ast.copy_location(ast.Pass(), node))
        case ast.Return(value=ast.Constant(value=None)):
            return
        case ast.Return(value=ast.expr()) if not context.is_generator:
            yield "returns None", partial(setattr, node, "value", ast.copy_location(ast.Constant(None), node))
        case ast.Continue():
            yield "continue → break", partial(place.replace, ast.copy_location(ast.Break(), node))
        case ast.Break():
            yield "break → continue", partial(place.replace, ast.copy_location(ast.Continue(), node))
        case ast.AugAssign(op=op) if type(op) in ARITHMETIC:
            yield _change_operator(node, op)


def _change_conditions(node: ast.AST) -> Iterator[Change]:
    match node:
        case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test) if not _changes_itself(test):
            yield "condition negated", partial(setattr, node, "test", _negate(test))
        case ast.comprehension(ifs=conditions):
            for index, condition in enumerate(conditions):
                if not _changes_itself(condition):
                    yield "filter negated", partial(conditions.__setitem__, index, _negate(condition))
        case ast.match_case(guard=ast.expr() as guard) if not _changes_itself(guard):
            yield "guard negated", partial(setattr, node, "guard", _negate(guard))


def _remove_parts(node: ast.AST) -> Iterator[Change]:
    match node:
        case ast.Call(keywords=keywords) if not _has_message(node):
            named = [(index, keyword.arg) for index, keyword in enumerate(keywords) if keyword.arg]
            for index, name in named:
                if name not in MESSAGE_KEYWORDS:
                    yield f"argument {name} removed", partial(keywords.pop, index)
        case ast.Dict(keys=keys, values=values) if len(keys) > 1:
            for index in range(len(keys)):
                yield f"entry {index + 1} removed", partial(_remove_entry, keys, values, index)
        case ast.Set(elts=items) if len(items) > 1:
            yield from (_remove_item(items, index, "item") for index in range(len(items)))
        case ast.MatchOr(patterns=patterns):
            yield from (_remove_item(patterns, index, "pattern") for index in range(len(patterns)))
        case ast.Match(cases=cases) if len(cases) > 1:
            reachable = (index for index, case in enumerate(cases) if not _is_unreachable(case))
            yield from (_remove_item(cases, index, "case") for index in reachable)


def _remove_caught_errors(node: ast.AST) -> Iterator[Change]:
    match node:
        case ast.ExceptHandler(type=ast.Tuple(elts=errors)) | ast.Call(func=ast.Name(id="suppress"), args=errors):
            yield from (_remove_item(errors, index, "error") for index in range(len(errors)))
        case ast.ExceptHandler():
            yield "except removed", partial(setattr, node, "type", ast.Tuple([], ast.Load()))


def _remove_item(items: list[Any], index: int, name: str) -> Change:
    if name == "pattern" and len(items) == 2:  # the syntax needs two: repeat the other one
        return f"{name} {index + 1} removed", partial(items.__setitem__, index, items[1 - index])
    return f"{name} {index + 1} removed", partial(items.pop, index)


def _remove_entry(keys: list[ast.expr | None], values: list[ast.expr], index: int) -> None:
    del keys[index], values[index]


def _changes_itself(condition: ast.expr) -> bool:
    """Return whether the condition has mutants that are as good as its negation."""
    return isinstance(condition, ast.Compare) or (
        isinstance(condition, ast.UnaryOp) and isinstance(condition.op, ast.Not)
    )


def _is_unreachable(case: ast.match_case) -> bool:
    match case.body:
        case [ast.Expr(value=ast.Call(func=ast.Name(id="assert_never")))]:
            return True
        case _:
            return False


def _negate(condition: ast.expr) -> ast.expr:
    return ast.copy_location(ast.UnaryOp(ast.Not(), condition), condition)


def _name(op: ast.AST) -> str:
    return type(op).__name__

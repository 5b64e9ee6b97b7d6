"""Runs the tests of one pytest session against many mutants, each in a process forked after the collection.

The program is imported once. A mutant replaces the code object of a function, which every reference to the function
sees, or the value of a constant. Only the tests that execute a changed line run, or a line that reads the constant,
the fastest first, until one fails.
"""

from __future__ import annotations

import ast
import functools
import gc
import math
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any

import pytest
from _pytest.runner import runtestprotocol
from forked_process import ForkedProcessError, call_in_fork
from mutants import Mutant, find_constant, find_mutants
from subjects import find_near_tests, get_module_name

SLOW_TEST_SECONDS = 0.02
MutantKey = tuple[Path, int]  # module, and position in `find_mutants`
CodeKey = tuple[str, str, int]  # file, qualified name, first line


@dataclass(slots=True)
class Verdict:
    """What became of a mutant."""

    killed: bool
    by: str = ""  # the test that failed


@dataclass(slots=True)
class TestRecord:
    """A test of the unchanged program."""

    index: int
    seconds: float  # of CPU
    lines: dict[str, set[int]] = field(default_factory=dict)
    kills: int = 0


class MutationPlugin:
    """Replaces pytest's loop over the tests by one over mutants."""

    def __init__(
        self, keys: Sequence[MutantKey], on_verdict: Callable[[Path, int, Verdict], None], deadline: float
    ) -> None:
        self._keys = keys
        self._on_verdict = on_verdict
        self._deadline = deadline

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        files = {str(path) for path, _ in self._keys}
        items = session.items
        records = call_in_fork(lambda: _trace_items(items, files), cpu_seconds=3600, wall_seconds=7200)
        functions = _ImportedFunctions(files)
        mutants = {path: find_mutants(ast.parse(path.read_text())) for path, _ in self._keys}
        for path, number in self._keys:
            if time.perf_counter() > self._deadline:
                break
            mutant = mutants[path][number]
            chosen = _choose_tests(
                records, _find_wanted_lines(path, mutant, files), _find_near_items(path, mutant, items)
            )
            verdict = _judge(items, chosen, (path, number), mutant, functions)
            # A test that noticed one mutant often notices others: with slow tests this saves most of the time.
            for record in chosen:
                record.kills += items[record.index].nodeid == verdict.by
            self._on_verdict(path, number, verdict)
        return True


def _trace_items(items: Sequence[pytest.Item], files: set[str]) -> list[TestRecord]:
    """Run every test once; return those that pass, with the lines that they execute."""
    lines: dict[str, set[int]] = {}

    def trace_line(frame: FrameType, event: str, argument: object) -> Any:
        if event == "line":
            lines[frame.f_code.co_filename].add(frame.f_lineno)
        return trace_line

    def trace_call(frame: FrameType, event: str, argument: object) -> Any:
        if frame.f_code.co_filename not in files:
            return None
        lines.setdefault(frame.f_code.co_filename, set()).add(frame.f_lineno)
        return trace_line

    records = []
    threading.settrace(trace_call)
    sys.settrace(trace_call)
    for index, item in enumerate(items):
        lines.clear()
        start = time.process_time()
        following = items[index + 1] if index + 1 < len(items) else None
        if _passes(item, following):
            records.append(TestRecord(index, time.process_time() - start, {k: set(v) for k, v in lines.items()}))
    sys.settrace(None)
    return records


def _passes(item: pytest.Item, following: pytest.Item | None) -> bool:
    reports = runtestprotocol(item, nextitem=following, log=False)
    return all(report.passed for report in reports)


def _find_wanted_lines(path: Path, mutant: Mutant, files: set[str]) -> dict[str, set[int]]:
    """Return the lines of a function that the mutant changes, or all lines that read the constant."""
    constant = mutant.context.constant
    if constant is None:
        first, last = mutant.context.lines
        return {str(path): set(range(first, last + 1))}
    return {
        file: {
            node.lineno
            for node in ast.walk(ast.parse(Path(file).read_text()))
            if isinstance(node, ast.Name | ast.Attribute)
            and isinstance(node.ctx, ast.Load)
            and constant == (node.id if isinstance(node, ast.Name) else node.attr)
        }
        for file in files
    }


def _find_near_items(path: Path, mutant: Mutant, items: Sequence[pytest.Item]) -> set[int]:
    """Return the tests that may read a constant themselves."""
    if mutant.context.constant is None:
        return set()
    near = set(find_near_tests(path, sorted({str(item.path) for item in items})))
    return {index for index, item in enumerate(items) if str(item.path) in near}


def _choose_tests(records: Sequence[TestRecord], wanted: dict[str, set[int]], near: set[int]) -> list[TestRecord]:
    chosen = [
        record
        for record in records
        if record.index in near
        or any(not record.lines.get(file, set()).isdisjoint(lines) for file, lines in wanted.items())
    ]
    return sorted(
        chosen, key=lambda record: (-record.kills if record.seconds > SLOW_TEST_SECONDS else 0, record.seconds)
    )


class _ImportedFunctions:
    """The functions of the mutated modules, and all caches of functions."""

    def __init__(self, files: set[str]) -> None:
        self.by_code: dict[CodeKey, list[FunctionType]] = defaultdict(list)
        self.caches = []
        gc.unfreeze()  # tests/conftest.py freezes what the collection of the tests creates, which would not be found
        for value in gc.get_objects():
            if isinstance(value, functools._lru_cache_wrapper):
                self.caches.append(value)
            elif isinstance(value, FunctionType) and value.__code__.co_filename in files:
                code = value.__code__
                self.by_code[code.co_filename, code.co_qualname, code.co_firstlineno].append(value)
        gc.collect()
        gc.freeze()  # a collection in a child would copy every page


def _judge(
    items: Sequence[pytest.Item],
    chosen: Sequence[TestRecord],
    key: MutantKey,
    mutant: Mutant,
    functions: _ImportedFunctions,
) -> Verdict:
    path, number = key

    def run() -> Verdict:
        if constant := mutant.context.constant:
            _replace_constant(path, number, constant)
        else:
            _apply_mutant(path, compile_mutant(path, number), functions)
        for position, record in enumerate(chosen):
            following = items[chosen[position + 1].index] if position + 1 < len(chosen) else None
            if not _passes(items[record.index], following):
                return Verdict(killed=True, by=items[record.index].nodeid)
        return Verdict(killed=False)

    if not chosen:
        return Verdict(killed=False, by="no test executes this line")
    seconds = sum(record.seconds for record in chosen)
    try:
        verdict: Verdict = call_in_fork(run, cpu_seconds=math.ceil(5 * seconds + 3), wall_seconds=60 + 60 * seconds)
    except ForkedProcessError:
        return Verdict(killed=True, by="time limit")
    return verdict


def _apply_mutant(path: Path, module_code: CodeType, functions: _ImportedFunctions) -> None:
    for code in _list_codes(module_code):
        for function in functions.by_code.get((str(path), code.co_qualname, code.co_firstlineno), []):
            if function.__code__ != code and len(function.__code__.co_freevars) == len(code.co_freevars):
                function.__code__ = code
    for cached in functions.caches:
        cached.cache_clear()


def _replace_constant(path: Path, number: int, constant: str) -> None:
    """Compute the constant again, with the classes and the other constants that the module has already."""
    live = vars(sys.modules[get_module_name(path)])
    namespace = dict(live)
    for statement in _mutate(path, number).body:
        if find_constant(statement) == constant:
            value = statement.value if isinstance(statement, ast.Assign | ast.AnnAssign) else None
            assert value is not None
            namespace[constant] = eval(compile(ast.Expression(value), str(path), "eval"), namespace)
    old, new = live[constant], namespace[constant]
    for module in list(sys.modules.values()):
        if getattr(module, "__dict__", {}).get(constant) is old:
            vars(module)[constant] = new
    if isinstance(old, dict) and isinstance(new, dict):  # functions and objects may have a reference to it
        old.clear()
        old.update(new)


def compile_mutant(path: Path, number: int) -> CodeType:
    """Return the code of the module with one mutant."""
    code: CodeType = compile(_mutate(path, number), str(path), "exec", dont_inherit=True)
    return code


def _mutate(path: Path, number: int) -> ast.Module:
    tree = ast.parse(path.read_text())
    find_mutants(tree)[number].apply()
    return ast.fix_missing_locations(tree)


def _list_codes(code: CodeType) -> list[CodeType]:
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return inner + [code for constant in inner for code in _list_codes(constant)]

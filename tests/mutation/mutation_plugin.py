"""Runs the tests of one pytest session against many mutants, each in a process forked after the collection.

The program is imported once. A mutant replaces the code object of a function, which every reference to the function
sees. Only the tests that execute a changed line run, the fastest first, until one fails.
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
from mutants import find_mutants

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
        lines = {path: [m.context.lines for m in find_mutants(ast.parse(path.read_text()))] for path, _ in self._keys}
        for path, number in self._keys:
            if time.perf_counter() > self._deadline:
                break
            chosen = _choose_tests(records, str(path), lines[path][number])
            verdict = _judge(items, chosen, path, number, functions)
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
        if _passes(item, following) and lines:
            records.append(TestRecord(index, time.process_time() - start, {k: set(v) for k, v in lines.items()}))
    sys.settrace(None)
    return records


def _passes(item: pytest.Item, following: pytest.Item | None) -> bool:
    reports = runtestprotocol(item, nextitem=following, log=False)
    return all(report.passed for report in reports)


def _choose_tests(records: Sequence[TestRecord], file: str, lines: tuple[int, int]) -> list[TestRecord]:
    wanted = range(lines[0], lines[1] + 1)
    chosen = [record for record in records if not record.lines.get(file, set()).isdisjoint(wanted)]
    return sorted(
        chosen, key=lambda record: (-record.kills if record.seconds > SLOW_TEST_SECONDS else 0, record.seconds)
    )


class _ImportedFunctions:
    """The functions of the mutated modules, and all caches of functions."""

    def __init__(self, files: set[str]) -> None:
        self.by_code: dict[CodeKey, list[FunctionType]] = defaultdict(list)
        self.caches = []
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
    path: Path,
    number: int,
    functions: _ImportedFunctions,
) -> Verdict:
    code = compile_mutant(path, number)

    def run() -> Verdict:
        _apply_mutant(path, code, functions)
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


def compile_mutant(path: Path, number: int) -> CodeType:
    """Return the code of the module with one mutant."""
    tree = ast.parse(path.read_text())
    mutants = find_mutants(tree)
    mutants[number].apply()
    code: CodeType = compile(ast.fix_missing_locations(tree), str(path), "exec", dont_inherit=True)
    return code


def _list_codes(code: CodeType) -> list[CodeType]:
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return inner + [code for constant in inner for code in _list_codes(constant)]

"""Mutation testing: changes the program in small steps, and reports the changes that no test notices.

    .venv/bin/python tests/mutation/mutation_testing.py core
    .venv/bin/python tests/mutation/mutation_testing.py core --sample 15 --only jobs/ plans/

A mutant of a function or constant is tested in a process that is forked after the imports (mutation_plugin.py). A
mutant of other code that runs during the import, and one that survived, is tested with fresh imports. Verdicts are
written to a file, by default test-artifacts/mutation.jsonl.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import random
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import CodeType, ModuleType
from typing import TextIO

import pytest
from forked_process import ForkedProcessError, call_in_fork
from mutants import Context, find_mutants
from mutation_plugin import MutantKey, MutationPlugin, Verdict, compile_mutant
from subjects import ROOT, SUBJECTS, Subject, find_near_tests, get_module_name

OPTIONS = ["-q", "-x", "--assert=plain", "--no-header", "-p", "no:cacheprovider", "-p", "no:schemathesis"]
THIRD_PARTY = [
    "hypothesis", "sqlalchemy.ext.asyncio", "msgspec", "pydantic", "pydantic_settings", "structlog", "aiohttp",
    "openai", "httpx2", "alembic", "fastapi", "pytest_asyncio", "rich", "jinja2", "prometheus_client",
]  # fmt: skip
IMPORT_TIME_SHARE = 0.3


@dataclass(frozen=True, slots=True)
class Result:
    """One mutant and its verdict."""

    module: str
    number: int
    line: int
    source: str
    change: str
    killed: bool
    by: str


class _MutatedLoader(importlib.machinery.SourceFileLoader):
    def __init__(self, fullname: str, path: str, code: CodeType) -> None:
        super().__init__(fullname, path)
        self._code = code

    def get_code(self, fullname: str) -> CodeType:
        return self._code


class _MutantFinder(importlib.abc.MetaPathFinder):
    """Imports one module with a mutant in it."""

    def __init__(self, path: Path, code: CodeType) -> None:
        self._name = get_module_name(path)
        self._path = path
        self._code = code

    def find_spec(
        self, fullname: str, path: object = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name:
            return None
        loader = _MutatedLoader(fullname, str(self._path), self._code)
        return importlib.util.spec_from_file_location(fullname, self._path, loader=loader)


class _FirstFailure:
    """Remembers the first test that fails."""

    by = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self.by:
            self.by = report.nodeid

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed and not self.by:
            self.by = f"{report.nodeid} (import)"


class MutationRunner:
    """Tests mutants of one subject, each given by its module and its number."""

    def __init__(self, subject: Subject, chosen: Sequence[MutantKey], *, deadline: float, output: TextIO) -> None:
        self._subject = subject
        self._chosen = chosen
        self._deadline = deadline
        self._output = output
        self._test_files = subject.list_tests()
        self._mutants = {path: find_mutants(ast.parse(path.read_text())) for path, _ in chosen}
        self.results: list[Result] = []

    def run(self) -> None:
        """Test the mutants until the deadline."""
        replaceable = [key for key in self._chosen if self._get_context(key).is_replaceable]
        if replaceable:
            self._run_replaceable(replaceable)
        for key in self._chosen:
            if not self._get_context(key).is_replaceable and time.perf_counter() < self._deadline:
                self._add(key, self._run_fresh(key))

    def _get_context(self, key: MutantKey) -> Context:
        path, number = key
        return self._mutants[path][number].context

    def _run_replaceable(self, keys: Sequence[MutantKey]) -> None:
        reader, writer = os.pipe()

        def run() -> int:
            def on_verdict(path: Path, number: int, verdict: Verdict) -> None:
                os.write(writer, f"{path}\t{number}\t{int(verdict.killed)}\t{verdict.by}\n".encode())

            # The rest of the time is for the code that runs during the import.
            left = self._deadline - time.perf_counter()
            plugin = MutationPlugin(keys, on_verdict, self._deadline - left * IMPORT_TIME_SHARE)
            return int(pytest.main(self._build_arguments(self._test_files), plugins=[plugin]))

        pid = os.fork()
        if pid == 0:
            os.close(reader)
            os.dup2(os.open(os.devnull, os.O_RDWR), 1)
            os._exit(run())
        os.close(writer)
        with os.fdopen(reader) as lines:
            for line in lines:
                name, number, killed, by = line.rstrip("\n").split("\t")
                key = Path(name), int(number)
                verdict = Verdict(killed == "1", by)
                self._add(key, verdict if verdict.killed else self._run_fresh(key))
        if os.waitpid(pid, 0)[1] != 0:
            sys.exit("The session of the tests ended early. Run pytest with the same tests to see why.")

    def _run_fresh(self, key: MutantKey) -> Verdict:
        """Test the mutant with fresh imports: values that are computed during the import depend on it too."""
        near = find_near_tests(key[0], self._test_files)
        if near and (verdict := _run_session(key, self._build_arguments(near))).killed:
            return verdict
        if self._get_context(key).function is not None:
            return Verdict(killed=False)  # all tests that execute the function have run before
        return _run_session(key, self._build_arguments(self._test_files))

    def _build_arguments(self, files: list[str]) -> list[str]:
        return [*OPTIONS, *self._subject.options, *files]

    def _add(self, key: MutantKey, verdict: Verdict) -> None:
        path, number = key
        mutant = self._mutants[path][number]
        source = path.read_text().splitlines()[mutant.line - 1].strip()
        name = str(path.relative_to(ROOT))
        result = Result(name, number, mutant.line, source, mutant.change, verdict.killed, verdict.by)
        self.results.append(result)
        print(json.dumps(asdict(result), ensure_ascii=False), file=self._output, flush=True)
        if not verdict.killed:
            print(f"survived: {name}:{mutant.line}: {mutant.change}: {source}", flush=True)


def _run_session(key: MutantKey, arguments: list[str]) -> Verdict:
    code = compile_mutant(*key)

    def run() -> Verdict:
        sys.meta_path.insert(0, _MutantFinder(key[0], code))
        first = _FirstFailure()
        result = pytest.main(arguments, plugins=[first])
        return Verdict(killed=result != 0, by=first.by or (f"exit code {int(result)}" if result else ""))

    try:
        verdict: Verdict = call_in_fork(run, cpu_seconds=120, wall_seconds=900)
    except ForkedProcessError:
        return Verdict(killed=True, by="time limit")
    return verdict


def choose_mutants(
    subject: Subject, only: list[str], sample: float, seed: int, *, import_time: bool = False
) -> list[MutantKey]:
    """Return a random part of the mutants of each module, in random order, so that any first part is a sample."""
    chosen: list[MutantKey] = []
    for path in subject.list_modules():
        if not only or any(text in str(path.relative_to(ROOT)) for text in only):
            mutants = find_mutants(ast.parse(path.read_text()))
            numbers = [n for n, mutant in enumerate(mutants) if subject.includes(mutant.context)]
            if import_time:
                numbers = [n for n in numbers if mutants[n].context.function is None]
            count = min(len(numbers), max(3, round(len(numbers) * sample / 100)))
            chosen += [(path, n) for n in random.Random(f"{seed} {path.name}").sample(numbers, count)]
    random.Random(seed).shuffle(chosen)
    return chosen


def format_table(results: Iterable[Result]) -> str:
    """Return the figures by module and by package."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for result in results:
        parts = Path(result.module).parts
        for name in (result.module, "/".join(parts[:-1]) + "/", "all"):
            counts[name][0] += 1
            counts[name][1] += result.killed
    lines = [f"{'mutants':>8} {'killed':>7} {'%':>6}"]
    for name, (total, killed) in sorted(counts.items(), key=lambda entry: (entry[0] == "all", entry[0])):
        lines.append(f"{total:8} {killed:7} {100 * killed / total:6.1f}  {name}")
    return "\n".join(lines)


def find_subjects(names: Iterable[str]) -> list[Subject]:
    """Return the subjects with these names, and those of a group with such a name."""
    return [
        subject for name, subject in SUBJECTS.items() if any(f"{name}/".startswith(f"{wanted}/") for wanted in names)
    ]


def parse_arguments() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(description="Test the tests: change the program and see which tests fail.")
    parser.add_argument("subjects", nargs="*", default=list(SUBJECTS), help="what to mutate: " + ", ".join(SUBJECTS))
    parser.add_argument("--only", nargs="*", default=[], metavar="TEXT", help="modules whose path contains TEXT")
    parser.add_argument("--sample", type=float, default=100, metavar="PERCENT", help="a random part of each module")
    parser.add_argument("--import-time", action="store_true", help="only code that runs during the import")
    parser.add_argument("--seed", type=int, default=1, help="chooses the sample")
    parser.add_argument("--minutes", type=float, default=600, help="the longest time for each subject")
    parser.add_argument("--results", type=Path, default=ROOT / "test-artifacts/mutation.jsonl")
    return parser.parse_args()


def main() -> None:
    """Test the mutants and print the figures."""
    arguments = parse_arguments()
    os.environ["HYPOTHESIS_PROFILE"] = "mutation"
    os.environ["TEST_TIME_FACTOR"] = "5"
    for name in THIRD_PARTY:
        importlib.import_module(name)
    results: list[Result] = []
    arguments.results.parent.mkdir(parents=True, exist_ok=True)
    with arguments.results.open("w") as output:
        for subject in find_subjects(arguments.subjects):
            chosen = choose_mutants(
                subject, arguments.only, arguments.sample, arguments.seed, import_time=arguments.import_time
            )
            deadline = time.perf_counter() + 60 * arguments.minutes
            runner = MutationRunner(subject, chosen, deadline=deadline, output=output)
            runner.run()
            results += runner.results
    print(format_table(results))


if __name__ == "__main__":
    main()

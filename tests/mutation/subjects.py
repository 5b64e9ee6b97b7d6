"""The parts of the program that are mutated, and the tests of each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from mutants import Context

ROOT = Path(__file__).parents[2]
RECORDER_TESTS = (
    "outcome_recorder", "scheduled_wake_ups", "store_jobs", "store_losses", "checkpoints", "history", "announcements",
    "stalled_jobs", "pinned_jobs", "job_slots", "stored_texts", "deployment_requests",
)  # fmt: skip
DIALECT_TESTS = (
    "azure_deployments", "dashscope", "nebius_deployments", "vertex", "google_credentials", "bedrock", "buckets",
    "provider_dialects",
)  # fmt: skip
SIMULATED_COMPARISONS = r"test_(comparator|drift|account_drift|distance_table|document)\.py$"  # seconds for each test
ERROR_TRANSLATION = (
    r"[eE]rror|_unwrap_|refus|_to_not_|_to_missing|_with_failure|_explain_failure|find_hint|_is_retryable|_is_gone"
    r"|parse_retry_after|_seconds_until|_parse_seconds|_to_utc|(read|write)_call$|_strip_query|ERROR_CODES|_CODES$|_STATUSES$"
    r"|ERROR_CLASSES|_PATTERN$|_UNIT_SECONDS"
)


@dataclass(frozen=True, slots=True)
class Subject:
    """Modules, and the tests that run against their mutants."""

    modules: tuple[str, ...]  # globs below orchestrator/
    tests: tuple[str, ...]  # files and folders below tests/
    without_modules: str = "$^"  # an expression: modules of `modules` that are not mutated
    without_tests: str = "$^"
    places: str = ""  # an expression: only functions and constants with such a name are mutated
    options: tuple[str, ...] = ()  # of pytest

    def list_modules(self) -> list[Path]:
        paths = {path for glob in self.modules for path in (ROOT / "orchestrator").glob(glob)}
        return sorted(p for p in paths if p.name != "__init__.py" and not re.search(self.without_modules, str(p)))

    def list_tests(self) -> list[Path]:
        """Return the test files."""
        places = [ROOT / "tests" / test for test in self.tests]
        files = [
            file for place in places for file in (sorted(place.rglob("test_*.py")) if place.is_dir() else [place])
        ]
        return [file for file in files if not re.search(self.without_tests, str(file))]

    def includes(self, context: Context) -> bool:
        """Return whether the code at this place is mutated."""
        return re.search(self.places, context.function or context.constant or "") is not None


SUBJECTS = {
    "core": Subject(
        ("core/**/*.py",),
        ("unit/core", "unit/status", "unit/exports"),
        without_modules="/comparison/",
        without_tests="/comparison/",
    ),
    "comparison": Subject(
        ("core/comparison/**/*.py",), ("unit/core/comparison",), without_tests=SIMULATED_COMPARISONS
    ),
    "recorder": Subject(
        ("daemon/outcome_recorder.py", "store/queries/outcomes.py"),
        tuple(f"integration/test_{name}.py" for name in RECORDER_TESTS),
        options=("-k", "not postgresql"),
    ),
    "errors": Subject(
        ("providers/http/*.py", "providers/chat_call.py", "providers/chat/*.py", "providers/registry.py"),
        ("unit/providers",),
        places=ERROR_TRANSLATION,
    ),
    "dialects": Subject(
        ("providers/**/*.py",),
        ("unit/providers", *(f"contract/test_{name}.py" for name in DIALECT_TESTS)),
        without_modules="providers/http/|providers/chat|providers/registry",
        places=ERROR_TRANSLATION,
    ),
}  # fmt: skip


def find_near_tests(module: Path, tests: list[Path]) -> list[Path]:
    """Return the test files that are named after the module or import it."""
    dotted = ".".join(module.relative_to(ROOT).with_suffix("").parts)
    imports = re.compile(rf"\b(from|import) {re.escape(dotted)}\b")
    return [test for test in tests if test.stem == f"test_{module.stem}" or imports.search(test.read_text())]

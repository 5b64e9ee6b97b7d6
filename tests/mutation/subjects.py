"""The parts of the program that are mutated, and the tests of each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from mutants import Context

ROOT = Path(__file__).parents[2]
RECORDER_TESTS = (
    "outcome_recorder", "outcome_batches", "scheduled_wake_ups", "store_jobs", "store_losses", "checkpoints",
    "history", "announcements", "stalled_jobs", "pinned_jobs", "job_slots", "stored_texts", "deployment_requests",
)  # fmt: skip
SIMULATED_COMPARISONS = r"test_(comparator|drift|account_drift|distance_table|document)\.py$"  # seconds for each test
ERROR_TRANSLATION = (
    r"[eE]rror|_unwrap_|refus|_to_not_|_to_missing|_to_unsuccessful|_build_not_ready|_with_failure|_explain_|_existing"
    r"|find_hint|_is_retryable|_is_gone"
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
    handles_error: bool = False  # whether the statements are mutated that catch or raise errors, wherever they are
    options: tuple[str, ...] = ()  # of pytest

    def list_modules(self) -> list[Path]:
        paths = {path for glob in self.modules for path in (ROOT / "orchestrator").glob(glob)}
        return sorted(p for p in paths if p.name != "__init__.py" and not re.search(self.without_modules, str(p)))

    def list_tests(self) -> list[str]:
        """Return the test files, as arguments of pytest."""
        places = [ROOT / "tests" / test for test in self.tests]
        files = [
            file for place in places for file in (sorted(place.rglob("test_*.py")) if place.is_dir() else [place])
        ]
        return [str(file) for file in files if not re.search(self.without_tests, str(file))]

    def includes(self, context: Context) -> bool:
        """Return whether the code at this place is mutated."""
        if self.handles_error and context.handles_error:
            return True
        return re.search(self.places, context.function or context.constant or "") is not None


def _build_dialect(folder: str, *tests: str, words: str = "", without: str = "") -> Subject:
    """Return the error translation of one dialect, and the tests with its name or one of the words in theirs.

    `without` is a part of the names of tests that are left out because they are slow.
    """
    names = " or ".join([folder, "error_codes", *words.split()])
    return Subject(
        (f"providers/{folder}/*.py",),
        (*COMMON_DIALECT_TESTS, *tests),
        places=ERROR_TRANSLATION,
        handles_error=True,
        options=("-k", f"({names}) and not {without}" if without else names),
    )


COMMON_DIALECT_TESTS = (
    "unit/providers/test_error_codes.py",
    "contract/test_providers.py",
    "contract/test_deployments.py",
)
DIALECTS = {
    "azure": _build_dialect("azure", "unit/providers/azure", "contract/test_azure_deployments.py"),
    "bedrock": _build_dialect(
        "bedrock", "unit/providers/bedrock", "contract/test_bedrock.py", "contract/test_bedrock_deployments.py"
    ),
    "buckets": _build_dialect(
        "objects", "unit/providers/objects", "contract/test_buckets.py", words="buckets", without="[s3"
    ),
    "dashscope": _build_dialect(
        "dashscope", "unit/providers/dashscope", "contract/test_dashscope.py",
        "contract/test_dashscope_deployments.py",
    ),
    "fireworks": _build_dialect(
        "fireworks", "unit/providers/fireworks", "unit/providers/test_unclear_creates.py",
        "contract/test_fireworks_deployments.py", "contract/test_provider_dialects.py", words="unclear_creates",
    ),
    "nebius": _build_dialect(
        "nebius", "unit/providers/nebius", "contract/test_nebius_deployments.py", "contract/test_provider_dialects.py"
    ),
    "openai": _build_dialect(
        "openai", "unit/providers/openai", "contract/test_provider_dialects.py", "contract/test_multipart_uploads.py",
        "contract/test_openai_webhooks.py", words="compatible multipart dialects",
    ),
    "together": _build_dialect(
        "together", "unit/providers/together", "unit/providers/test_unclear_creates.py",
        "contract/test_together_deployments.py", "contract/test_provider_dialects.py", words="unclear_creates",
    ),
    "vertex": _build_dialect(
        "vertex", "unit/providers/vertex", "contract/test_vertex.py", "contract/test_google_credentials.py",
        "hostile/test_token_answers.py", words="google_credentials token_answers",
    ),
}  # fmt: skip
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
        ("daemon/outcome_recorder.py", "daemon/outcome_batch.py", "store/queries/outcomes.py"),
        tuple(f"integration/test_{name}.py" for name in RECORDER_TESTS),
        options=("-k", "not postgresql"),
    ),
    "errors": Subject(
        ("providers/http/*.py", "providers/chat_call.py", "providers/chat/*.py", "providers/registry.py"),
        ("unit/providers",),
        places=ERROR_TRANSLATION,
    ),
    **{f"dialects/{name}": subject for name, subject in DIALECTS.items()},
}  # fmt: skip


def get_module_name(path: Path) -> str:
    """Return the name under which the module is imported."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def find_near_tests(module: Path, tests: list[str]) -> list[str]:
    """Return the test files that are named after the module or import it."""
    package, _, name = get_module_name(module).rpartition(".")
    imports = re.compile(
        rf"\b(from|import) {re.escape(package)}\.{name}\b|from {re.escape(package)} import (\w+, )*{name}\b"
    )
    files = {test: Path(test.partition("::")[0]) for test in tests}
    return [test for test, file in files.items() if file.stem == f"test_{name}" or imports.search(file.read_text())]

"""What the main job does not need is not loaded for it: each of these takes megabytes of every service."""

from __future__ import annotations

import subprocess
import sys

NOT_NEEDED = (
    "alembic",
    "fastapi",
    "openai",
    "orchestrator.dataset.checker",
    "prometheus_client",
    "pygments",
    "rich",
    "sqlalchemy.dialects.postgresql",
    "sqlalchemy.orm",
    "tiktoken",
)


def loaded(code: str, names: tuple[str, ...]) -> list[str]:
    """Those of the modules that are there once the main job has been loaded and the code has run."""
    whole = f"""
import sys
from orchestrator.cli import session
from orchestrator import log
from orchestrator.app import open_app, service_factory
from orchestrator.cli import foreground
{code}
print(*(name for name in {names} if name in sys.modules))
"""
    return subprocess.run([sys.executable, "-c", whole], check=True, capture_output=True, text=True).stdout.split()


def test_run_on_sqlite_loads_nothing_it_has_no_use_for() -> None:
    assert loaded("", NOT_NEEDED) == []


def test_neither_database_loads_what_only_the_other_needs() -> None:
    opening = "from orchestrator.store.db.database import Database\nDatabase({!r})"

    assert loaded(opening.format("sqlite:///unopened.db"), ("asyncpg", "sqlalchemy.orm", "sqlite3")) == ["sqlite3"]
    assert loaded(opening.format("postgresql+asyncpg://somewhere"), ("asyncpg", "sqlalchemy.orm", "sqlite3")) == [
        "asyncpg"
    ]

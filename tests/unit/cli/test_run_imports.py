"""`run` imports no module that it does not need: each of these costs megabytes in every service."""

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


def list_loaded_modules(code: str, names: tuple[str, ...]) -> list[str]:
    """Return which of the modules are loaded after the imports of `run` and after `code`."""
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


def test_run_on_sqlite_imports_no_unused_modules() -> None:
    assert list_loaded_modules("", NOT_NEEDED) == []


def test_each_database_imports_only_its_own_driver() -> None:
    opening = "from orchestrator.store.db.database import Database\nDatabase({!r})"

    assert list_loaded_modules(opening.format("sqlite:///unopened.db"), ("asyncpg", "sqlalchemy.orm", "sqlite3")) == [
        "sqlite3"
    ]
    assert list_loaded_modules(
        opening.format("postgresql+asyncpg://somewhere"), ("asyncpg", "sqlalchemy.orm", "sqlite3")
    ) == ["asyncpg"]

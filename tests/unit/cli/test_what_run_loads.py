"""What the main job does not need is not loaded for it: each of these takes megabytes of every service."""

from __future__ import annotations

import subprocess
import sys

NOT_NEEDED = (
    "alembic",
    "fastapi",
    "openai",
    "pygments",
    "rich",
    "sqlalchemy.dialects.postgresql",
    "sqlalchemy.orm",
    "tiktoken",
)


def test_run_on_sqlite_loads_nothing_it_has_no_use_for() -> None:
    code = f"""
import sys
from orchestrator.cli import session
from orchestrator import log
from orchestrator.app import loop, open_app
from orchestrator.cli import follow
print(*(name for name in {NOT_NEEDED} if name in sys.modules))
"""
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert found.stdout.split() == []

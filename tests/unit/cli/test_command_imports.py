"""Short commands import only what they use. Each of these packages costs as much time as the command itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CHATS = Path(__file__).resolve().parents[3] / "chats"
ACCOUNTS_FILE = f"""\
[run]
name = "start"
dataset = "{CHATS}"
moderation_waived = "test"
[run.openai]
base_model = "sandbox-small"
n_epochs = 1
[[accounts]]
name = "acme"
provider = "openai"
api_key = "env:UNUSED"
"""
RUN_AND_LIST_MODULES = """\
import sys
from orchestrator.cli.commands import app
try:
    app(prog_name="orchestrator")
except SystemExit as end:
    print(end.code or 0, *sys.modules)
"""


def list_modules(folder: Path, *command: str) -> set[str]:
    """The modules that are loaded at the end of a command, which must succeed."""
    (folder / "accounts.toml").write_text(ACCOUNTS_FILE)
    arguments = [sys.executable, "-c", RUN_AND_LIST_MODULES, *command]
    ended = subprocess.run(arguments, cwd=folder, check=True, capture_output=True, text=True)
    code, *modules = ended.stdout.splitlines()[-1].split()
    assert code == "0", ended.stdout + ended.stderr
    return set(modules)


NO_DATABASE = {"sqlalchemy", "alembic", "orchestrator.store", "orchestrator.status", "orchestrator.control"}
NO_NETWORK = {"aiohttp", "httpx2", "openai", "orchestrator.providers"}

NO_SERVICE = {"apscheduler", "tomllib", "orchestrator.daemon.reconciler", "orchestrator.inputs.accounts_file.loader"}


@pytest.mark.parametrize(
    ("command", "unused"),
    [
        (("--help",), NO_DATABASE | NO_NETWORK | {"asyncio", "pydantic", "structlog"}),
        (
            ("check",),
            NO_DATABASE | NO_NETWORK | {"rich", "jinja2", "gigatoken", "multiprocessing", "orchestrator.app"},
        ),
        (("status",), NO_SERVICE | {"aiohttp", "httpx2", "openai", "rich", "alembic", "jinja2"}),
    ],
)
def test_command_imports_nothing_that_it_does_not_use(
    command: tuple[str, ...], unused: set[str], tmp_path: Path
) -> None:
    assert list_modules(tmp_path, *command) & unused == set()

"""Every command of the how-to that moves a run to another provider, in its order."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path

import pytest
from fake_server import serve_on_free_port
from fake_together import create_together
from machine_speed import scale_seconds
from processes import CHATS, MODEL, QUICK_POLLING, clean_environ, shell_path

from orchestrator.sandbox import SandboxSettings, create_app

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to" / "leaving-openai.md").read_text(encoding="utf-8")
KEY = 'api_key = "env:ACME_TOGETHER_KEY"'


def script(together: str) -> str:
    """What stands before the page, and the page's commands with the account at the stand-in's address."""
    blocks = re.findall(r"^```sh\n(.+?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert KEY in "".join(blocks)
    page = "".join(blocks).replace(KEY, f'{KEY}\nbase_url = "{together}/v1"')
    return "set -eu -o pipefail\norchestrator run\n" + page


async def bash(commands: str, folder: Path, path: str) -> tuple[int, str]:
    keys = {"OPENAI_KEY_OF_ACME": "sandbox-acme", "ACME_TOGETHER_KEY": "sandbox-next"}
    environ = clean_environ() | QUICK_POLLING | keys | {"PATH": path}
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", commands),
        cwd=folder,
        env=environ,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await asyncio.wait_for(process.communicate(), scale_seconds(240))
    return process.returncode or 0, out.decode()


async def test_dataset_is_trained_at_another_provider(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    settings = SandboxSettings(file_seconds=0.1, validating_seconds=0.1, queue_seconds=0.1, training_seconds=0.5)
    sandbox, (app, world) = create_app(settings), create_together(time.time)  # noqa: TID251 - a real provider's clock
    async with serve_on_free_port(sandbox) as openai, serve_on_free_port(app) as together:
        (tmp_path / "accounts.toml").write_text(
            f'[run]\nname = "tone"\ndataset = "{CHATS}"\nmoderation = "acme"\nallow_unknown_price = true\n'
            f'[run.openai]\nbase_model = "{MODEL}"\nn_epochs = 3\nlearning_rate_multiplier = 2\n'
            f'[[accounts]]\nname = "acme"\nprovider = "openai"\napi_key = "env:OPENAI_KEY_OF_ACME"\n'
            f'base_url = "{openai}/v1"\n'
        )
        code, out = await bash(script(together), tmp_path, shell_path(tmp_path_factory.mktemp("bin")))
    assert code == 0, out
    for lack in re.findall(r"^# (?:missing|note): .*", PAGE, re.MULTILINE):
        assert lack in out
    assert "learning_rate_multiplier = 2.0 has no fixed counterpart" in out
    (file,) = sandbox.state.sandbox.files.of("acme").values()
    (there,) = world.account("next").files.values()
    assert there.sha256 == file.sha256
    (job,) = world.account("next").jobs.values()
    assert (job.body["n_epochs"], "learning_rate" in job.body) == (3, False)
    assert out.rstrip().splitlines()[-1].endswith("no: needs a dedicated endpoint")

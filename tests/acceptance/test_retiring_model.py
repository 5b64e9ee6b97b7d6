"""A base model that retires in 20 days: the plan says so, the run is held, and a person may go on all the same."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fake_openai_dialects import Translator
from fake_server import serve_on_free_port
from processes import CHATS, MODEL, QUICK_POLLING, clean_environ, run_program

from orchestrator.sandbox import SandboxSettings, create_app

LAST_DAY = (datetime.fromtimestamp(time.time(), UTC) + timedelta(days=20)).date().isoformat()  # noqa: TID251


class RetiringTranslator(Translator):
    def model_answer(self, model: dict[str, Any]) -> dict[str, Any]:
        return model | {"shutdown_date": LAST_DAY}


async def orchestrator(folder: Path, *arguments: str, **settings: str) -> tuple[int, str]:
    environ = clean_environ() | QUICK_POLLING | {"KEY": "sandbox-acme"} | settings
    done = await asyncio.to_thread(run_program, arguments, folder, environ)
    return done.code, done.out + done.err


async def test_a_run_on_a_retiring_model_is_held_until_it_is_approved(tmp_path: Path) -> None:
    settings = SandboxSettings(file_seconds=0.1, validating_seconds=0.1, queue_seconds=0.1, training_seconds=0.5)
    async with serve_on_free_port(RetiringTranslator(create_app(settings))) as url:
        (tmp_path / "accounts.toml").write_text(
            f'[run]\nname = "late"\ndataset = "{CHATS}"\nallow_unknown_price = true\nmoderation_waived = "test"\n'
            f'[run.openai]\nbase_model = "{MODEL}"\nn_epochs = 3\n'
            f'[[accounts]]\nname = "a"\nprovider = "openai"\napi_key = "env:KEY"\nbase_url = "{url}/v1"\n'
        )
        code, out = await orchestrator(tmp_path, "plan")
        assert code == 1, out
        assert f"{LAST_DAY} (in 20 days)" in out
        assert "another provider" in out

        code, out = await orchestrator(tmp_path, "run")
        assert code == 1, out
        _, out = await orchestrator(tmp_path, "status", "--json")
        (job,) = json.loads(out)["jobs"]
        assert (job["held"], job["remote_job_id"], job["error"]["kind"]) == (True, None, "retires_soon")

        code, out = await orchestrator(tmp_path, "approve")
        assert code == 0, out
        code, out = await orchestrator(tmp_path, "run")
        assert code == 0, out


async def test_run_after_the_last_training_day_sends_nothing(tmp_path: Path) -> None:
    """The provider's API does not tell it; the operator's list of retirements does."""
    path = tmp_path / "retirements.toml"
    row = f'[[retirement]]\nprovider = "openai"\nbase_model = "{MODEL}"\nas_of = 2025-01-01\nsource = "a page"\n'
    path.write_text(f"{row}training_ends = 2025-02-01\ninference_ends = 2125-01-01\n")
    known = {"ORCHESTRATOR_RETIREMENTS_FILE": str(path)}
    sandbox = create_app(SandboxSettings(file_seconds=0.1, validating_seconds=0.1, training_seconds=0.5))
    async with serve_on_free_port(sandbox) as url:
        (tmp_path / "accounts.toml").write_text(
            f'[run]\nname = "late"\ndataset = "{CHATS}"\nmoderation_waived = "test"\n'
            f'[run.openai]\nbase_model = "{MODEL}"\nn_epochs = 3\n'
            f'[[accounts]]\nname = "a"\nprovider = "openai"\napi_key = "env:KEY"\nbase_url = "{url}/v1"\n'
        )
        code, out = await orchestrator(tmp_path, "plan", **known)
        assert code == 1, out
        assert f"not_tunable: openai accepts no new jobs on {MODEL} since 2025-02-01" in " ".join(out.split())
        code, out = await orchestrator(tmp_path, "run", **known)
        assert code == 1, out
        _, out = await orchestrator(tmp_path, "status", "--json")
        (job,) = json.loads(out)["jobs"]
        assert (job["error"]["kind"], job["retires_on"]) == ("not_tunable", "2125-01-01")
        assert not sandbox.state.sandbox.files.of("acme")

        code, out = await orchestrator(tmp_path, "run")
        assert code == 0, out

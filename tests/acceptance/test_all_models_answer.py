"""A run over all providers: every model answers through LiteLLM's router, and is compared with the others."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from all_providers import (
    BASE_MODELS,
    DEPLOYMENTS,
    PRICES,
    Fakes,
    format_accounts,
    format_prices,
    serve_every_provider,
)
from machine_speed import scale_seconds
from processes import QUICK_POLLING, RunningProgram, clean_environ
from short_waits import ABSENCE_CONFIRMATION, shorten_waits

from orchestrator.core.account import ProviderName
from orchestrator.core.deployment.deployment_offers import DEPLOYMENT_OFFERS

ROOT = Path(__file__).parents[2]
LITELLM = ROOT / ".venv-litellm" / "bin" / "python"
MAX_SECONDS = 600.0
NOWHERE = "http://127.0.0.1:9"
WAITS = {ABSENCE_CONFIRMATION: scale_seconds(3)}  # of six deployments, which are removed twice


def test_every_provider_takes_part() -> None:
    assert set(BASE_MODELS) == set(ProviderName)
    assert set(DEPLOYMENTS) == {name for name, offer in DEPLOYMENT_OFFERS.items() if offer.kinds}


@pytest.mark.skipif(not LITELLM.exists(), reason="LiteLLM is not installed; `make acceptance` does it")
async def test_every_model_of_a_run_answers_through_litellm(tmp_path: Path) -> None:
    async with serve_every_provider(tmp_path) as fakes:
        (tmp_path / "accounts.toml").write_text(format_accounts(fakes.urls))
        (tmp_path / "prices.toml").write_text(format_prices())
        shorten_waits(tmp_path / "waits", WAITS)
        async with serving(tmp_path):
            await wait_until_callable(tmp_path)
            code, _, err = await run(tmp_path, "models", "--format", "litellm", "--output", "router.yaml")
            assert (code, err) == (0, "")
            answers = await ask_through_litellm(tmp_path)
            assert answers.keys() == set(BASE_MODELS)
            assert all(answer["text"] for answer in answers.values())
            code, out, err = await run(tmp_path, "undeploy", "--all")
            assert code == 0, out + err
            await wait_until_removed(tmp_path)
            await compare_and_check_costs(tmp_path, fakes)


async def compare_and_check_costs(folder: Path, fakes: Fakes) -> None:
    """Compare the models, six of which must be deployed for it: nothing is left, and the costs are right."""
    fakes.reset_counters()
    options = ("--deploy", "--probes", "2", "--no-behaviour", "--round-gap", "0", "--yes", "--json")
    started = time.perf_counter()
    _, out, err = await run(folder, "compare", *options)
    seconds = time.perf_counter() - started
    assert "Comparing 10 models, 2 probes: " in err, out + err
    assert f", {len(DEPLOYMENTS)} deployments, at most $" in err
    document = json.loads(out)
    assert {each["account"] for each in document["accounts"]} == set(BASE_MODELS)
    assert {each["obstacle"] for each in document["accounts"]} == {None}, document["accounts"]
    calls = {name: each.calls for name, each in fakes.counters.items()}
    assert document["requests"] == sum(calls.values()), calls
    assert min(each.calls for each in fakes.counters.values()) >= 2 * 2
    paid = sum(each.calculate_usd() for each in fakes.counters.values())
    assert document["token_usd"] == pytest.approx(paid, abs=1e-5)
    _, out, _ = await run(folder, "deployments", "--ended", "--json")
    deployments = json.loads(out)["deployments"]
    assert {each["account"]: each["state"] for each in deployments} == dict.fromkeys(DEPLOYMENTS, "stopped")
    code, out, err = await run(folder, "deployments", "--live", "--json")
    assert code == 0, out + err
    assert json.loads(out)["deployments"] == []
    hosting_usd = sum(each["so_far_usd"] for each in deployments)
    assert document["hosting_usd"] == pytest.approx(hosting_usd)
    assert 0 < hosting_usd <= 2 * PRICES["usd_per_hour"] * (seconds / 3600 + 1 / 60)
    assert document["usd"] == pytest.approx(document["token_usd"] + document["hosting_usd"])


async def run(folder: Path, *arguments: str) -> tuple[int, str, str]:
    result = await asyncio.to_thread(start(folder, *arguments).result, MAX_SECONDS)
    return result.code, result.out, result.err


def start(folder: Path, *arguments: str) -> RunningProgram:
    environ = clean_environ() | QUICK_POLLING | {"ORCHESTRATOR_PRICES_FILE": "prices.toml"}
    environ["PYTHONPATH"] = str(folder / "waits")
    return RunningProgram(arguments, folder, environ)


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[None]:
    """Run the service, which trains, deploys and follows, until the block ends."""
    service = start(folder, "serve", "--port", "0")
    try:
        yield
    finally:
        await asyncio.to_thread(service.stop, MAX_SECONDS)


async def wait_until_callable(folder: Path) -> None:
    """Wait until every model is callable. The price at Fireworks is unknown, so it is approved."""
    is_approved = False
    async with asyncio.timeout(scale_seconds(MAX_SECONDS)):
        while True:
            _, out, _ = await run(folder, "status", "--json")
            jobs: list[dict[str, Any]] = json.loads(out)["jobs"] if out.startswith("{") else []
            missing = {job["account"]: job for job in jobs if not (job["serving"] or {}).get("callable")}
            if len(jobs) == len(BASE_MODELS) and not missing:
                return
            if missing.keys() == {"fireworks"} and not is_approved:
                code, _, _ = await run(folder, "deployments", "--approve", "--account", "fireworks")
                is_approved = code == 0
            await asyncio.sleep(1)


async def wait_until_removed(folder: Path) -> None:
    async with asyncio.timeout(scale_seconds(MAX_SECONDS)):
        while True:
            _, out, _ = await run(folder, "deployments", "--ended", "--json")
            states = {each["account"]: each["state"] for each in json.loads(out)["deployments"]}
            if states == dict.fromkeys(DEPLOYMENTS, "stopped"):
                return
            await asyncio.sleep(1)


async def ask_through_litellm(folder: Path) -> dict[str, dict[str, Any]]:
    """Ask until each model has answered; gives the answers by account."""
    environ = {f"API_KEY_{variable(name)}": (folder / f"{name}.key").read_text() for name in BASE_MODELS}
    access_key, secret = (folder / "bedrock.key").read_text().split(":")
    environ |= {"AWS_ACCESS_KEY_ID_BEDROCK": access_key, "AWS_SECRET_ACCESS_KEY_BEDROCK": secret}
    offline = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "HTTPS_PROXY": NOWHERE, "NO_PROXY": "127.0.0.1"}
    process = await asyncio.create_subprocess_exec(
        *(LITELLM, ROOT / "tests" / "clients" / "ask_litellm.py", "router.yaml", "--no-stream"),
        cwd=folder,
        env={**clean_environ(), **environ, **offline, "PATH": os.environ["PATH"]},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), scale_seconds(MAX_SECONDS))
    assert process.returncode == 0, err.decode()[-3000:]
    answers: dict[str, dict[str, Any]] = json.loads(out)["answers"]
    return answers


def variable(name: str) -> str:
    return name.upper().replace("-", "_")

"""The program trains with the key of a service account, whose private key and tokens are shown and stored nowhere."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

from fake_google_tokens import FakeGoogleTokens
from fake_server import serve_on_free_port
from fake_vertex import MODELS, REGION, create_vertex
from machine_speed import scale_seconds
from processes import CHATS, QUICK_POLLING, clean_environ

ACCOUNTS = ("right", "expiring", "revoked")


def accounts_file(urls: dict[str, str]) -> str:
    text = f'[run]\nname = "canary"\ndataset = "{CHATS}"\nallow_unknown_price = true\nmoderation_waived = "test"\n'
    text += f'[run.vertex]\nbase_model = "{MODELS[0]}"\nn_epochs = 3\n'
    for name, url in urls.items():
        text += f'[[accounts]]\nname = "{name}"\nprovider = "vertex"\napi_key = "file:keys/{name}.json"\n'
        text += f'base_url = "{url}"\nstorage_url = "{url}"\nregion = "{REGION}"\n'
        text += f'project = "proj-{name}"\nbucket = "bucket-{name}"\n'
    return text


async def test_private_key_and_tokens_are_nowhere(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    async with AsyncExitStack() as stack:
        fakes, urls, worlds = {}, {}, {}
        for name in ACCOUNTS:
            app, worlds[name] = create_vertex(time.time)  # noqa: TID251 - the wall clock of a real provider
            fakes[name] = FakeGoogleTokens(app, time.time, account=name)  # noqa: TID251
            urls[name] = fakes[name].url = await stack.enter_async_context(serve_on_free_port(fakes[name]))
            key = fakes[name].create_key(token_uri=f"{urls[name]}/token")
            (tmp_path / "keys" / f"{name}.json").write_text(json.dumps(key, indent=2))
        fakes["expiring"].calls_per_token = 3
        fakes["revoked"].keys.clear()  # the endpoint refuses the assertion and repeats it
        (tmp_path / "accounts.toml").write_text(accounts_file(urls))
        canaries = list(list_canaries(tmp_path / "keys"))

        process = await start(tmp_path, "run")
        while process.returncode is None:
            assert find_leaks(tmp_path, canaries) == []
            await asyncio.sleep(0.2)
        assert process.returncode == 1, (tmp_path / "run.err").read_text()[-3000:]
        status = await start(tmp_path, "status", "--json")
        await asyncio.wait_for(status.wait(), scale_seconds(60))
    jobs = {job["account"]: job for job in json.loads((tmp_path / "status.out").read_text())["jobs"]}
    assert {name: job["state"] for name, job in jobs.items()} == {
        "right": "succeeded",
        "expiring": "succeeded",
        "revoked": "planned",
    }
    hold = json.dumps(jobs["revoked"])
    assert "invalid_grant: Invalid grant: account not found You sent [key " in hold
    assert {name: len(worlds[name].account(name).jobs) for name in ACCOUNTS} == {
        "right": 1,
        "expiring": 1,
        "revoked": 0,
    }
    assert fakes["expiring"].issued > fakes["right"].issued
    assert find_leaks(tmp_path, [*canaries, b"ya29."]) == []


async def start(folder: Path, *arguments: str) -> asyncio.subprocess.Process:
    environ = clean_environ() | QUICK_POLLING | {"ORCHESTRATOR_LOG_LEVEL": "debug"}
    with (folder / f"{arguments[0]}.out").open("wb") as out, (folder / f"{arguments[0]}.err").open("wb") as err:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "orchestrator", *arguments), cwd=folder, env=environ, stdout=out, stderr=err
        )


def list_canaries(keys: Path) -> Iterator[bytes]:
    """The lines of the private keys, without those that begin every key."""
    for path in keys.glob("*.json"):
        lines = json.loads(path.read_text())["private_key"].splitlines()
        yield from (line.encode() for line in lines[2:-1])


def find_leaks(folder: Path, canaries: list[bytes]) -> list[str]:
    """Where a canary is and must not be: files, outputs and command lines."""
    files = [path for path in folder.rglob("*") if path.is_file() and (folder / "keys") not in path.parents]
    return [str(path) for path in (*files, *Path("/proc").glob("[0-9]*/cmdline")) if contains(path, canaries)]


def contains(path: Path, canaries: list[bytes]) -> bool:
    try:
        content = path.read_bytes()
    except OSError:  # gone in the meantime
        return False
    return any(canary in content for canary in canaries)

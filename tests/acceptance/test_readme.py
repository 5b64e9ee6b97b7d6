"""The README's own accounts file and commands, in their order, with a stand-in in Together's place."""

from __future__ import annotations

import asyncio
import re
import shlex
import shutil
import time
from pathlib import Path

from fake_server import serve_on_free_port
from fake_together import create_together
from processes import CHATS, HTTP, Site

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
STEPS = README.partition("## Use it with your accounts")[2].partition("\n## ")[0]


def block(language: str) -> str:
    """The first one of this language, without its indentation."""
    found = re.search(rf"^ *```{language}\n(.+?)^ *```", STEPS, re.MULTILINE | re.DOTALL)
    assert found
    return re.sub(r"^   ", "", found[1], flags=re.MULTILINE)


def commands() -> list[list[str]]:
    """The arguments of each `orchestrator`."""
    return [shlex.split(line.partition("#")[0])[1:] for line in block("sh").splitlines()]


async def test_readme_steps_work_in_their_order(site: Site) -> None:
    shutil.copytree(CHATS, site.chats, dirs_exist_ok=True)
    site.environ |= {"ACME_EU_KEY": "sandbox-abc", "ORCHESTRATOR_PORT": "0"}
    *verbs, (last, *_) = commands()
    assert [verb for verb, *_ in verbs] == ["check", "doctor", "accounts", "plan", "run"]
    app, world = create_together(time.time)  # noqa: TID251 - a real provider's clock
    async with serve_on_free_port(app) as url:
        accounts = block("toml").replace('provider = "together"', f'provider = "together"\nbase_url = "{url}/v1"')
        (site.folder / "accounts.toml").write_text(accounts)
        for arguments in verbs:
            done = await asyncio.to_thread(site.run, *arguments)
            assert done.code == 0, (arguments, done.out, done.err)
        jobs = world.account("abc").jobs
        assert len(jobs) == len(world.account("abc").files) == 1
        models = (await asyncio.to_thread(site.run, "models", "--json", "--all")).json
        assert models["acme-eu"]
        assert await asyncio.to_thread(served, site, last) == [models["acme-eu"]]
        assert len(jobs) == 1


def served(site: Site, verb: str) -> list[str]:
    """The model ids that the service shows."""
    service = site.start(verb)
    url = service.wait_for_output(r'"service.ready"[^\n]*"url": "(http://[^"]+)"')
    shown = [job["fine_tuned_model"] for job in HTTP.get(f"{url}status").json()["jobs"]]
    assert service.stop().code == 0
    return shown


def test_readme_names_existing_make_targets_and_key_questions() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([\w-]+)", README, re.MULTILINE)) <= targets
    first_screen = "\n".join(README.splitlines()[:20])
    assert "Where do I put my key?" in first_screen
    assert "How do I see the model ids?" in first_screen

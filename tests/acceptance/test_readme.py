"""The README's own accounts file and commands, in their order, with the sandbox in OpenAI's place."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

from processes import CHATS, HTTP, Sandbox, Site

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


def test_each_step_in_its_order(site: Site, sandbox: Sandbox) -> None:
    accounts = block("toml").replace('provider = "openai"', f'provider = "openai"\nbase_url = "{sandbox.url}"')
    (site.folder / "accounts.toml").write_text(accounts)
    shutil.copytree(CHATS, site.chats, dirs_exist_ok=True)
    site.environ |= {"ACME_EU_KEY": "sandbox-abc", "ORCHESTRATOR_PORT": "0"}  # the sandbox makes it org-abc's
    *verbs, (last, *_) = commands()
    assert [verb for verb, *_ in verbs] == ["check", "doctor", "accounts", "plan", "run"]
    for arguments in verbs:
        done = site.run(*arguments)
        assert done.code == 0, (arguments, done.out, done.err)
    assert sandbox.held() == {"abc": (1, 1)}
    (model,) = set(re.findall(r"ft:[^\s│]+", done.out))

    service = site.start(last)
    url = service.find(r'"url": "(http://[^"]+)"[^\n]*"service.ready"')
    assert [job["fine_tuned_model"] for job in HTTP.get(f"{url}status").json()["jobs"]] == [model]
    assert service.stop().code == 0
    assert sandbox.held() == {"abc": (1, 1)}


def test_what_it_calls_make_and_the_answers_on_its_first_screen() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([\w-]+)", README, re.MULTILINE)) <= targets
    first_screen = "\n".join(README.splitlines()[:20])
    assert "Where do I put my key?" in first_screen
    assert "How do I see the model ids?" in first_screen

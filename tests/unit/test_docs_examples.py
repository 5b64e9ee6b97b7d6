"""What the pages tell people to type is understood by the program."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from deploy_files import ROOT, parse, verbs

from orchestrator.core.access_token import Role
from orchestrator.inputs.accounts_file.loader import load_accounts_file
from orchestrator.settings import PREFIX, list_setting_names

PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]
TEXTS = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in PAGES}
HEAD = '[run]\nname = "x"\n\n[run.openai]\nbase_model = "m"\n'


def blocks(text: str, *languages: str) -> Iterator[str]:
    for language, block in re.findall(r"^ *```(\w+)\n(.+?)^ *```", text, re.MULTILINE | re.DOTALL):
        if language in languages:
            yield block


def commands() -> Iterator[tuple[str, str]]:
    for name, text in TEXTS.items():
        for block in blocks(text, "sh", "console"):
            for line in block.splitlines():
                if found := re.match(r"[$ ]*(?:until )?(?:\S*/bin/|docker exec \S+ )?orchestrator ([a-z].*)", line):
                    yield name, re.split(r" *(?:#|;|\||&|\d?>) *", found[1])[0]
        for inline in re.findall(r"`orchestrator ([a-z][^`]*)`", text):
            yield name, " ".join(inline.split())


@pytest.mark.parametrize(("page", "command"), sorted(set(commands())))
def test_documented_command_exists(page: str, command: str) -> None:
    verb, *arguments = shlex.split(command)
    assert verb in verbs()
    if arguments:  # a verb that is merely mentioned may want some
        parse([verb, *arguments])


@pytest.mark.parametrize("page", TEXTS)
def test_documented_setting_exists(page: str) -> None:
    known = {f"{PREFIX}{name}" for name in ["", "NAME", *list_setting_names()]}
    assert set(re.findall(rf"{PREFIX}[A-Z_]*[A-Z]|{PREFIX}", TEXTS[page])) <= known


@pytest.mark.parametrize(("page", "block"), [(n, b) for n, t in TEXTS.items() for b in blocks(t, "toml")])
def test_documented_accounts_file_is_valid(page: str, block: str, tmp_path: Path) -> None:
    path = tmp_path / "accounts.toml"
    lines = re.sub(r"^   ", "", block, flags=re.MULTILINE) if block.startswith("   ") else block
    is_whole = "[run]" in lines or "[[runs]]" in lines
    path.write_text(lines if is_whole else (HEAD if "[run." not in lines else HEAD[:17]) + lines)
    assert load_accounts_file(path).accounts


def test_every_page_is_in_the_navigation() -> None:
    text = re.sub(r"!!python\S+", "", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    listed = set(re.findall(r"[\w/-]+\.md", str(yaml.safe_load(text)["nav"])))
    assert listed == {name.removeprefix("docs/") for name in TEXTS if name.startswith("docs/")}


def test_page_about_tokens_describes_the_roles_of_the_program() -> None:
    described = re.findall(r"`(\w+)` has (?:read-only|full) access", TEXTS["docs/how-to/tokens.md"])
    assert sorted(described) == sorted(Role)

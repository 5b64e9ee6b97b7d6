"""init: from an empty folder to the model ids, without an editor; with options, and with answers in a terminal."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from machine_speed import scale_seconds
from processes import (
    CHATS,
    PROGRAM,
    QUICK_POLLING,
    Result,
    RunningProgram,
    SandboxProcess,
    clean_environ,
    run_program,
)
from terminal import Terminal

from orchestrator.core.account import ProviderName

MAX_PATH_SECONDS = 180.0
PASTED_KEY = "sk-proj-abcdefghijklmnopqrstuvwx"
ENVIRON = clean_environ() | QUICK_POLLING | {"NORTH_KEY": "sandbox-north", "TERM": "dumb", "COLUMNS": "80"}


def run_command(folder: Path, *arguments: str, **variables: str) -> Result:
    return run_program(arguments, folder, ENVIRON | variables)


def init_options(sandbox: SandboxProcess, *, model: str = "sandbox-small") -> list[str]:
    options = ["--provider", "openai", "--api-key", "env:NORTH_KEY", "--base-url", sandbox.url]
    return [*options, "--base-model", model, "--dataset", str(CHATS)]


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[list[Terminal]]:
    opened: list[Terminal] = []
    yield opened
    for each in opened:
        each.close()


def test_new_user_gets_the_model_id_within_three_minutes(tmp_path: Path, sandbox: SandboxProcess) -> None:
    started = time.perf_counter()
    created = run_command(tmp_path, "init", "--yes", *init_options(sandbox))
    assert created.code == 0, created
    assert "14 examples" in created.out
    assert "org-north" in created.out
    assert "new job" in created.out
    assert created.out.endswith(
        "Next: `orchestrator run` trains as planned. Nothing has been uploaded or charged yet.\n"
    )
    assert sandbox.count_changing_requests() == {}
    assert not (tmp_path / "data").exists()
    trained = run_command(tmp_path, "run")
    assert trained.code == 0, trained
    models = run_command(tmp_path, "models")
    assert re.search(r"ft:sandbox-small:\S+", models.out), models
    assert time.perf_counter() - started < scale_seconds(MAX_PATH_SECONDS)


def test_command_that_the_sandbox_prints_works(tmp_path: Path) -> None:
    provider = RunningProgram(["sandbox", "--port", "0"], tmp_path, ENVIRON)
    try:
        provider.wait_for_output(r"(--base-url http\S+)\n")
        key, command = re.findall(r"^  (\S.+)$", provider.output().replace("\\\n", ""), flags=re.MULTILINE)
        name, value = key.removeprefix("export ").split("=")
        arguments = command.removeprefix("orchestrator ").split()
        created = run_command(
            tmp_path, *arguments, "--yes", "--base-model", "sandbox-small", "--dataset", str(CHATS), **{name: value}
        )
        assert created.code == 0, created
        assert "org-acme" in created.out
    finally:
        provider.stop()


def test_missing_options_are_listed_together(tmp_path: Path) -> None:
    done = run_command(tmp_path, "init", "--yes", "--provider", "fireworks")
    assert done.code == 2
    assert "missing options: --api-key, --base-model, --organization, --dataset" in done.err
    assert list(tmp_path.iterdir()) == []


def test_missing_options_of_the_account_are_listed_as_they_are_written(tmp_path: Path) -> None:
    done = run_command(tmp_path, "init", "--yes", "--provider", "vertex", "--option", "region=us-central1")
    assert done.code == 2
    assert "--option project=…, --option bucket=…, --dataset" in done.err
    wrong = run_command(tmp_path, "init", "--yes", "--provider", "vertex", "--option", "region")
    assert wrong.code == 2
    assert "NAME=VALUE" in wrong.err


def test_account_with_further_options_is_added(tmp_path: Path) -> None:
    path = tmp_path / "accounts.toml"
    entry = '[[accounts]]\nname = "first"\nprovider = "openai"\napi_key = "env:FIRST"\n'
    blocks = '[run.openai]\nbase_model = "m"\n[run.vertex]\nbase_model = "gemini-2.5-flash"\n'
    path.write_text(f'[run]\nname = "r"\n{blocks}{entry}')
    options = [f"--option={each}" for each in ("region=us-central1", "bucket=acme-chats")]
    added = run_command(
        tmp_path,
        *("account", "add", "acme", "--provider", "vertex", "--api-key", "env:KEY", "--project", "acme-1", *options),
    )
    assert added.code == 0, added
    assert 'region = "us-central1"\nbucket = "acme-chats"' in path.read_text()


def test_existing_file_is_overwritten_only_with_force(tmp_path: Path, sandbox: SandboxProcess) -> None:
    path = tmp_path / "accounts.toml"
    path.write_text("# mine\n")
    refused = run_command(tmp_path, "init", "--yes", *init_options(sandbox))
    assert (refused.code, path.read_text()) == (2, "# mine\n")
    assert "--force" in refused.err
    assert run_command(tmp_path, "init", "--yes", "--force", *init_options(sandbox)).code == 0
    assert "[run.openai]" in path.read_text()


def test_unusable_values_write_nothing(tmp_path: Path, sandbox: SandboxProcess) -> None:
    options = init_options(sandbox)
    for extra, message in (
        (["--api-key", PASTED_KEY], "not the key itself"),
        (["--dataset", "nowhere"], "there is no dataset at nowhere"),
        (["--base-url", "http://example.com/v1"], "unencrypted"),
        (["--max-total-usd", "0"], "max_total_usd"),
    ):
        done = run_command(tmp_path, "init", "--yes", *options, *extra)
        assert done.code == 2, done
        assert message in done.err
        assert PASTED_KEY not in done.out + done.err
    assert list(tmp_path.iterdir()) == []


def test_unknown_base_model_and_refused_key_are_reported(tmp_path: Path, sandbox: SandboxProcess) -> None:
    done = run_command(tmp_path, "init", "--yes", *init_options(sandbox, model="sandbox-smal"))
    assert done.code == 1
    assert "sandbox-small" in done.out
    assert "Next: " not in done.out
    assert "Not ready yet: " in done.out


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's terminals")
def test_prompts_correct_wrong_answers_and_list_the_models(
    tmp_path: Path, sandbox: SandboxProcess, terminal: list[Terminal]
) -> None:
    user = Terminal(tmp_path, [*PROGRAM, "init", "--base-url", sandbox.url], ENVIRON)
    terminal.append(user)
    user.answer(f", {list(ProviderName)[-1]})", "opnai\n")
    user.answer("This is not one of", "")
    user.answer("Provider (", "openai\n")
    user.answer("Reference to the key", f"{PASTED_KEY}\n")
    user.answer("not the key itself", "")
    user.answer("Reference to the key", "env:NORTH_KEY\n")
    user.answer("Dataset (", "nowhere\n")
    user.answer("There is no such folder or file.", "")
    user.answer("Dataset (", f"{CHATS}\n")
    user.answer("Name of the account [openai]", "north\n")
    user.answer("Models that the provider lists:", "")
    user.answer("Base model (number or name)", "wrong\n")
    user.answer("Use it anyway? [y/N]", "n\n")
    user.answer("Base model (number or name)", "1\n")
    assert user.finish() in (0, 1), user.output  # 1: the first model has no price
    assert "Plan for first-run" in user.output
    text = (tmp_path / "accounts.toml").read_text()
    assert 'name = "north"' in text
    assert PASTED_KEY not in text


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's terminals")
def test_ctrl_c_writes_nothing(tmp_path: Path, terminal: list[Terminal]) -> None:
    user = Terminal(tmp_path, [*PROGRAM, "init", "--provider", "openai", "--api-key", "env:NORTH_KEY"], ENVIRON)
    terminal.append(user)
    assert user.interrupt("Dataset (") == 130, user.output
    assert "Interrupted; nothing was written." in user.output
    assert "Traceback" not in user.output
    assert list(tmp_path.iterdir()) == []

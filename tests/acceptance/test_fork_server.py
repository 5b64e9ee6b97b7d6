"""Commands from the fork server are processes like those of a shell."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from fork_server import ADDRESS_VARIABLE
from processes import Site, clean_environ, needs_fresh_process

pytestmark = pytest.mark.skipif(ADDRESS_VARIABLE not in os.environ, reason="the fork server needs Linux")


def test_forked_command_has_the_output_and_exit_code_of_a_fresh_one(site: Site) -> None:
    commands = (
        ["--version"],
        ["status", "--json"],
        ["no-such-verb"],
        ["run"],
        ["models"],
        ["check", "chats", "--json"],
    )
    site.run("run")  # makes the database, which the first of them would log
    forked = [site.run(*arguments) for arguments in commands]
    site.fresh = True
    fresh = [site.run(*arguments) for arguments in commands]
    assert forked == fresh
    assert {result.code for result in forked} == {0, 1, 2}


def test_a_forked_command_has_its_own_folder_environment_and_signals(site: Site) -> None:
    site.write_accounts("acme")
    service = site.start("serve", "--port", "0", ORCHESTRATOR_LOG_LEVEL="debug")
    service.wait_for_output('"event": "(service.ready)"')
    assert Path(f"/proc/{service.pid}/cwd").readlink() == site.folder
    assert os.getpgid(service.pid) == os.getpgid(0), "Ctrl+C in the terminal reaches it too"
    watcher = Path(f"/proc/{service.pid}/stat").read_text().rpartition(")")[2].split()[1]
    for output in ("1", "2"):
        held = Path(f"/proc/{watcher}/fd/{output}").readlink()
        assert held == Path(os.devnull), "a command that is left running must not keep the session's output open"
    service.send(signal.SIGKILL)
    assert service.result().code == -signal.SIGKILL
    assert service.ended


@pytest.mark.parametrize("name", ["LD_PRELOAD", "TZ", "PYTHONUTF8"])
def test_start_only_environment_uses_a_fresh_process(name: str) -> None:
    assert not needs_fresh_process(clean_environ() | {"ORCHESTRATOR_PORT": "1"})
    assert needs_fresh_process(clean_environ() | {name: "another value"})

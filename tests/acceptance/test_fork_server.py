"""Commands from the fork server are processes like those of a shell."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from fork_server import ADDRESS_VARIABLE
from processes import Site, acts_at_start, clean_environ

pytestmark = pytest.mark.skipif(ADDRESS_VARIABLE not in os.environ, reason="the fork server needs Linux")


def test_a_forked_command_prints_and_ends_as_a_fresh_one(site: Site) -> None:
    commands = (["--version"], ["status", "--json"], ["no-such-verb"], ["run"], ["models"])
    site.run("run")  # makes the database, which the first of them would log
    forked = [site.run(*arguments) for arguments in commands]
    site.fresh = True
    fresh = [site.run(*arguments) for arguments in commands]
    assert forked == fresh
    assert {result.code for result in forked} == {0, 1, 2}


def test_a_forked_command_has_its_own_folder_environment_and_signals(site: Site) -> None:
    site.accounts("acme")
    service = site.start("serve", "--port", "0", ORCHESTRATOR_LOG_LEVEL="debug")
    service.find('"event": "(service.ready)"')
    assert Path(f"/proc/{service.pid}/cwd").readlink() == site.folder
    assert os.getpgid(service.pid) == os.getpgid(0), "Ctrl+C in the terminal reaches it too"
    service.send(signal.SIGKILL)
    assert service.result().code == -signal.SIGKILL
    assert service.ended


@pytest.mark.parametrize("name", ["LD_PRELOAD", "TZ", "PYTHONUTF8"])
def test_what_only_the_start_of_a_process_reads_is_seen(name: str) -> None:
    assert not acts_at_start(clean_environ() | {"ORCHESTRATOR_PORT": "1"})
    assert acts_at_start(clean_environ() | {name: "another value"})

"""Signals during the start of `serve`, and files that are not regular ones."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from processes import RunningProgram, Site, eventually


def child_of(service: RunningProgram) -> int | None:
    """The process that builds the dataset."""
    children = Path(f"/proc/{service.pid}/task/{service.pid}/children")
    for thread in Path(f"/proc/{service.pid}/task").glob("*/children"):
        for pid in thread.read_text().split():
            if "orchestrator.dataset.build_process" in Path(f"/proc/{pid}/cmdline").read_text():
                return int(pid)
    assert children.parent.exists(), "the service has ended"
    return None


def stop_cleanly(service: RunningProgram, *expected: str) -> None:
    stopped = service.stop()
    assert stopped.code == 0, stopped.err
    assert "Traceback" not in stopped.err
    assert [line for line in stopped.log if line["level"] == "error" and line["event"] not in expected] == []


def test_sigterm_stops_a_hanging_dataset_build(site: Site) -> None:
    site.fresh = True  # its builds are processes of their own, not forks
    site.write_accounts("a")
    service = site.start("serve", "--port", "0")
    child = eventually(lambda: child_of(service), "the building process")
    os.kill(child, signal.SIGSTOP)

    stop_cleanly(service)

    eventually(lambda: not Path(f"/proc/{child}").exists(), "the end of the building process")
    assert list((site.data / "datasets").glob(".*")) == []


def test_sighup_and_sigterm_are_handled_while_a_key_is_read(site: Site) -> None:
    names = [f"a{number}" for number in range(64)]  # eight at once, ten seconds each: more than the test waits
    site.write_accounts(*names, keys={name: f"cmd:sleep 60{name[1:]}" for name in names})
    service = site.start("serve", "--port", "0")
    eventually(lambda: list(site.data.glob("datasets/*.jsonl")), "the dataset")
    service.send(signal.SIGHUP)
    time.sleep(0.5)
    assert not service.ended

    stop_cleanly(service)


def test_sighup_and_sigterm_are_handled_before_the_database_opens(site: Site) -> None:
    site.write_accounts("a")
    service = site.start("serve", "--port", "0")
    status = Path(f"/proc/{service.pid}/status")
    eventually(lambda: handled(status, signal.SIGTERM), "the handler, while modules are imported")
    service.send(signal.SIGHUP)

    stop_cleanly(service)


def handled(status: Path, number: signal.Signals) -> bool:
    caught = next(line for line in status.read_text().splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)


def test_sighup_during_the_start_reloads_after_the_start(site: Site) -> None:
    site.write_accounts("a", keys={"a": "cmd:sh -c 'sleep 3; printf sandbox-a'"})
    service = site.start("serve", "--port", "0", ORCHESTRATOR_SETTINGS_FILE="settings")
    (site.folder / "settings").write_text("ORCHESTRATOR_LOG_LEVEL=info\n")
    eventually(lambda: list(site.data.glob("datasets/*.jsonl")), "the dataset")
    service.send(signal.SIGHUP)

    service.wait_for_output("(settings.reloaded)")

    assert service.output().index("service.ready") < service.output().index("settings.reloaded")
    stop_cleanly(service)


def test_pipe_in_place_of_a_file_is_refused_without_waiting(site: Site) -> None:
    site.write_accounts("a")
    service = site.start("serve", "--port", "0")
    service.wait_for_output("(service.ready)")
    limits = Path(f"/proc/{service.pid}/limits").read_text()
    assert "Max core file size        0 " in limits

    os.mkfifo(site.folder / "pipe")
    (site.folder / "pipe").rename(site.folder / "accounts.toml")
    service.wait_for_output("(accounts.toml cannot be read .it is a named pipe)")

    site.write_accounts("a", "b")
    os.mkfifo(site.chats / "pipe.json")
    service.send(signal.SIGHUP)
    service.wait_for_output("(pipe.json:1: the file is not read: it is a named pipe)")

    (site.chats / "pipe.json").unlink()
    service.send(signal.SIGHUP)
    eventually(lambda: '"accounts": 2' in service.output(), "both accounts")

    stop_cleanly(service, "accounts_file.refused")

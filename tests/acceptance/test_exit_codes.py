"""What is wrong is said at once, all of it, without a traceback, and with an exit code a script can use."""

from __future__ import annotations

import json
import signal
import socket

import pytest
from processes import PATIENTLY, Result, Sandbox, Site

LITERAL = "sk-proj-abcdefghijklmnopqrstuvwx"
FAULTY = f"""\
[run]
name = "acceptance"
datset = "chats"
[run.openai]
base_model = "sandbox-small"
n_epoch = 3
[[accounts]]
name = "literal"
provider = "openai"
api_key = "{LITERAL}"
[[accounts]]
name = "twice"
provider = "openai"
api_key = "env:TWICE"
[[accounts]]
name = "twice"
provider = "opnai"
api_key = "env:TWICE"
"""


def assert_refused(result: Result, *words: str, code: int = 2) -> None:
    assert result.code == code, result
    assert "Traceback" not in result.err
    assert [word for word in words if word not in result.err] == []


@pytest.mark.parametrize("verb", ["run", "serve"])
def test_all_faults_of_an_accounts_file_at_once(site: Site, sandbox: Sandbox, verb: str) -> None:
    (site.folder / "accounts.toml").write_text(FAULTY)
    refused = site.run(verb)
    assert_refused(refused, *(f"accounts.toml:{line}: " for line in (3, 6, 10, 16, 17)), "literal", "twice", "hint")
    assert LITERAL not in refused.err + refused.out
    assert sandbox.changes() == {}


def test_all_keys_that_are_missing_at_once(site: Site, sandbox: Sandbox) -> None:
    site.accounts("one", "two", "three", keys={"one": "env:NOT_SET", "two": "file:nowhere", "three": "cmd:false"})
    refused = site.run("run")
    assert_refused(refused, "one", "NOT_SET", "two", "nowhere", "three", "cmd:false", "hint")
    assert sandbox.changes() == {}


def test_no_accounts_file(site: Site) -> None:
    assert_refused(site.run("run"), "accounts.toml", "hint")
    assert_refused(site.run("plan", "--accounts", "elsewhere.toml"), "elsewhere.toml")


def test_a_wrong_environment(site: Site) -> None:
    site.accounts("one")
    wrong = {"ORCHESTRATOR_POLL_MIN_SECONDS": "soon", "ORCHESTRATOR_POOL_MAX_SECONDS": "1"}
    assert_refused(site.run("run", **wrong), *wrong, "ORCHESTRATOR_POLL_MAX_SECONDS")
    assert_refused(site.run("serve", "--host", "0.0.0.0", "--port", "0"), "ORCHESTRATOR_TOKEN")


def test_chats_that_cannot_be_used(site: Site, sandbox: Sandbox) -> None:
    site.accounts("one")
    (site.chats / "20-no-json.json").write_text('[{"role": "user"')
    (site.chats / "21-no-end.json").write_text(json.dumps([{"role": "user", "content": "Hello?"}]))
    assert_refused(site.run("run"), "20-no-json.json", "21-no-end.json", "hint", code=1)
    check = site.run("check", "--json")
    assert check.code == 1
    found = {finding["file"] for finding in check.json["findings"]}
    assert found >= {"chats/20-no-json.json", "chats/21-no-end.json"}
    assert sandbox.changes() == {}


def test_a_port_in_use(site: Site, sandbox: Sandbox) -> None:
    site.accounts("one")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert_refused(site.run("serve", "--port", port), port)
        assert_refused(site.run("sandbox", "--port", port), "error:")
    assert sandbox.changes() == {}


def test_a_second_process_on_the_same_database(site: Site, sandbox: Sandbox) -> None:
    site.accounts("one")
    sandbox.faults({"kind": "stall", "operations": ["files.create"]})
    first = site.start("run", **PATIENTLY)
    first.find("(uploading)")
    assert_refused(site.run("run"), "another orchestrator process", "orchestrator.db", "hint")
    assert site.run("status").code == 0
    sandbox.faults()
    assert first.result().code == 0
    assert sandbox.held() == {"one": (1, 1)}


def test_usage(site: Site) -> None:
    assert_refused(site.run("cancel"), "--all")
    assert_refused(site.run("no-such-verb"), "no-such-verb")
    assert_refused(site.run("approve"), "no run yet", "hint")


READING = (
    ("status",),
    ("status", "--json"),
    ("models",),
    ("history", "one"),
    ("deliveries", "list"),
    ("token", "list"),
    ("plan",),
    ("accounts",),
    ("prune",),
)


def test_what_only_looks_makes_nothing(site: Site, sandbox: Sandbox) -> None:
    site.accounts("one")
    before = sorted(path.name for path in site.folder.iterdir() if not path.name.startswith("output-"))
    for verb in READING:
        assert "Traceback" not in site.run(*verb).err, verb
    after = sorted(path.name for path in site.folder.iterdir() if not path.name.startswith("output-"))
    assert after == before
    assert sandbox.changes() == {}


def test_what_there_is_nothing_to_do_for_says_so(site: Site, sandbox: Sandbox) -> None:
    site.accounts("blue-harbour")
    assert site.run("run").code == 0
    assert_refused(site.run("approve"), "there is nothing to approve", "is not held", code=1)
    assert_refused(
        site.run("history", "blue-harbor"), "no account is named blue-harbor", 'did you mean "blue-harbour"'
    )
    assert site.run("history", "blue-harbour").code == 0


def test_an_interrupted_run_says_what_goes_on_and_how_to_continue(site: Site, sandbox: Sandbox) -> None:
    site.accounts("one")
    sandbox.faults({"kind": "slow", "operations": ["files.create"], "seconds": 4})
    run = site.start("run")
    run.find("(uploading)")
    run.send(signal.SIGINT)
    assert_refused(run.result(), "stopped: ", "The same command continues where it stopped", code=1)

"""What is wrong is said at once, all of it, without a traceback, and with an exit code a script can use."""

from __future__ import annotations

import json
import signal
import socket

import pytest
from processes import LONG_INTENTS, Result, SandboxProcess, Site

LITERAL = "sk-proj-abcdefghijklmnopqrstuvwx"
FAULTY_ACCOUNTS = f"""\
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
def test_all_problems_of_an_accounts_file_are_reported_at_once(
    site: Site, sandbox: SandboxProcess, verb: str
) -> None:
    (site.folder / "accounts.toml").write_text(FAULTY_ACCOUNTS)
    refused = site.run(verb)
    assert_refused(refused, *(f"accounts.toml:{line}: " for line in (3, 6, 10, 16, 17)), "literal", "twice", "hint")
    assert LITERAL not in refused.err + refused.out
    assert sandbox.count_changing_requests() == {}


def test_all_missing_keys_are_reported_at_once(site: Site, sandbox: SandboxProcess) -> None:
    site.write_accounts(
        "one", "two", "three", keys={"one": "env:NOT_SET", "two": "file:nowhere", "three": "cmd:false"}
    )
    refused = site.run("run")
    assert_refused(refused, "one", "NOT_SET", "two", "nowhere", "three", "cmd:false", "hint")
    assert sandbox.count_changing_requests() == {}


def test_missing_accounts_file_is_exit_code_2(site: Site) -> None:
    assert_refused(site.run("run"), "accounts.toml", "hint")
    assert_refused(site.run("plan", "--accounts", "elsewhere.toml"), "elsewhere.toml")


def test_invalid_environment_is_exit_code_2(site: Site) -> None:
    site.write_accounts("one")
    wrong = {"ORCHESTRATOR_POLL_MIN_SECONDS": "soon", "ORCHESTRATOR_POOL_MAX_SECONDS": "1"}
    assert_refused(site.run("run", **wrong), *wrong, "ORCHESTRATOR_POLL_MAX_SECONDS")
    assert_refused(site.run("serve", "--host", "0.0.0.0", "--port", "0"), "ORCHESTRATOR_TOKEN")


def test_unusable_chats_are_exit_code_1(site: Site, sandbox: SandboxProcess) -> None:
    site.write_accounts("one")
    (site.chats / "20-no-json.json").write_text('[{"role": "user"')
    (site.chats / "21-no-end.json").write_text(json.dumps([{"role": "user", "content": "Hello?"}]))
    assert_refused(site.run("run"), "20-no-json.json", "21-no-end.json", "hint", code=1)
    check = site.run("check", "--json")
    assert check.code == 1
    found = {finding["file"] for finding in check.json["findings"]}
    assert found >= {"chats/20-no-json.json", "chats/21-no-end.json"}
    assert sandbox.count_changing_requests() == {}


def test_port_in_use_is_exit_code_2(site: Site, sandbox: SandboxProcess) -> None:
    site.write_accounts("one")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert_refused(site.run("serve", "--port", port), port)
        assert_refused(site.run("sandbox", "--port", port), "error:")
    assert sandbox.count_changing_requests() == {}


def test_second_process_on_the_same_database_is_refused(site: Site, sandbox: SandboxProcess) -> None:
    site.write_accounts("one")
    sandbox.set_faults({"kind": "stall", "operations": ["files.create"]})
    first = site.start("run", **LONG_INTENTS)
    first.wait_for_output("(uploading)")
    assert_refused(site.run("run"), "another orchestrator process", "orchestrator.db", "hint")
    assert site.run("status").code == 0
    sandbox.set_faults()
    assert first.result().code == 0
    assert sandbox.count_files_and_jobs() == {"one": (1, 1)}


def test_usage_errors_are_exit_code_2(site: Site) -> None:
    assert_refused(site.run("cancel"), "--all")
    assert_refused(site.run("no-such-verb"), "no-such-verb")
    assert_refused(site.run("approve"), "no run yet", "hint")


READING_COMMANDS = (
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


def test_reading_commands_create_no_files_and_no_requests(site: Site, sandbox: SandboxProcess) -> None:
    site.write_accounts("one")
    before = sorted(path.name for path in site.folder.iterdir() if not path.name.startswith("output-"))
    for verb in READING_COMMANDS:
        assert "Traceback" not in site.run(*verb).err, verb
    after = sorted(path.name for path in site.folder.iterdir() if not path.name.startswith("output-"))
    assert after == before
    assert sandbox.count_changing_requests() == {}


def test_command_with_nothing_to_do_explains_why(site: Site, sandbox: SandboxProcess) -> None:
    site.write_accounts("blue-harbour")
    assert site.run("run").code == 0
    assert_refused(site.run("approve"), "there is nothing to approve", "is not held", code=1)
    assert_refused(
        site.run("history", "blue-harbor"), "no account is named blue-harbor", 'did you mean "blue-harbour"'
    )
    assert site.run("history", "blue-harbour").code == 0


def test_interrupted_run_reports_open_jobs_and_how_to_continue(site: Site, sandbox: SandboxProcess) -> None:
    site.write_accounts("one")
    sandbox.set_faults({"kind": "slow", "operations": ["files.create"], "seconds": 4})
    run = site.start("run")
    run.wait_for_output("(uploading)")
    run.send(signal.SIGINT)
    assert_refused(run.result(), "Interrupted: ", "Run the same command to continue", code=1)

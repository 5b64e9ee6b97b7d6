"""`orchestrator conformance`: what it announces, what it costs, how it ends."""

from __future__ import annotations

import signal

from processes import SandboxProcess, Site, eventually


def test_sandbox_fulfils_the_contract(site: Site, sandbox: SandboxProcess) -> None:
    site.write_accounts("lab")
    tested = site.run("conformance", "lab")
    assert tested.code == 0, tested.out + tested.err
    announced, *rows = tested.out.splitlines()
    assert announced.startswith("The test uploads 10 tiny chats to 127.0.0.1:")
    assert "Exactly one job: promised." in rows
    assert not {"missing", "limited", "sandbox-lab"} & set(tested.out.split())
    assert sandbox.count_files_and_jobs() == {"lab": (0, 1)}
    assert [job["status"] for job in sandbox.jobs("lab")] == ["cancelled"]
    assert not site.data.exists()

    document = site.run("conformance", "lab", "--json").json
    assert (document["conforms"], document["exactly_once"], document["found_by"]) == (True, True, "metadata")
    assert {check["result"] for check in document["checks"]} == {"works"}


def test_defect_is_named_and_the_command_fails(site: Site, sandbox: SandboxProcess) -> None:
    site.write_accounts("lab")
    sandbox.set_faults({"kind": "malformed_list", "operations": ["jobs.list"]})
    tested = site.run("conformance", "lab")
    assert tested.code == 1, tested.out + tested.err
    [row] = [line for line in tested.out.splitlines() if line.startswith("list jobs")]
    assert row.split()[2] == "missing"
    assert "Exactly one job: not promised; no job is created at all." in tested.out
    assert [job["status"] for job in sandbox.jobs("lab")] == ["cancelled"]


def test_usage_errors_send_nothing(site: Site, sandbox: SandboxProcess) -> None:
    site.write_accounts("lab", "hosted")
    text = (site.folder / "accounts.toml").read_text().rpartition("base_url = ")
    (site.folder / "accounts.toml").write_text(text[0] + 'base_url = "https://hosted.example/v1"\n')
    unknown = site.run("conformance", "lba")
    assert (unknown.code, unknown.out) == (2, "")
    assert 'there is no account "lba"' in unknown.err
    assert "did you mean" in unknown.err
    hosted = site.run("conformance", "hosted")
    assert (hosted.code, hosted.out) == (2, "")
    assert "hosted.example, which is outside of this network and may charge for it" in hosted.err
    assert "hint: Add --yes" in hosted.err
    (site.folder / "keys" / "lab").unlink()
    assert site.run("conformance", "lab").code == 2
    assert sandbox.count_changing_requests() == {}


def test_interrupted_test_ends_its_job(site: Site, sandbox: SandboxProcess) -> None:
    site.write_accounts("lab")
    sandbox.set_faults({"kind": "stall", "operations": ["jobs.events"]})
    running = site.start("conformance", "lab")
    eventually(lambda: sandbox.count_requests("lab").get("jobs.retrieve"), "the job is retrieved")
    running.send(signal.SIGINT)
    assert running.result().code == 130
    assert [job["status"] for job in sandbox.jobs("lab")] == ["cancelled"]
    assert sandbox.files("lab") == []

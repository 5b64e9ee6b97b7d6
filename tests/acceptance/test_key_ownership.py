"""Keys that are not what the accounts file takes them for: another organisation's, and one key for two accounts."""

from __future__ import annotations

from processes import SandboxProcess, Site


def test_key_of_another_organisation_spends_nothing_and_shared_keys_warn(site: Site, sandbox: SandboxProcess) -> None:
    site.write_key("twin-a", "sandbox-shared")
    site.write_key("twin-b", "sandbox-shared")
    site.write_accounts("twin-a", "twin-b", "elsewhere", options={"elsewhere": 'organization = "org-other"'})
    for verb in (("plan",), ("accounts",), ("doctor",)):
        told = site.run(*verb)
        assert "twin-a, twin-b have the same key (" in told.out + told.err, verb
    assert [line for line in site.run("plan", "--json").json["warnings"] if line.startswith("twin-a, twin-b have")]
    assert isinstance(site.run("accounts", "--json").json, list)
    assert sandbox.count_changing_requests() == {}, "told before anything is paid for"
    run = site.run("run")
    assert run.code == 1
    jobs = site.jobs()
    assert jobs["elsewhere"]["error"]["kind"] == "wrong_organization"
    assert "organization" in jobs["elsewhere"]["error"]["message"]
    assert "orchestrator release" in jobs["elsewhere"]["error"]["hint"]
    assert [jobs[name]["state"] for name in ("twin-a", "twin-b")] == ["succeeded"] * 2
    assert jobs["twin-a"]["remote_job_id"] != jobs["twin-b"]["remote_job_id"]
    assert {name: held[1] for name, held in sandbox.count_files_and_jobs().items()} == {"shared": 2}
    assert [line for line in site.status()["run"]["warnings"] if line.startswith("twin-a, twin-b have the same key")]
    [warning] = [line["message"] for line in run.log if line["event"] == "accounts_file.warned"]
    assert warning.startswith("twin-a, twin-b have the same key (")

"""One key that is missing holds its account, and nobody else; the key is noticed when it appears."""

from __future__ import annotations

from processes import SandboxProcess, Site, eventually


def test_missing_key_holds_its_account_until_the_key_exists(site: Site, sandbox: SandboxProcess) -> None:
    site.write_accounts("one", "two", "late", keys={"late": "file:keys/not-yet"})
    plan = site.run("plan", "--json")
    assert plan.code == 1
    steps = {line["account"]: line["step"] for line in plan.json["accounts"]}
    assert steps == {"one": "new job", "two": "new job", "late": "held"}
    told = site.run("accounts")
    assert (told.code, "not-yet" in told.out) == (1, True)
    doctor = site.run("doctor")
    assert "late: file:keys/not-yet does not exist" in doctor.out

    run = site.run("run")
    assert run.code == 1, "an account did not get its model"
    jobs = site.jobs()
    assert [jobs[name]["state"] for name in ("one", "two")] == ["succeeded"] * 2
    assert (jobs["late"]["held"], jobs["late"]["error"]["kind"]) == (True, "key_missing")
    assert "A running service finds the new key" in jobs["late"]["error"]["hint"]

    serving = site.start("serve", "--port", "0")
    serving.wait_for_output(r"(service\.ready)")
    site.write_key("not-yet", "sandbox-late")
    eventually(lambda: site.jobs()["late"]["state"] == "succeeded", "the account whose key has come")
    assert "key.found" in serving.output()
    assert serving.stop().code == 0
    assert sandbox.count_files_and_jobs() == dict.fromkeys(("one", "two", "late"), (1, 1))

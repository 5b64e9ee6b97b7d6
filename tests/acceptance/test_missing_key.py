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


def test_edit_that_was_refused_without_any_key_is_applied_when_a_key_is_back(
    site: Site, sandbox: SandboxProcess
) -> None:
    site.write_accounts("one")
    serving = site.start("serve", "--port", "0")
    eventually(lambda: site.jobs().get("one", {}).get("state") == "succeeded", "the model before the edit")
    site.write_accounts("one", "two", keys={"one": "file:keys/moved", "two": "file:keys/not-yet"})
    eventually(lambda: "no key for any of the 2 accounts" in serving.output(), "the refusal of the edit")
    site.write_key("not-yet", "sandbox-two")
    eventually(lambda: site.jobs().get("two", {}).get("state") == "succeeded", "the account whose key has come")
    assert site.jobs()["one"]["state"] == "succeeded"
    assert serving.stop().code == 0
    assert sandbox.count_files_and_jobs() == {"one": (1, 1), "two": (1, 1)}


def test_key_of_another_organisation_loses_no_job_and_trains_nothing_there(
    site: Site, sandbox: SandboxProcess
) -> None:
    """Its jobs are unknown there. They are not lost, and the right key is enough to go on."""
    sandbox.set_faults({"kind": "server_error", "operations": ["jobs.retrieve"], "accounts": ["one"]})
    site.write_accounts("one", "two")
    serving = site.start("serve", "--port", "0")
    eventually(lambda: site.jobs().get("one", {}).get("remote_job_id"), "the remote job")
    (site.folder / "keys" / "one").unlink()
    with (site.folder / "accounts.toml").open("a") as file:
        file.write("# edited\n")
    eventually(lambda: find_error(site) == "key_missing", "the hold of the account without a key")
    site.write_key("one", "sandbox-stranger")
    eventually(lambda: find_error(site) == "wrong_organization", "the hold of the account with a wrong key")
    sandbox.set_faults()
    site.write_key("one", "sandbox-one")
    assert site.run("release", "one").code == 0
    eventually(lambda: site.jobs()["one"]["state"] == "succeeded", "the model in the right organisation")
    assert "one" in site.jobs()["one"]["fine_tuned_model"]
    assert serving.stop().code == 0
    assert "stranger" not in {name for name, counts in sandbox.count_files_and_jobs().items() if any(counts)}


def find_error(site: Site) -> str | None:
    """The kind of the error that is shown for the first account."""
    error = site.jobs()["one"]["error"]
    return error["kind"] if error else None

"""When some accounts fail, the others finish; each failure says what to do, and doing it helps."""

from __future__ import annotations

from typing import Any

from processes import HTTP, Result, SandboxProcess, Site, eventually

FINE = ("fine-1", "fine-2", "fine-3")
KINDS = {"wrong-key": "authentication_failed", "not-allowed": "training_not_allowed", "fails": "job_failed"}


def test_three_failures_are_explained_and_fixed_while_other_jobs_finish(site: Site, sandbox: SandboxProcess) -> None:
    site.write_accounts(*FINE, *KINDS)
    site.write_key("wrong-key", "sandbox-WRONG")
    sandbox.set_faults(
        {"kind": "forbidden", "accounts": ["not-allowed"]},
        {"kind": "fail_job", "accounts": ["fails"], "code": "training_diverged", "message": "The loss diverged."},
    )
    run = site.run("run")
    assert run.code == 1
    jobs = site.jobs()
    errors = {name: job["error"] for name, job in jobs.items()}
    assert [jobs[name]["state"] for name in FINE] == ["succeeded"] * 3
    assert {name: error["kind"] for name, error in errors.items() if error} == KINDS
    assert "401" in errors["wrong-key"]["message"]
    assert "permission" in errors["not-allowed"]["message"]
    assert "The loss diverged." in errors["fails"]["message"]
    table = site.run("status").out
    for name, error in errors.items():
        if error:
            assert error["hint"]
            assert_explained(error, table)
            assert_explained(error, run.out)
            assert_logged(error, name, run)
    assert site.run("models").code == site.run("accounts").code == 1
    assert len(sandbox.jobs("fails")) == 1

    service = site.start("serve", "--port", "0")
    url = service.wait_for_output(r'"(http://[^"]+)/status"')
    assert {job["account"]: job["error"] for job in HTTP.get(f"{url}/status").json()["jobs"]} == errors
    sandbox.set_faults()
    site.write_key("wrong-key", "sandbox-wrong-key")
    assert site.run("release", "wrong-key", "not-allowed").code == 0
    assert site.run("retry", "fails").code == 0
    eventually(lambda: HTTP.get(f"{url}/status").json()["counts"] == {"succeeded": 6}, "everybody has a model")
    assert service.stop().code == 0
    assert sandbox.count_files_and_jobs() == dict.fromkeys([*FINE, "wrong-key", "not-allowed"], (1, 1)) | {
        "fails": (1, 2)
    }
    assert site.run("run").code == 0


def assert_explained(error: dict[str, Any], text: str) -> None:
    """Every word of it is there: a folded cell has other cells, and perhaps a break in a long word, in between."""
    plain = letters(text)
    for part in (error["kind"], error["message"], error["hint"]):
        assert [word for word in part.split() if letters(word) not in plain] == []


def letters(text: str) -> str:
    return "".join(filter(str.isalnum, text))


def assert_logged(error: dict[str, Any], account: str, run: Result) -> None:
    lines = [line for line in run.log if line.get("account") == account and line.get("kind") == error["kind"]]
    assert [line for line in lines if line["message"] == error["message"] and line["hint"] == error["hint"]]

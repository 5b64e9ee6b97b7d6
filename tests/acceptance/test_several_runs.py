"""Several runs in one service: they share the accounts, and what concerns one run leaves the others alone."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
from processes import HTTP, SandboxProcess, Site, eventually

ONE_SLOT = {"a": "max_running_jobs = 1", "b": "max_running_jobs = 1"}


@pytest.fixture
def site(site: Site) -> Site:
    """A site with chats for two runs."""
    shutil.copytree(site.chats, site.folder / "facts")
    site.chats.rename(site.folder / "tone")
    site.chats = site.folder / "tone"
    site.write_chat("only-tone", "Is this the tone?", "It is.")
    site.write_accounts(
        "a",
        "b",
        options=ONE_SLOT,
        runs={
            "tone": 'dataset = "tone"\nseed = 1',
            "facts": 'dataset = "facts"\nseed = 2\npriority = 5\nschedule = "* * * * *"',
        },
    )
    return site


def get_runs(site: Site) -> dict[str, Any]:
    """Return the section of each run in `status --json`, by name."""
    return {part["run"]["name"]: part for part in site.status()["runs"]}


def test_runs_share_the_slots_of_the_accounts_by_priority(site: Site, sandbox: SandboxProcess) -> None:
    assert site.run("upload").code == 0, "a run goes first once its files are ready"
    result = site.run("run")
    assert result.code == 0, result.err
    for account in ("a", "b"):
        jobs = sorted(sandbox.jobs(account), key=lambda job: job["created_at"])
        assert sorted(job["seed"] for job in jobs) == [1, 2]
        first, second = jobs
        assert (first["seed"], second["seed"]) == (2, 1), "the run with the higher priority is first"
        assert first["finished_at"] <= second["created_at"], "there is one slot"
    runs = get_runs(site)
    assert {name: part["counts"] for name, part in runs.items()} == {
        "facts": {"succeeded": 2},
        "tone": {"succeeded": 2},
    }
    assert site.run("run").code == 0
    assert [len(sandbox.jobs(account)) for account in ("a", "b")] == [2, 2], "nothing is trained twice"


def test_one_run_is_planned_checked_and_trained_by_name(site: Site, sandbox: SandboxProcess) -> None:
    assert "Plan for tone" in site.run("plan", "--run", "tone").out
    both = site.run("plan", "--json").json
    assert [plan["name"] for plan in both["runs"]] == ["tone", "facts"]
    unclear = site.run("check")
    assert (unclear.code, "--run NAME" in unclear.err, "tone, facts" in unclear.err) == (2, True, True)
    assert "13 chats" in site.run("check", "--run", "tone").out
    unknown = site.run("run", "--run", "ton")
    assert (unknown.code, 'did you mean "tone"' in unknown.err) == (2, True)
    assert site.run("run", "--run", "tone").code == 0
    assert [job["seed"] for account in ("a", "b") for job in sandbox.jobs(account)] == [1, 1]
    assert site.run("models", "--run", "tone").out.count("ft:") == 2
    assert "tone" in site.run("status").out


def test_foreground_run_ends_with_the_reason_of_a_refused_run(site: Site, sandbox: SandboxProcess) -> None:
    (site.folder / "facts" / "broken.json").write_text("[")
    result = site.run("upload")
    last = result.err.splitlines()[-1]
    assert result.code == 1
    assert last.startswith("Run facts was refused: "), "the log line is far above it, or scrolled away"
    assert "broken.json:1" in last
    assert not sandbox.jobs("a")


def test_service_keeps_the_other_run_when_one_cannot_be_used(site: Site, sandbox: SandboxProcess) -> None:
    service = site.start("serve", "--port", "0", ORCHESTRATOR_DATASET_WATCH_SECONDS="0.5")
    url = service.wait_for_output(r'"service.ready"[^\n]*"url": "(http://[^"]+)"').rstrip("/")
    applied = [line["name"] for line in service.log() if line["event"] == "plan.applied"]
    assert applied == ["tone", "facts"]
    facts = get_runs(site)["facts"]["run"]["id"]

    (site.chats / "broken.json").write_text("[")
    service.wait_for_output("(run.refused)")
    problem = eventually(lambda: HTTP.get(f"{url}/status").json()["problem"], "the refusal in the status")
    assert problem["message"].startswith("run tone: ")
    assert "broken.json:1" in problem["message"]
    assert set(get_runs(site)) == {"tone", "facts"}, "the version in force stays"

    (site.folder / "facts" / "more.json").write_text((site.chats / "only-tone.json").read_text())
    eventually(lambda: get_runs(site)["facts"]["run"]["id"] != facts, "the new version of the other run")
    assert HTTP.get(f"{url}/status").json()["problem"]["message"].startswith("run tone: ")
    names = [line["name"] for line in service.log() if line["event"] == "plan.applied"][2:]
    assert "tone" not in names, "a change of one run does not apply the other again"

    (site.chats / "broken.json").unlink()
    eventually(lambda: HTTP.get(f"{url}/status").json()["problem"] is None, "a status without the refusal")
    eventually(lambda: HTTP.get(f"{url}/status").json()["settled"], "the end of all jobs")
    assert service.stop().code == 0
    for account in ("a", "b"):
        assert {job["seed"] for job in sandbox.jobs(account)} == {1, 2}


def test_action_of_the_command_line_needs_the_run(site: Site, sandbox: SandboxProcess) -> None:
    assert site.run("upload").code == 0
    unclear = site.run("cancel", "--all")
    assert (unclear.code, "describes 2 runs" in unclear.err, "--run NAME" in unclear.err) == (2, True, True)
    assert site.run("cancel", "--all", "--run", "tone").code == 0
    assert site.run("run").code == 1, "the jobs of a run are cancelled"
    counts = {name: part["counts"] for name, part in get_runs(site).items()}
    assert counts == {"tone": {"cancelled": 2}, "facts": {"succeeded": 2}}
    assert [job["seed"] for account in ("a", "b") for job in sandbox.jobs(account)] == [2, 2]

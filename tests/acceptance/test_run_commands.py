"""The verbs, each on its own."""

from __future__ import annotations

from collections.abc import Iterable

from processes import LONG_INTENTS, SandboxProcess, Site, eventually

READING_COMMANDS = (["plan"], ["status"], ["models"], ["accounts"], ["history", "one"], ["check"], ["format"])


def test_upload_then_start_then_run(site: Site, sandbox: SandboxProcess) -> None:
    for number in range(12):
        site.write_chat(f"sum-{number}", f"What is {number} and one?", f"It is {number + 1}.")
    site.write_accounts("one", "two", "three", run="validation_fraction = 0.5")
    upload = site.run("upload")
    assert upload.code == 0, upload.err
    assert {job["state"] for job in site.jobs().values()} == {"ready"}
    assert sandbox.count_files_and_jobs() == dict.fromkeys(("one", "two", "three"), (2, 0))
    assert site.run("cancel", "three").code == 0

    start = site.run("start")
    assert start.code == 1, "three was cancelled"
    jobs = {name: sandbox.jobs(name) for name in ("one", "two", "three")}
    assert [len(jobs[name]) for name in jobs] == [1, 1, 0]
    assert all(job["validation_file"] for name in ("one", "two") for job in jobs[name])

    assert site.run("run").code == 1
    models = site.run("models", "--json").json
    assert models == {name: one_model(sandbox, name) for name in ("one", "two")} | {"three": None}
    assert sandbox.count_changing_requests() == {"files.create": 6, "jobs.create": 2}
    for verb in READING_COMMANDS:
        said = site.run(*verb, "--json")
        assert said.json is not None
        assert said.code in {0, 1}
        assert "Traceback" not in said.err
    assert sandbox.count_changing_requests() == {"files.create": 6, "jobs.create": 2}


def test_separate_validation_set_is_sent_and_not_trained_on(site: Site, sandbox: SandboxProcess) -> None:
    for number in range(10):
        site.write_chat(f"sum-{number}", f"What is {number} and one?", f"It is {number + 1}.")
    site.write_chat("own", "What is ten and one?", "It is eleven.")  # in the folder of the chats
    site.write_accounts("one", run='validation = "chats/own.json"')
    assert site.run("run").code == 0
    (job,) = sandbox.jobs("one")
    assert job["validation_file"]
    assert sandbox.count_changing_requests() == {"files.create": 2, "jobs.create": 1}
    parts = site.run("format", "--json").json
    training = len(list(site.chats.iterdir())) - 1
    assert (parts["training"]["examples"], parts["validation"]["examples"]) == (training, 1)


def one_model(sandbox: SandboxProcess, account: str) -> str:
    (job,) = sandbox.jobs(account)
    return str(job["fine_tuned_model"])


def test_a_plan_over_budget_spends_nothing_until_approved(site: Site, sandbox: SandboxProcess) -> None:
    """One job costs about seven cents."""
    site.write_accounts("rich", "poor", run="max_total_usd = 0.1", options={"poor": "budget_usd = 0.01"})
    plan = site.run("plan", "--json")
    assert plan.code == 1
    assert [hold["kind"] for hold in plan.json["holds"]] == ["run_too_dear"]
    assert plan.json["total_usd"] > 0.1
    holds = {line["account"]: line["hold"] for line in plan.json["accounts"]}
    assert holds["rich"] is None
    assert holds["poor"]["kind"] == "over_budget"

    assert site.run("run").code == 1
    assert sandbox.count_changing_requests() == {}
    assert [hold["kind"] for hold in site.status()["run"]["holds"]] == ["run_too_dear"]

    assert site.run("approve").code == 0
    assert site.run("run").code == 1
    assert sandbox.count_files_and_jobs() == {"rich": (1, 1)}
    assert site.jobs()["poor"]["error"]["kind"] == "over_budget"

    site.write_accounts("rich", "poor", run="max_total_usd = 0.1", options={"poor": "budget_usd = 1.0"})
    assert site.run("run").code == 0
    assert sandbox.count_files_and_jobs() == {"rich": (1, 1), "poor": (1, 1)}


ENDLESS_JOB_FAULT = {"kind": "fail_job", "seconds": 36_000}  # no job would end by itself
PHASES = ("planned", "uploading", "processing", "submitting", "queued", "running")
STATES_WHEN_CANCELLED = (
    "planned",
    "processing",
    "ready",
    "queued",
    "running",
    "running",
)  # what was under way ends first


def test_cancel_in_any_phase_leaves_no_running_job(site: Site, sandbox: SandboxProcess) -> None:
    """Each account is kept in the phase it is named after; `ready` has its own test above."""
    kept = {
        "planned": "models.list",
        "uploading": "files.create",
        "processing": "files.retrieve",
        "submitting": "jobs.create",
        "queued": "jobs.retrieve",
    }
    sandbox.set_faults(
        ENDLESS_JOB_FAULT,
        *({"kind": "stall", "accounts": [name], "operations": [at], "times": 1} for name, at in kept.items()),
    )
    site.write_accounts(*PHASES, "goes-on")
    run = site.start("run", **LONG_INTENTS)
    run.wait_for_output('("running", "what": "remote started")')
    eventually(lambda: sandbox.count_fired_faults()[1:] == [1] * len(kept), "each is in its phase")
    assert site.run("cancel", *PHASES).code == 0
    sandbox.set_faults(ENDLESS_JOB_FAULT)
    eventually(lambda: ended_as(site, "cancelled", PHASES), "everything cancelled")
    assert {job["status"] for name in PHASES for job in sandbox.jobs(name)} == {"cancelled"}
    assert all(len(sandbox.jobs(name)) == 1 for name in ("submitting", "queued", "running"))
    assert [job["status"] for job in sandbox.jobs("goes-on")] == ["running"]

    assert site.run("cancel", "--all").code == 0
    ended = run.result()
    assert ended.code == 1
    assert [job["status"] for job in sandbox.jobs("goes-on")] == ["cancelled"]
    assert site.run("cancel", "--all").code == 1, "nothing is left to cancel"
    before = {line["account"]: line["before"] for line in reversed(ended.log) if "cancel" in line.get("what", "")}
    assert {name: before[name] for name in PHASES} == dict(zip(PHASES, STATES_WHEN_CANCELLED, strict=True))
    notes = [entry["note"] for entry in site.run("history", "submitting", "--json").json]
    assert notes.index("submit started") < notes.index("cancel asked") < notes.index("remote job created")


def ended_as(site: Site, state: str, names: Iterable[str]) -> bool:
    jobs = site.jobs()
    return all(jobs[name]["state"] == state for name in names)

"""Answers that are lost after the provider did what was asked: still one file and one job each."""

from __future__ import annotations

from machine_speed import scale_seconds
from processes import SandboxProcess, Site

LOST, CUT = [f"lost-{n}" for n in range(6)], [f"cut-{n}" for n in range(6)]


def test_create_with_lost_answer_creates_one_job(site: Site, sandbox: SandboxProcess) -> None:
    """`lost`: the connection closes after the commit; `cut`: half of the answer comes."""
    site.write_accounts(*LOST, *CUT)
    rules = [
        {"kind": kind, "accounts": [name], "operations": [operation], "times": 1}
        for kind, names in (("lose_answer", LOST), ("truncate", CUT))
        for name in names
        for operation in ("files.create", "jobs.create")
    ]
    sandbox.set_faults(*rules)
    run = site.run("run", ORCHESTRATOR_INTENT_SECONDS=f"{scale_seconds(1):g}")
    assert run.code == 0, run.err
    assert sandbox.count_fired_faults() == [1] * len(rules)
    assert sandbox.count_files_and_jobs() == dict.fromkeys([*LOST, *CUT], (1, 1))
    assert sandbox.count_changing_requests() == {"files.create": 12, "jobs.create": 12}
    assert len(set(site.run("models", "--json").json.values())) == 12

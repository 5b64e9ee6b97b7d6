"""Answers that are lost after the provider did what was asked: still one file and one job each."""

from __future__ import annotations

from machine_speed import scale_seconds
from processes import Sandbox, Site

LOST, CUT = [f"lost-{n}" for n in range(6)], [f"cut-{n}" for n in range(6)]


def test_each_create_whose_answer_is_lost_happens_once(site: Site, sandbox: Sandbox) -> None:
    """`lost`: the connection closes after the commit; `cut`: half of the answer comes."""
    site.accounts(*LOST, *CUT)
    rules = [
        {"kind": kind, "accounts": [name], "operations": [operation], "times": 1}
        for kind, names in (("lose_answer", LOST), ("truncate", CUT))
        for name in names
        for operation in ("files.create", "jobs.create")
    ]
    sandbox.faults(*rules)
    run = site.run("run", ORCHESTRATOR_INTENT_SECONDS=f"{scale_seconds(1):g}")
    assert run.code == 0, run.err
    assert sandbox.fired() == [1] * len(rules)
    assert sandbox.held() == dict.fromkeys([*LOST, *CUT], (1, 1))
    assert sandbox.changes() == {"files.create": 12, "jobs.create": 12}
    assert len(set(site.run("models", "--json").json.values())) == 12

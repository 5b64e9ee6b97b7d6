"""A misspelt base model: `doctor` and the plan name the nearest one, and nothing is sent until it is corrected."""

from __future__ import annotations

import pytest
from processes import MODEL, Sandbox, Site

WRONG = MODEL.replace("small", "smal")
MEANT = f'openai does not know the base model {WRONG}; did you mean "{MODEL}"?'


@pytest.mark.parametrize("run", ["", "allow_unknown_price = true"])
def test_a_misspelt_base_model_is_named_and_nothing_is_sent(site: Site, sandbox: Sandbox, run: str) -> None:
    site.accounts("acme", run=run)
    path = site.folder / "accounts.toml"
    good = path.read_text()
    path.write_text(good.replace(MODEL, WRONG))

    doctor = site.run("doctor")
    assert doctor.code == 1
    assert MEANT in " ".join(doctor.out.split())

    plan = site.run("plan")
    assert plan.code == 1
    assert f"model_unknown: {MEANT}" in " ".join(plan.out.split())
    assert "approve" not in plan.out

    assert site.run("run").code == 1
    assert site.jobs()["acme"]["error"]["kind"] == "model_unknown"
    assert site.run("retry", "acme").code != 2
    assert site.run("run").code == 1
    assert sandbox.changes() == {}

    path.write_text(good)
    assert site.run("run").code == 0
    assert sandbox.held() == {"acme": (1, 1)}

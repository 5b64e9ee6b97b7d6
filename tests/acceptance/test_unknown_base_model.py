"""A misspelt base model: `doctor` and the plan name the nearest one, and nothing is sent until it is corrected."""

from __future__ import annotations

import pytest
from processes import MODEL, SandboxProcess, Site

WRONG_MODEL = MODEL.replace("small", "smal")
EXPECTED_ERROR = f'openai does not know the base model {WRONG_MODEL}; did you mean "{MODEL}"?'


@pytest.mark.parametrize("run", ["", "allow_unknown_price = true"])
def test_misspelt_base_model_is_reported_before_any_request(site: Site, sandbox: SandboxProcess, run: str) -> None:
    site.write_accounts("acme", run=run)
    path = site.folder / "accounts.toml"
    good = path.read_text()
    path.write_text(good.replace(MODEL, WRONG_MODEL))

    doctor = site.run("doctor")
    assert doctor.code == 1
    assert EXPECTED_ERROR in " ".join(doctor.out.split())

    plan = site.run("plan")
    assert plan.code == 1
    assert f"model_unknown: {EXPECTED_ERROR}" in " ".join(plan.out.split())
    assert "approve" not in plan.out

    assert site.run("run").code == 1
    assert site.jobs()["acme"]["error"]["kind"] == "model_unknown"
    assert site.run("retry", "acme").code != 2
    assert site.run("run").code == 1
    assert sandbox.count_changing_requests() == {}

    path.write_text(good)
    assert site.run("run").code == 0
    assert sandbox.count_files_and_jobs() == {"acme": (1, 1)}

"""`orchestrator doctor` before the first run: which keys work, which do not, and what is in force."""

from __future__ import annotations

from processes import SandboxProcess, Site


def test_doctor_reports_provider_problems_with_a_fix_and_changes_nothing(site: Site, sandbox: SandboxProcess) -> None:
    site.write_accounts("good", "refused", "away", options={"away": "labels = []"})
    site.write_key("refused", "no-key-of-the-sandbox")
    text = (site.folder / "accounts.toml").read_text().rpartition("base_url")
    (site.folder / "accounts.toml").write_text(
        'base_url = "http://127.0.0.1:9/v1"'.join((text[0], "\nlabels = []\n"))
    )
    for key in (site.folder / "keys").iterdir():
        key.chmod(0o600)
    doctor = site.run("doctor", "--json")
    assert doctor.code == 1, doctor.err
    wrong = {line["message"].split(" ")[0]: line for line in doctor.json if line["verdict"] == "error"}
    assert set(wrong) == {"refused", "away"}
    assert "authentication_failed" in wrong["refused"]["message"]
    assert "this machine's network" in wrong["away"]["fix"]
    lines = {line["thing"]: line["message"] for line in doctor.json if line["verdict"] == "ok"}
    assert lines["providers"] == "the keys of good are accepted"
    assert lines["clock"] == "agrees with the clocks of the providers"
    assert not {"no-key-of-the-sandbox", "sandbox-good"} & set(doctor.out.split())
    assert sandbox.count_changing_requests() == {}
    assert not site.data.exists()

    offline = site.run("doctor", "--offline")
    assert offline.code == 0, offline.out
    assert "are accepted" not in offline.out
    settings = {line["name"]: line for line in site.run("config", "--json").json}
    assert settings["ORCHESTRATOR_POLL_MAX_SECONDS"] == {
        "name": "ORCHESTRATOR_POLL_MAX_SECONDS", "value": "0.3", "source": "environment",
    }  # fmt: skip

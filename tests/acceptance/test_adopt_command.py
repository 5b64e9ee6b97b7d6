"""Two remote jobs with our tag: the program asks, a person chooses, and nothing is created."""

from __future__ import annotations

import openai
from processes import MODEL, SandboxProcess, Site


def test_operator_adopts_one_of_two_ambiguous_remote_jobs(site: Site, sandbox: SandboxProcess) -> None:
    site.write_accounts("one")
    assert site.run("upload").code == 0
    job = site.jobs()["one"]
    with openai.OpenAI(api_key="sandbox-one", base_url=sandbox.url) as client:
        first, second = (
            client.fine_tuning.jobs.create(
                model=MODEL, training_file=job["remote_file_id"], metadata={"orchestrator_job": f"{job['job']}.0"}
            ).id
            for _ in range(2)
        )
    assert site.run("run").code == 1
    error = site.jobs()["one"]["error"]
    assert error["kind"] == "ambiguous"
    for remote in (first, second):
        assert remote in error["message"]
        assert f"`orchestrator adopt {job['job']} {remote}`" in error["hint"]

    assert site.run("adopt", job["job"], second).code == 0
    assert site.run("run").code == 0
    assert site.jobs()["one"]["remote_job_id"] == second
    assert sandbox.count_files_and_jobs() == {"one": (1, 2)}
    said = {entry["note"]: entry["cause"] for entry in site.run("history", "one", "--json").json}
    assert said["adoption asked"].startswith("operator:")

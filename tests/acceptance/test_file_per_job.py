"""The option `file_per_job` in a deployment: upload, look-up after a lost database, and cleanup."""

from __future__ import annotations

import shutil

from processes import SandboxProcess, Site


def test_job_is_found_by_its_own_file_and_the_file_is_deleted_afterwards(site: Site, sandbox: SandboxProcess) -> None:
    site.write_accounts("lab", run="allow_unknown_price = true", options={"lab": "file_per_job = true"})
    path = site.folder / "accounts.toml"
    text = path.read_text().replace('"openai"', '"openai-compatible"')
    path.write_text(text.replace("run.openai", "run.openai-compatible"))
    assert site.run("run").code == 0
    [job] = site.status()["jobs"]
    [remote], [file] = sandbox.jobs("lab"), sandbox.files("lab")
    assert file["filename"].endswith(f"-{job['job']}-0.jsonl")
    assert (remote["training_file"], remote["user_provided_suffix"]) == (file["id"], None)
    model = site.run("models", "--json").json

    shutil.rmtree(site.data)
    again = site.run("run")
    assert again.code == 0, again.err
    assert site.run("models", "--json").json == model
    assert sandbox.count_files_and_jobs() == {"lab": (1, 1)}

    tested = site.run("conformance", "lab", "--json")
    assert tested.code == 0, tested.out + tested.err
    assert "training file" in tested.json["found_by"]

    pruned = site.run("prune", "--yes", "--json")
    assert pruned.code == 0, pruned.out + pruned.err
    assert sandbox.files("lab") == []

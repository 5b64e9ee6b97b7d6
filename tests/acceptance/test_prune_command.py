"""`prune` shows what is left of finished runs; with --yes it deletes that and nothing else."""

from __future__ import annotations

import io

import openai
from processes import SandboxProcess, Site


def test_prune_lists_then_deletes_only_files_of_the_program(site: Site, sandbox: SandboxProcess) -> None:
    site.write_accounts("one", "two")
    assert site.run("run").code == 0
    site.write_chat("99-late", "Is it late?", "Just in time.")
    assert site.run("run").code == 0
    with openai.OpenAI(api_key="sandbox-one", base_url=sandbox.url) as client:
        lines = b'{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}\n' * 12
        mine = client.files.create(file=("mine.jsonl", io.BytesIO(lines)), purpose="fine-tune").id
    assert sandbox.count_files_and_jobs() == {"one": (3, 2), "two": (2, 2)}
    datasets = sorted((site.data / "datasets").glob("*.jsonl"))
    assert len(datasets) == 2

    listed = site.run("prune", "--json").json
    assert sorted((found["kind"], found["account"]) for found in listed if found["account"]) == [
        ("remote file", "one"),
        ("remote file", "one"),
        ("remote file", "two"),
        ("remote file", "two"),
    ]
    [old] = [found["id"] for found in listed if found["kind"] == "local dataset"]
    assert sandbox.count_files_and_jobs() == {"one": (3, 2), "two": (2, 2)}
    assert mine not in {found["id"] for found in listed}

    pruned = site.run("prune", "--yes")
    assert pruned.code == 0, pruned.err
    assert [file["id"] for file in sandbox.files("one")] == [mine]
    assert sandbox.files("two") == []
    assert [path.name for path in (site.data / "datasets").glob("*.jsonl")] == [
        path.name for path in datasets if path.name != old
    ]
    notes = [entry for entry in site.run("history", "one", "--json").json if entry["note"] == "deleted"]
    assert len(notes) == 2
    assert all(entry["cause"].startswith("operator:") for entry in notes)

"""The main job: one model id per account, and nothing twice."""

from __future__ import annotations

import shutil
import signal
import sqlite3
from contextlib import closing
from hashlib import sha256
from typing import Any

import openai
from machine_speed import scale_seconds
from processes import HTTP, MODEL, SandboxProcess, Site, eventually

TWENTY = [f"acme-{number:02}" for number in range(20)]
LAST_STEP = 36  # three epochs of twelve chats, one a batch
ONE_FILE_AND_JOB_EACH = dict.fromkeys(TWENTY, (1, 1))


def test_twenty_accounts_get_one_model_each_and_a_second_run_sends_nothing(
    site: Site, sandbox: SandboxProcess
) -> None:
    site.write_accounts(*TWENTY)
    first = site.run("run")
    assert first.code == 0, first.err
    models = site.run("models", "--json").json
    assert set(models) == set(TWENTY)
    assert len(set(models.values())) == 20
    assert sandbox.count_files_and_jobs() == ONE_FILE_AND_JOB_EACH
    assert {name: read_account_with_the_sdk(sandbox, name) for name in TWENTY} == {
        name: (1, [models[name]]) for name in TWENTY
    }

    ready = {line["account"]: line for line in first.log if line["event"] == "model.ready"}
    assert {name: line["fine_tuned_model"] for name, line in ready.items()} == models
    for name, line in ready.items():
        assert (line["key"], line["base_model"]) == (sha256(f"sandbox-{name}".encode()).hexdigest()[:8], MODEL)
    assert all(models[name] in first.out for name in TWENTY)
    assert read_last_steps(site) == dict.fromkeys(TWENTY, LAST_STEP)

    changes = sandbox.count_changing_requests()
    assert changes == {"files.create": 20, "jobs.create": 20}
    second = site.run("run")
    assert second.code == 0, second.err
    assert sandbox.count_changing_requests() == changes
    assert site.run("models", "--json").json == models


def read_last_steps(site: Site) -> dict[str, int]:
    """The last step of each account's curve."""
    query = "SELECT account, MAX(step) FROM losses JOIN jobs ON job_id = id GROUP BY account"
    with closing(sqlite3.connect(site.data / "orchestrator.db", timeout=scale_seconds(60))) as database:
        return dict(database.execute(query))


def read_account_with_the_sdk(sandbox: SandboxProcess, account: str) -> tuple[int, list[str | None]]:
    """Files, and the model of each job, as the account's own key sees them."""
    with openai.OpenAI(api_key=f"sandbox-{account}", base_url=sandbox.url) as client:
        return len(list(client.files.list())), [job.fine_tuned_model for job in client.fine_tuning.jobs.list()]


def test_lost_database_pays_for_no_job_twice(site: Site, sandbox: SandboxProcess) -> None:
    """The second database finds files and jobs by name and tag."""
    site.write_accounts("one", "two", "three")
    assert site.run("run").code == 0
    models, changes = site.run("models", "--json").json, sandbox.count_changing_requests()
    shutil.rmtree(site.data)
    again = site.run("run")
    assert again.code == 0, again.err
    assert sandbox.count_changing_requests() == changes == {"files.create": 3, "jobs.create": 3}
    assert site.run("models", "--json").json == models


def test_serve_applies_changed_accounts_and_chats(site: Site, sandbox: SandboxProcess) -> None:
    site.write_accounts(*TWENTY)
    settings = site.folder / "settings.env"
    settings.write_text("ORCHESTRATOR_LOG_LEVEL=info\n")
    service = site.start("serve", "--port", "0", ORCHESTRATOR_SETTINGS_FILE=str(settings))
    url = service.wait_for_output(r'"(http://[^"]+)/status"')

    def look() -> Any:
        return HTTP.get(f"{url}/status").json()

    def succeeded(count: int) -> Any:
        seen = look()
        done = [job for job in seen["jobs"] if job["state"] == "succeeded"]
        return seen if seen["run"] and len(done) == len(seen["jobs"]) == count else None

    first = eventually(lambda: succeeded(20), "twenty models")
    before = sandbox.state()["accounts"]

    site.write_accounts(*TWENTY, "latecomer")
    second = eventually(lambda: succeeded(21), "the added account's model")
    after = sandbox.state()["accounts"]
    assert (len(after["latecomer"]["files"]), len(after["latecomer"]["jobs"])) == (1, 1)
    assert {name: after[name] for name in TWENTY} == before
    assert second["run"]["id"] == first["run"]["id"]

    site.write_chat("99-late", "Is it late?", "Just in time.")
    settings.write_text("ORCHESTRATOR_LOG_LEVEL=debug\nORCHESTRATOR_MAX_IN_FLIGHT=7\n")
    service.send(signal.SIGHUP)
    service.wait_for_output(r'"settings.restart_required".*ORCHESTRATOR_(MAX_IN_FLIGHT)"')
    service.wait_for_output(r'"level": "(debug)"')
    eventually(lambda: look()["run"]["id"] != first["run"]["id"], "a new run")
    third = eventually(lambda: succeeded(21), "the new run's models")
    assert third["run"]["dataset_sha256"] != first["run"]["dataset_sha256"]
    assert sandbox.count_files_and_jobs() == dict.fromkeys([*TWENTY, "latecomer"], (2, 2))

    def unchanged() -> bool:  # a sign of life of the replica may come in between
        known = {"if-none-match": HTTP.get(f"{url}/status").headers["etag"]}
        return HTTP.get(f"{url}/status", headers=known).status_code == 304

    eventually(unchanged, "an answer that is as it was")
    assert "orchestrator_provider_calls_total{" in HTTP.get(f"{url}/metrics").text
    assert HTTP.get(f"{url}/healthz").status_code == HTTP.get(f"{url}/readyz").status_code == 200
    ended = service.stop()
    assert ended.code == 0, ended.err
    assert "Traceback" not in ended.err

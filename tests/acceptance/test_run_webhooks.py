"""Those who asked to be told are told: signed, before the process ends, and again after a refusal."""

from __future__ import annotations

import sqlite3
from base64 import b64encode
from contextlib import closing

from machine_speed import scale_seconds
from processes import SandboxProcess, Site
from receiver import RecordingWebhookServer, run_receiver

SECRET = "whsec_" + b64encode(b"a key of some twenty bytes").decode()
NAMES = ("good", "bad")


def add_webhooks(site: Site, receiver: RecordingWebhookServer) -> None:
    """An accounts file with two webhooks at its end."""
    site.write_key("hook", SECRET)
    lines = ["[[webhooks]]", f'url = "{receiver.url("all")}"', 'secret = "file:keys/hook"']
    lines += ["[[webhooks]]", f'url = "{receiver.url("end")}"', 'secret = "file:keys/hook"']
    lines += ['events = ["run.finished"]']
    site.write_accounts(*NAMES, options={NAMES[-1]: "\n".join(lines)})


def test_run_sends_webhooks_for_models_failures_and_its_end(site: Site, sandbox: SandboxProcess) -> None:
    sandbox.set_faults({"kind": "fail_job", "accounts": ["bad"], "message": "no luck"})
    with run_receiver() as receiver:
        receiver.refused.add("/end")
        add_webhooks(site, receiver)
        assert site.run("run").code == 1
        told = {each["type"]: each["data"] for each in receiver.verified_payloads(SECRET, "/all")}
        assert sorted(told) == receiver.event_types("/all") == ["job.failed", "model.ready", "run.finished"]
        assert told["model.ready"]["fine_tuned_model"].startswith("ft:")
        assert "no luck" in told["job.failed"]["error"]["message"]
        assert told["run.finished"]["error"]["message"] == "1 of 2 jobs have no model: 1 failed"

        listed = site.run("deliveries", "list", "--json").json
        assert {(each["target"], each["state"], each["error"]) for each in listed} == {
            (receiver.url("all"), "arrived", None),
            (receiver.url("end"), "waiting", "500: /end"),
        }
        with closing(sqlite3.connect(site.data / "orchestrator.db", timeout=scale_seconds(60))) as database, database:
            database.execute("UPDATE deliveries SET due_at = NULL WHERE delivered_at IS NULL")
        dead = site.run("deliveries", "list", "--dead")
        assert (dead.code, "500: /end" in dead.out) == (1, True)

        receiver.refused.clear()
        assert site.run("deliveries", "retry", "--all").code == 0
        assert site.run("run").code == 1
        ids = [headers["webhook-id"] for path, headers, _ in receiver.requests if path == "/end"]
        assert (len(ids), len(set(ids))) == (2, 1)

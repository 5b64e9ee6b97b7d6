"""The end of a job is seen by its webhook, long before it would be looked for."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from ports import reserve_port
from processes import HTTP, SandboxProcess, Site, eventually

NAMES = ("one", "two", "forged", "silent")
RARE_POLLING = {"ORCHESTRATOR_POLL_MIN_SECONDS": "3600", "ORCHESTRATOR_POLL_MAX_SECONDS": "3600"}


def secret_of(account: str) -> str:
    return "whsec_" + b64encode(f"sandbox-webhook-{account}".encode()).decode()


def test_webhook_reports_the_end_of_a_job_before_the_poll(site: Site, sandbox: SandboxProcess) -> None:
    """Two are told, one of them twice; one is told by somebody else, one not at all: for these a poll is left."""
    for name in NAMES:
        site.write_key(f"{name}.webhook", secret_of(name))
    site.write_accounts(*NAMES, options={name: f'webhook_secret = "file:keys/{name}.webhook"' for name in NAMES})
    sandbox.set_faults(
        {"kind": "twice", "accounts": ["two"]},
        {"kind": "forged", "accounts": ["forged"]},
        {"kind": "drop", "operations": ["webhooks.send"], "accounts": ["silent"]},
    )
    assert site.run("upload").code == 0
    url = f"http://127.0.0.1:{reserve_port()}"  # the provider knows it before the service is there
    sandbox.set_webhook_url(f"{url}/webhooks/openai/{{account}}")
    service = site.start("serve", "--port", url.rpartition(":")[2], **RARE_POLLING)
    service.wait_for_output('("service.ready")')

    def states() -> dict[str, str]:
        seen: Any = HTTP.get(f"{url}/status").json()
        return {job["account"]: job["state"] for job in seen["jobs"]}

    eventually(lambda: [states()[name] for name in ("one", "two")] == ["succeeded"] * 2, "two models")
    answers = [{"204": 1}, {"204": 2}, {"400": 1}, None]
    eventually(lambda: [sandbox.count_requests(name).get("webhooks.send") for name in NAMES] == answers, f"{answers}")
    assert {states()[name] for name in ("forged", "silent")} == {"queued"}
    assert [sandbox.count_requests(name).get("jobs.retrieve") for name in NAMES] == [
        {"200": 1},
        {"200": 1},
        None,
        None,
    ]
    assert "webhook arrived" in site.run("history", "one").out
    assert secret_of("one") not in service.stop().err

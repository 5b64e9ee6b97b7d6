"""A backup taken in the middle of a run: what was paid for after it is found again, not paid for again."""

from __future__ import annotations

from machine_speed import scale_seconds
from processes import Sandbox, Site, eventually

INTENT = f"{scale_seconds(1):g}"
ACCOUNTS = [f"acme-{number:02}" for number in range(8)]


def jobs_at(sandbox: Sandbox) -> int:
    return sum(jobs for _, jobs in sandbox.held().values())


def test_a_backup_taken_during_a_run_is_finished_without_a_duplicate(site: Site, sandbox: Sandbox) -> None:
    site.accounts(*ACCOUNTS)
    late = ACCOUNTS[4:]
    sandbox.faults({"kind": "server_error", "operations": ["jobs.create"], "accounts": late})
    service = site.start("serve", "--port", "0", ORCHESTRATOR_INTENT_SECONDS=INTENT)
    eventually(lambda: jobs_at(sandbox) == len(ACCOUNTS) - len(late), "some jobs")
    kept = site.run("backup", "backup.tar")
    assert kept.code == 0, kept.err
    sandbox.faults()
    eventually(lambda: jobs_at(sandbox) == len(ACCOUNTS), "jobs that the backup does not know of")
    service.kill()

    refused = site.run("restore", "backup.tar")
    assert (refused.code, "a database already" in refused.err) == (2, True)
    site.data.rename(site.folder / "lost")
    restored = site.run("restore", "backup.tar")
    assert restored.code == 0, restored.err
    states = {job["state"] for job in site.jobs().values()}
    assert states - {"succeeded"}, "the backup is of the middle of the run"
    assert site.run("run", ORCHESTRATOR_INTENT_SECONDS=INTENT).code == 0
    assert sandbox.held() == dict.fromkeys(ACCOUNTS, (1, 1))
    assert len(set(site.run("models", "--json").json.values())) == len(ACCOUNTS)

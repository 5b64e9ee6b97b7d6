"""A backup taken in the middle of a run: what was paid for after it is found again, not paid for again."""

from __future__ import annotations

from machine_speed import scale_seconds
from processes import SandboxProcess, Site, eventually

INTENT = f"{scale_seconds(1):g}"
ACCOUNTS = [f"acme-{number:02}" for number in range(8)]


def count_remote_jobs(sandbox: SandboxProcess) -> int:
    return sum(jobs for _, jobs in sandbox.count_files_and_jobs().values())


def test_backup_taken_during_a_run_resumes_without_duplicate_jobs(site: Site, sandbox: SandboxProcess) -> None:
    site.write_accounts(*ACCOUNTS)
    late = ACCOUNTS[4:]
    sandbox.set_faults({"kind": "server_error", "operations": ["jobs.create"], "accounts": late})
    service = site.start("serve", "--port", "0", ORCHESTRATOR_INTENT_SECONDS=INTENT)
    eventually(lambda: count_remote_jobs(sandbox) == len(ACCOUNTS) - len(late), "some jobs")
    kept = site.run("backup", "backup.tar")
    assert kept.code == 0, kept.err
    sandbox.set_faults()
    eventually(lambda: count_remote_jobs(sandbox) == len(ACCOUNTS), "jobs that the backup does not know of")
    service.kill()

    refused = site.run("restore", "backup.tar")
    assert (refused.code, "a database already" in refused.err) == (2, True)
    site.data.rename(site.folder / "lost")
    restored = site.run("restore", "backup.tar")
    assert restored.code == 0, restored.err
    states = {job["state"] for job in site.jobs().values()}
    assert states - {"succeeded"}, "the backup is of the middle of the run"
    assert site.run("run", ORCHESTRATOR_INTENT_SECONDS=INTENT).code == 0
    assert sandbox.count_files_and_jobs() == dict.fromkeys(ACCOUNTS, (1, 1))
    assert len(set(site.run("models", "--json").json.values())) == len(ACCOUNTS)

"""A provider where jobs have names of ours (Bedrock), and somebody else has used the first one."""

from __future__ import annotations

from reconciler_values import clock, make_reconciler, ready_job, verify_accounts
from store_values import fill, id_of, read_job

from orchestrator import control
from orchestrator.core.errors import JobNameTaken
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.remote import RemoteFile, RemoteFileStatus, RemoteJob, RemoteModel
from orchestrator.providers.base import JobOrder
from orchestrator.store.db.database import Database


class NameTakenProvider:
    """Refuses every job because of its name."""

    def __init__(self) -> None:
        self.tags: list[str] = []

    async def get_file(self, file_id: str) -> RemoteFile:
        return RemoteFile(id=file_id, status=RemoteFileStatus.READY, raw_status="processed")

    async def find_model(self, name: str) -> RemoteModel:
        return RemoteModel(id=name)

    async def find_jobs(self, _order: JobOrder) -> list[RemoteJob]:
        return []

    async def create_job(self, order: JobOrder, _deadline: object) -> RemoteJob:
        self.tags.append(order.tag)
        raise JobNameTaken("the name is used")


async def test_retry_uses_another_name(database: Database) -> None:
    remote = NameTakenProvider()
    await fill(database, [ready_job("acme", id_of("acme"))])
    await verify_accounts(database, ["acme"])
    await make_reconciler(database, {"acme": remote}).handle(id_of("acme"))
    failed = await read_job(database, "acme")
    assert (failed.state, failed.failure and failed.failure.kind) == (JobState.FAILED, "job_name_taken")

    [retried] = await control.retry(database, ["acme"], by="operator", now=clock.now())
    assert (retried.state, retried.round) == (JobState.PLANNED, 1)
    assert retried.tag != failed.tag
    assert remote.tags == [failed.tag]

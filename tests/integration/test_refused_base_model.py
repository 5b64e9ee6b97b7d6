"""A create that is refused because of its base model, where the plan could not know that."""

from __future__ import annotations

import pytest
from reconciler_values import clock, make_reconciler, ready_job
from store_values import SPEC, fill

from orchestrator import control
from orchestrator.core.errors import ProviderUnavailable, RequestRejected
from orchestrator.core.hold import HoldKind
from orchestrator.core.jobs.job import JobId
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.jobs.transitions import sleep_until
from orchestrator.core.remote import RemoteFile, RemoteFileStatus, RemoteJob, RemoteModel
from orchestrator.core.structs import replace
from orchestrator.store.db.database import Database
from orchestrator.store.queries import jobs, outcomes


class ModelRefusingProvider:
    """Refuses every job, and lists these base models; None: it does not answer."""

    def __init__(self, listed: list[str] | None) -> None:
        self._listed = listed
        self.created = 0

    async def find_jobs(self, _order: object) -> list[RemoteJob]:
        return []

    async def create_job(self, _order: object, _deadline: object) -> RemoteJob:
        self.created += 1
        raise RequestRejected("the model does not exist", hint="as it was")

    async def get_file(self, file_id: str) -> RemoteFile:
        return RemoteFile(id=file_id, status=RemoteFileStatus.READY, raw_status="processed")

    async def find_model(self, name: str) -> RemoteModel | None:
        if self._listed is None:
            raise ProviderUnavailable("away")
        return RemoteModel(id=name) if name in self._listed else None

    async def list_models(self) -> list[str]:
        return self._listed or []


@pytest.mark.parametrize(
    ("listed", "hint"),
    [
        (
            ["sandbox-smal", "other"],
            'openai does not know the base model sandbox-small; did you mean "sandbox-smal"?',
        ),
        ([SPEC.base_model], None),  # refused for another reason
        ([], None),
        (None, None),
    ],
)
async def test_refused_base_model_is_named_and_not_retryable(
    database: Database, listed: list[str] | None, hint: str | None
) -> None:
    await fill(database, [ready_job("acme")])
    await make_reconciler(database, {"acme": ModelRefusingProvider(listed)}).handle(JobId("acme"))
    async with database.read() as connection:
        [job] = await jobs.list_by_accounts(connection, ["acme"])
    assert job.state is JobState.FAILED
    assert job.failure is not None
    assert (job.failure.kind, job.failure.message) == ("request_rejected", "the model does not exist")
    if hint is None:
        assert job.failure.hint == "as it was"
    else:
        assert job.failure.hint.startswith(hint)
        assert job.failure.hint.endswith("that makes a new run. A retry asks for the same base model again.")


@pytest.mark.parametrize(("listed", "created"), [(["other"], 1), ([], 2)])
async def test_retry_does_not_submit_an_unknown_base_model(
    database: Database, listed: list[str], created: int
) -> None:
    """What the plan holds is lifted by the next plan, which asks the provider again."""
    await fill(database, [ready_job("acme")])
    refusing = ModelRefusingProvider(listed)
    moving = make_reconciler(database, {"acme": refusing})
    await moving.handle(JobId("acme"))
    [job] = await control.retry(database, ["acme"], by="me", now=clock.now())
    at_the_file = replace(job, state=JobState.READY, remote_file_id="file-1", version=job.version + 1)
    await database.write(
        lambda tx: outcomes.record(tx, replace(sleep_until(job, job.wake_at), job=at_the_file), at=0, cause="x")
    )
    await moving.handle(JobId("acme"))
    assert refusing.created == created
    async with database.read() as connection:
        [job] = await jobs.list_by_accounts(connection, ["acme"])
    assert (job.hold.kind if job.hold else None) == (HoldKind.MODEL_UNKNOWN if created == 1 else None)
    assert job.hold is None or "openai does not know the base model sandbox-small" in job.hold.reason

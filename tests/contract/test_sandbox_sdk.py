"""The unmodified openai SDK drives a sandbox on a real port, and the published contract judges every message."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx2
import openai
import pytest
from machine_speed import scale_seconds
from openai import AsyncOpenAI
from openai.types import ModerationImageURLInputParam, ModerationTextInputParam
from openai.types.fine_tuning import FineTuningJob
from openapi import Contract, Recorder
from sandboxes import MODEL, serving, training_file

from orchestrator.sandbox import SandboxSettings

QUICK = SandboxSettings(file_seconds=0.1, validating_seconds=0.1, queue_seconds=0.1, training_seconds=0.5)


@dataclass
class Session:
    client: AsyncOpenAI
    recorder: Recorder

    def of(self, account: str) -> Session:
        """The same session with another account's key."""
        return Session(self.client.with_options(api_key=f"sandbox-{account}"), self.recorder)

    async def file(self, content: bytes | None = None) -> str:
        content = training_file() if content is None else content
        made = await self.client.files.create(file=("chats.jsonl", content), purpose="fine-tune")
        await self.client.files.wait_for_processing(made.id, poll_interval=0.05)
        return made.id

    async def until(self, job: FineTuningJob, *statuses: str) -> FineTuningJob:
        async with asyncio.timeout(scale_seconds(60)):
            while str(job.status) not in statuses:
                await asyncio.sleep(0.03)
                job = await self.client.fine_tuning.jobs.retrieve(job.id)
        return job


@pytest.fixture
async def session() -> AsyncIterator[Session]:
    recorder = Recorder()
    async with serving(QUICK) as url, httpx2.AsyncClient(event_hooks=recorder.hooks) as http:
        client = AsyncOpenAI(api_key="sandbox-acme", base_url=f"{url}/v1", http_client=http, max_retries=0)
        yield Session(client, recorder)


async def test_upload_wait_create_follow_and_use(session: Session) -> None:
    client = session.client
    file = await client.files.create(file=("chats.jsonl", training_file()), purpose="fine-tune")
    assert file.status == "uploaded"
    file = await client.files.wait_for_processing(file.id, poll_interval=0.05)
    assert file.status == "processed"

    job = await client.fine_tuning.jobs.create(
        model=MODEL,
        training_file=file.id,
        suffix="tone",
        seed=7,
        metadata={"job": "7f3a"},
        method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 4, "batch_size": 2}}},
    )
    assert (job.status, job.fine_tuned_model, job.seed) == ("validating_files", None, 7)
    job = await session.until(job, "succeeded")
    assert job.fine_tuned_model is not None
    assert job.fine_tuned_model.startswith(f"ft:{MODEL}:{account(job)}:tone:")
    assert job.hyperparameters.n_epochs == 4
    assert job.trained_tokens
    assert job.error is None

    events = [event async for event in client.fine_tuning.jobs.list_events(job.id, limit=5)]
    assert len({event.id for event in events}) == len(events) == len(await _all_events(client, job))
    assert [event.created_at for event in events] == sorted((e.created_at for e in events), reverse=True)
    assert events[0].message == "The job has successfully completed"
    losses = [
        event.data["train_loss"] for event in events if event.type == "metrics" and isinstance(event.data, dict)
    ]
    assert len(losses) == 4 * 6
    assert losses[0] < losses[-1]

    saved = [checkpoint async for checkpoint in client.fine_tuning.jobs.checkpoints.list(job.id)]
    assert [checkpoint.step_number for checkpoint in saved] == [24, 18, 12]
    result = await client.files.content(job.result_files[0])
    assert base64.b64decode(result.content, validate=True).startswith(b"step,train_loss")
    assert saved[0].fine_tuned_model_checkpoint == job.fine_tuned_model

    model = await client.models.retrieve(job.fine_tuned_model)
    assert model.owned_by == job.organization_id
    for name in (job.fine_tuned_model, MODEL, saved[1].fine_tuned_model_checkpoint):
        completion = await client.chat.completions.create(
            model=name, messages=[{"role": "user", "content": "Good evening"}]
        )
        assert completion.choices[0].message.content


def account(job: FineTuningJob) -> str:
    return job.organization_id.removeprefix("org-")


async def _all_events(client: AsyncOpenAI, job: FineTuningJob) -> list[str]:
    page = await client.fine_tuning.jobs.list_events(job.id, limit=100)
    assert page.has_more is False
    return [event.id for event in page.data]


async def test_pause_resume_cancel(session: Session) -> None:
    jobs = session.client.fine_tuning.jobs
    job = await session.until(await jobs.create(model=MODEL, training_file=await session.file()), "running")
    paused = await jobs.pause(job.id)
    assert str(paused.status) == "paused"
    await asyncio.sleep(0.6)
    assert str((await jobs.retrieve(job.id)).status) == "paused"
    assert (await jobs.resume(job.id)).status == "running"
    assert (await jobs.cancel(job.id)).status == "cancelled"
    with pytest.raises(openai.BadRequestError):
        await jobs.cancel(job.id)


async def test_metadata_filter_and_paging(session: Session) -> None:
    jobs, file = session.client.fine_tuning.jobs, await session.file()
    made = [
        await jobs.create(model=MODEL, training_file=file, metadata={"run": "a" if n % 2 else "b", "n": str(n)})
        for n in range(5)
    ]
    listed = [job.id async for job in jobs.list(limit=2)]
    assert listed == [job.id for job in reversed(made)]
    odd = [job.id async for job in jobs.list(limit=1, metadata={"run": "a"})]
    assert odd == [made[3].id, made[1].id]
    assert [job async for job in jobs.list(metadata={"run": "c"})] == []


async def test_files_are_listed_read_and_deleted(session: Session) -> None:
    files, content = session.client.files, training_file()
    made = [await files.create(file=(f"{n}.jsonl", content), purpose="fine-tune") for n in range(3)]
    other = await files.create(file=("notes.txt", b"hello"), purpose="user_data", expires_after=LATER)
    assert [file.id async for file in files.list(limit=2, purpose="fine-tune")] == [f.id for f in reversed(made)]
    assert [file.id async for file in files.list(limit=2, order="asc")] == [*(f.id for f in made), other.id]
    assert hashlib.sha256((await files.content(made[0].id)).content).digest() == hashlib.sha256(content).digest()
    assert (await files.delete(made[0].id)).deleted
    with pytest.raises(openai.NotFoundError):
        await files.retrieve(made[0].id)


LATER: openai.types.file_create_params.ExpiresAfter = {"anchor": "created_at", "seconds": 3600}


async def test_models_and_moderation(session: Session) -> None:
    models = {model.id: model async for model in session.client.models.list()}
    last_days = {"gpt-4.1-mini-2025-04-14": "2027-01-14", MODEL: None}
    assert {name: models[name].shutdown_date for name in last_days} == last_days
    judged = await session.client.moderations.create(input=["a kind word", "FLAGME"], model="omni-moderation-latest")
    assert [result.flagged for result in judged.results] == [False, True]
    assert judged.results[1].categories.harassment
    parts: list[ModerationImageURLInputParam | ModerationTextInputParam] = [
        {"type": "text", "text": "x"},
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
    ]
    one = await session.client.moderations.create(input=parts)
    assert len(one.results) == 1


async def test_upload_in_parts(session: Session) -> None:
    content = training_file(40)
    upload = await session.client.uploads.create(
        filename="chats.jsonl", purpose="fine-tune", bytes=len(content), mime_type="application/jsonl"
    )
    halves = content[: len(content) // 2], content[len(content) // 2 :]
    parts = [await session.client.uploads.parts.create(upload.id, data=half) for half in reversed(halves)]
    done = await session.client.uploads.complete(
        upload.id, part_ids=[part.id for part in reversed(parts)], md5=hashlib.md5(content).hexdigest()
    )
    assert done.file is not None
    assert (await session.client.files.content(done.file.id)).content == content
    other = await session.client.uploads.create(
        filename="x.jsonl", purpose="fine-tune", bytes=9, mime_type="text/plain"
    )
    assert (await session.client.uploads.cancel(other.id)).status == "cancelled"


async def test_every_message_keeps_the_contract(session: Session) -> None:
    contract = Contract.load("openai.openapi.json")
    acts = (
        test_upload_wait_create_follow_and_use,
        test_pause_resume_cancel,
        test_metadata_filter_and_paging,
        test_files_are_listed_read_and_deleted,
        test_models_and_moderation,
        test_upload_in_parts,
        _fail_in_validation,
    )
    await asyncio.gather(*(act(session.of(f"account-{n}")) for n, act in enumerate(acts)))
    await _delete_model(session.of("account-0"))
    assert session.recorder.problems(contract) == []
    assert set(session.recorder.operations(contract)) == {
        operation["operationId"] for path in contract.paths.values() for operation in path.values()
    }


async def _fail_in_validation(session: Session) -> None:
    file = await session.file(training_file(3))
    job = await session.until(await session.client.fine_tuning.jobs.create(model=MODEL, training_file=file), "failed")
    assert job.error is not None
    assert (job.error.code, job.error.param) == ("invalid_training_file", "training_file")
    assert "3 example(s)" in job.error.message


async def _delete_model(session: Session) -> None:
    models = session.client.models
    tuned = [model.id async for model in models.list() if model.id.startswith("ft:")]
    assert len(tuned) == 1
    assert (await models.delete(tuned[0])).deleted
    with pytest.raises(openai.NotFoundError):
        await models.retrieve(tuned[0])

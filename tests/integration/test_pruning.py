"""Pruning: what is listed, what is left alone, and what is written down."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import pytest
import store_values
from provider_bench import LINES, CompatibleBench, DashScopeBench, MantleBench, ProviderBench
from store_values import DATASET, NOW, RUN, TRAINING, a_job, fill

from orchestrator.core.account import Account, ProviderName
from orchestrator.core.capabilities import CAPABILITIES, Capabilities, JobLookup
from orchestrator.core.dataset import Dataset, DatasetPart, local_filename, remote_filename
from orchestrator.core.errors import AuthenticationFailed, ProviderUnavailable, RemoteNotFound
from orchestrator.core.jobs.job import JobId, RunId
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.jobs.unused_resource import ResourceKind, UnusedResource
from orchestrator.core.remote import MultipartUpload, RemoteFile, RemoteFileStatus
from orchestrator.core.secret import Secret
from orchestrator.core.structs import replace
from orchestrator.daemon.maintenance.cleanup import ResourceCleaner
from orchestrator.providers.base import DatasetFile, Provider, ProviderConnection
from orchestrator.store.db.database import Database
from orchestrator.store.queries import events, runs, uploads

FOREIGN = "it was not created by this program"
OWN_FILENAME = remote_filename(TRAINING.sha256)
DELETED = RemoteFile(id="file-gone", status=RemoteFileStatus.GONE, raw_status="deleted", filename=OWN_FILENAME)


class FileShelf:
    """A provider's files by id; an error in the place of one is raised."""

    def __init__(self, files: Mapping[str, RemoteFile | Exception]) -> None:
        self.files = dict(files)
        self.deleted: list[str] = []

    async def get_file(self, file_id: str) -> RemoteFile:
        found = self.files[file_id]
        if isinstance(found, Exception):
            raise found
        return found

    async def find_file(self, dataset_file: DatasetFile) -> RemoteFile | None:
        shown = [file for file in self.files.values() if isinstance(file, RemoteFile)]
        return next((file for file in shown if file.filename == dataset_file.filename), None)

    async def delete_file(self, file_id: str) -> None:
        if file_id == "file-stuck":
            raise ProviderUnavailable("not now")
        self.deleted.append(file_id)

    async def cancel_upload(self, upload_id: str) -> None:
        self.deleted.append(upload_id)


def ready(file_id: str, filename: str | None = OWN_FILENAME) -> RemoteFile:
    return RemoteFile(id=file_id, status=RemoteFileStatus.READY, raw_status="processed", filename=filename)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def pruning(database: Database, folder: Path, shelves: Mapping[str, FileShelf]) -> ResourceCleaner:
    connections = {
        name: ProviderConnection(
            Account(name=name, provider=ProviderName.OPENAI, api_key="env:KEY"), "12345678", cast(Provider, shelf)
        )
        for name, shelf in shelves.items()
    }
    return ResourceCleaner(database, connections, folder, max_concurrent_requests=4)


async def test_prune_deletes_only_verified_files_of_the_program(database: Database, tmp_path: Path) -> None:
    shelf = FileShelf(
        {
            "file-ours": ready("file-ours"),
            "file-renamed": ready("file-renamed", "somebody-elses.jsonl"),
            "file-nameless": ready("file-nameless", None),
            "file-gone": DELETED,
            "file-missing": RemoteNotFound("404"),
            "file-unseen": AuthenticationFailed("401"),
            "file-stuck": ready("file-stuck"),
        }
    )
    names = {file_id: file_id.removeprefix("file-") for file_id in shelf.files}
    jobs = [a_job(name, state=JobState.SUCCEEDED, remote_file_id=file, wake_at=None) for file, name in names.items()]
    await fill(database, [*jobs, a_job("removed", state=JobState.FAILED, remote_file_id="file-x", wake_at=None)])
    work = pruning(database, tmp_path, dict.fromkeys(names.values(), shelf))

    found = {leftover.id: leftover for leftover in await work.list_unused()}
    problems = {file_id: leftover.problem for file_id, leftover in found.items()}
    assert problems == {
        "file-ours": None,
        "file-stuck": None,
        "file-renamed": f"its name at the provider is somebody-elses.jsonl, not {OWN_FILENAME}: {FOREIGN}",
        "file-nameless": f"its name at the provider is None, not {OWN_FILENAME}: {FOREIGN}",
        "file-unseen": "authentication_failed: 401",
        "file-x": "its account is not in the accounts file",
    }
    assert shelf.deleted == []

    after = [await work.delete(leftover, by="operator:eva", now=NOW) for leftover in found.values()]
    assert shelf.deleted == ["file-ours"]
    assert [leftover.id for leftover in after if leftover.deleted] == ["file-ours"]
    assert {leftover.id: leftover.problem for leftover in after} == problems | {
        "file-stuck": "provider_unavailable: not now"
    }
    async with database.read() as connection:
        [entry] = await events.list_by_account(connection, "ours")
    assert (entry.cause, entry.note, entry.message) == (
        "operator:eva",
        "deleted",
        f"remote file file-ours ({OWN_FILENAME})",
    )


async def test_prune_deletes_the_file_of_one_job(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name has the job's tag and, after a conversion, the hash of the converted file as well."""
    own = replace(CAPABILITIES[ProviderName.OPENAI], job_lookup=JobLookup.TRAINING_FILE)
    monkeypatch.setitem(cast(dict[ProviderName, Capabilities], CAPABILITIES), ProviderName.OPENAI, own)
    jobs = [
        a_job(name, state=JobState.SUCCEEDED, round=2, remote_file_id=f"file-{name}", wake_at=None)
        for name in ("plain", "converted", "shared")
    ]
    await fill(database, jobs)
    tags = {job.account: job.tag for job in jobs}
    files = {
        "file-plain": remote_filename(TRAINING.sha256, tag=tags["plain"]),
        "file-converted": remote_filename(TRAINING.sha256, converted_sha256="c" * 64, tag=tags["converted"]),
        "file-shared": OWN_FILENAME,
    }
    shelf = FileShelf({file: ready(file, name) for file, name in files.items()})
    found = await pruning(database, tmp_path, dict.fromkeys(tags, shelf)).list_unused()
    assert {file.id for file in found if file.problem is None} == {"file-plain", "file-converted"}
    [foreign] = [file.problem for file in found if file.problem]
    assert foreign.startswith(f"its name at the provider is {OWN_FILENAME}, not ")


@pytest.mark.parametrize("state", [JobState.SUCCEEDED, JobState.RUNNING])
async def test_prune_deletes_the_files_of_earlier_rounds(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: JobState
) -> None:
    """A retry uploads a file of its own; the id of the one before is known to nobody but the provider."""
    own = replace(CAPABILITIES[ProviderName.OPENAI], job_lookup=JobLookup.TRAINING_FILE)
    monkeypatch.setitem(cast(dict[ProviderName, Capabilities], CAPABILITIES), ProviderName.OPENAI, own)
    job = a_job("acme", state=state, round=2, remote_file_id="file-2", wake_at=None)
    await fill(database, [job, a_job("once", state=JobState.FAILED, wake_at=None)])
    files = {
        f"file-{number}": ready(f"file-{number}", remote_filename(TRAINING.sha256, tag=f"{job.id}.{number}"))
        for number in range(4)  # the last one belongs to nobody
    }
    shelf = FileShelf({**files, "file-x": ready("file-x")})
    work = pruning(database, tmp_path, dict.fromkeys(("acme", "once"), shelf))
    found = [file for file in await work.list_unused() if file.kind is ResourceKind.REMOTE_FILE]
    if state is JobState.RUNNING:
        assert found == []
        return
    assert [(file.id, file.problem) for file in found] == [("file-2", None), ("file-0", None), ("file-1", None)]
    for file in found:
        assert (await work.delete(file, by="me", now=NOW)).deleted
    assert sorted(shelf.deleted) == ["file-0", "file-1", "file-2"]


@pytest.mark.parametrize("kind", [CompatibleBench, MantleBench, DashScopeBench])
async def test_files_of_earlier_rounds_are_deleted_at_every_provider_with_a_file_per_job(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[ProviderBench]
) -> None:
    """At a compatible server the account's own option decides, so the provider's facts do not show it."""
    bench = kind(tmp_path)
    account = Account(name="acme", provider=bench.name, api_key="env:KEY", base_url=bench.base_url, file_per_job=True)
    provider = bench.connect(account, Secret("sandbox-acme"))
    dataset = Dataset(
        training=DatasetPart(path=tmp_path / "x", sha256="a" * 64, bytes=len(LINES), examples=12, tokens=1)
    )
    monkeypatch.setattr(store_values, "DATASET", dataset)
    job = a_job("acme", provider=bench.name, state=JobState.FAILED, round=2, wake_at=None)
    sent = []
    for number in range(3):
        file = replace(bench.file(), filename=remote_filename("a" * 64, tag=f"{job.id}.{number}"))
        sent.append((await provider.upload_file(file, bench.deadline())).id)
    bench.now += 60
    run = replace(RUN, dataset_sha256=dataset.sha256)
    await fill(database, [replace(job, remote_file_id=sent[2])], run)

    connections = {"acme": ProviderConnection(account, "12345678", provider)}
    work = ResourceCleaner(database, connections, tmp_path, max_concurrent_requests=4)
    found = [file for file in await work.list_unused() if file.kind is ResourceKind.REMOTE_FILE]
    assert [(file.id, file.problem) for file in found] == [(sent[2], None), (sent[0], None), (sent[1], None)]
    for unused in found:
        assert (await work.delete(unused, by="me", now=NOW)).deleted
    assert bench.contents() == []
    assert [file for file in await work.list_unused() if file.kind is ResourceKind.REMOTE_FILE] == []


async def test_an_open_job_keeps_the_files_of_its_run(database: Database, tmp_path: Path) -> None:
    shelf = FileShelf({"file-1": ready("file-1")})
    done = a_job("done", state=JobState.SUCCEEDED, remote_file_id="file-1", wake_at=None)
    await fill(database, [done, a_job("open", state=JobState.RUNNING, remote_file_id="file-2")])
    assert await pruning(database, tmp_path, {"done": shelf, "open": shelf}).list_unused() == []


@pytest.mark.parametrize(
    ("state", "listed"),
    [(JobState.PLANNED, False), (JobState.UPLOADING, False), (JobState.PROCESSING, True), (JobState.FAILED, True)],
)
async def test_prune_cancels_incomplete_uploads(
    database: Database, tmp_path: Path, state: JobState, listed: bool
) -> None:
    job, shelf = a_job("acme", state=state), FileShelf({})
    await fill(database, [job])
    begun = MultipartUpload(id="upload-1", part_bytes=8)
    await database.write(lambda tx: uploads.save(tx, job.id, TRAINING.sha256, begun))
    work = pruning(database, tmp_path, {"acme": shelf})
    found = await work.list_unused()
    assert [(leftover.kind, leftover.id) for leftover in found] == (
        [(ResourceKind.UPLOAD, "upload-1")] if listed else []
    )
    for leftover in found:
        assert (await work.delete(leftover, by="me", now=NOW)).deleted
        assert shelf.deleted == ["upload-1"]
        assert await work.list_unused() == []


async def test_prune_deletes_unused_local_datasets(
    database: Database, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """One of a run that ended, one of a run with an open job, one of the current run, and somebody's notes."""
    folder = tmp_path_factory.mktemp("datasets")
    parts = {name: replace(TRAINING, sha256=name * 64) for name in "bcd"}
    for number, (name, part) in enumerate(parts.items()):
        dataset = replace(DATASET, training=part)
        run = replace(RUN, id=RunId(f"run-{name}"), dataset_sha256=dataset.sha256, current=name == "d")
        await database.write(lambda tx, dataset=dataset: runs.save_dataset(tx, dataset, NOW))  # type: ignore[misc]
        state = JobState.RUNNING if name == "c" else JobState.SUCCEEDED
        await fill(database, [a_job("acme", id=JobId(f"job-{number}"), run_id=run.id, state=state)], run)
        (folder / local_filename(part.sha256)).write_text("{}")
        (folder / f"{part.sha256[:16]}.gemini-1.{'0' * 16}.converted").write_text("{}")
        (folder / local_filename(part.sha256)).with_suffix(".index").write_text("of a page")
    (folder / "notes.txt").write_text("mine")
    work = pruning(database, folder, {})
    found = await work.list_unused()
    converted = f"{'b' * 16}.gemini-1.{'0' * 16}.converted"
    assert found == [
        UnusedResource(kind=ResourceKind.DATASET, account=None, id=name, name=name)
        for name in (f"{'b' * 16}.jsonl", converted)
    ]
    for file in found:
        assert (await work.delete(file, by="me", now=NOW)).deleted
    endings = (f"gemini-1.{'0' * 16}.converted", "index", "jsonl")
    left = [f"{name * 16}.{ending}" for name in "cd" for ending in endings]
    assert names(folder) == [*left, "notes.txt"]
    assert await work.list_unused() == []

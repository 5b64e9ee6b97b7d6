"""Files that are too large for one piece: parts, several at a time, resumed, with the provider's own MD5 check."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
from provider_bench import LINES, PART, SmallBench

from orchestrator.core.errors import FileNotReady, ProviderUnavailable, UnknownOutcome
from orchestrator.core.remote import MultipartUpload, RemoteFileStatus
from orchestrator.core.structs import replace
from orchestrator.providers.base import DatasetFile, Deadline, MultipartUploadProvider
from orchestrator.providers.upload_stream import compute_md5
from orchestrator.sandbox import Fault

COUNT = -(-len(LINES) // PART)


class Notes:
    """Remembers in memory, and how often it was told."""

    def __init__(self) -> None:
        self.upload: MultipartUpload | None = None
        self.saved = 0

    async def load(self) -> MultipartUpload | None:
        return self.upload

    async def save(self, upload: MultipartUpload | None) -> None:
        self.upload = upload
        self.saved += 1


@pytest.fixture
def bench(tmp_path: Path) -> SmallBench:
    return SmallBench(tmp_path)


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def wanted(bench: SmallBench, notes: Notes) -> DatasetFile:
    return replace(bench.file(), upload_state=notes)


async def test_uploaded_parts_form_the_file(bench: SmallBench, wanted: DatasetFile, notes: Notes) -> None:
    provider = bench.provider()
    sent = await provider.upload_file(wanted, bench.deadline())
    assert bench.contents() == [LINES.encode()]
    assert bench.parts() == COUNT > 10
    bench.now += 10
    found = await provider.find_file(wanted)
    assert found is not None
    assert (found.id, found.status) == (sent.id, RemoteFileStatus.READY)
    assert (notes.upload, notes.saved) == (None, COUNT + 2)


async def test_file_is_hashed_once_for_all_jobs_and_attempts(
    bench: SmallBench, wanted: DatasetFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []

    def count(file: DatasetFile) -> str:
        hashed.append(file.sha256)
        return compute_md5(file)

    monkeypatch.setattr("orchestrator.providers.openai.openai_provider.compute_md5", count)
    provider = bench.provider()
    for state in (wanted.upload_state, Notes(), Notes()):
        await provider.upload_file(replace(wanted, upload_state=state), bench.deadline())
    assert hashed == [wanted.sha256]


async def test_upload_works_without_notes_and_with_a_byte_order_mark(bench: SmallBench) -> None:
    bench.faults(Fault("reject_file"))  # a provider of this kind does not want the mark, but it arrives
    await bench.provider().upload_file(bench.file(mark=True), bench.deadline())
    assert bench.contents() == [b"\xef\xbb\xbf" + LINES.encode()]


async def test_finished_parts_are_not_sent_again(bench: SmallBench, wanted: DatasetFile, notes: Notes) -> None:
    provider = bench.provider()
    bench.faults(Fault("drop", operations=("uploads.part",), rate=0.4))
    with pytest.raises(FileNotReady, match=f"of {COUNT} parts of the file have been sent"):
        await provider.upload_file(wanted, bench.deadline())
    assert notes.upload is not None
    there = dict(notes.upload.parts)
    assert 0 < len(there) < COUNT
    bench.faults()
    before = bench.parts()
    await bench.provider().upload_file(wanted, bench.deadline())
    assert bench.parts() - before == COUNT - len(there)
    assert bench.contents() == [LINES.encode()]


async def test_an_attempt_ends_before_its_deadline(bench: SmallBench, wanted: DatasetFile, notes: Notes) -> None:
    times = iter(range(10_000))
    with pytest.raises(FileNotReady, match="parts of the file have been sent"):
        await bench.provider().upload_file(wanted, Deadline(20.0, lambda: float(next(times))))
    assert notes.upload is not None
    assert 0 < len(notes.upload.parts) < COUNT
    await bench.provider().upload_file(wanted, bench.deadline())
    assert bench.contents() == [LINES.encode()]


async def test_expired_upload_is_restarted(bench: SmallBench, wanted: DatasetFile, notes: Notes) -> None:
    provider = bench.provider()
    bench.faults(Fault("drop", operations=("uploads.part",), rate=0.4))
    with pytest.raises(FileNotReady):
        await provider.upload_file(wanted, bench.deadline())
    bench.faults()
    bench.now += 3700
    with pytest.raises(FileNotReady, match="started again"):
        await provider.upload_file(wanted, bench.deadline())
    assert notes.upload is None
    await provider.upload_file(wanted, bench.deadline())
    assert bench.contents() == [LINES.encode()]


async def test_upload_expired_before_completion_is_restarted(
    bench: SmallBench, wanted: DatasetFile, notes: Notes
) -> None:
    provider = bench.provider()
    bench.faults(Fault("server_error", operations=("uploads.complete",), times=1))
    with pytest.raises(UnknownOutcome):
        await provider.upload_file(wanted, bench.deadline())
    assert notes.upload is not None
    assert len(notes.upload.parts) == COUNT
    bench.now += 3700
    with pytest.raises(FileNotReady, match="started again"):
        await provider.upload_file(wanted, bench.deadline())
    await provider.upload_file(wanted, bench.deadline())
    assert bench.contents() == [LINES.encode()]


async def test_lost_completion_answer_is_unknown_and_the_file_is_found(
    bench: SmallBench, wanted: DatasetFile
) -> None:
    provider = bench.provider()
    bench.faults(Fault("lose_answer", operations=("uploads.complete",), times=1))
    with pytest.raises(UnknownOutcome):
        await provider.upload_file(wanted, bench.deadline())
    assert await provider.find_file(wanted) is not None


async def test_upload_without_any_sent_part_is_a_failed_attempt(bench: SmallBench, wanted: DatasetFile) -> None:
    bench.faults(Fault("drop", operations=("uploads.part",)))
    with pytest.raises(ProviderUnavailable):
        await bench.provider().upload_file(wanted, bench.deadline())


async def test_cancelling_an_unfinished_upload_twice_is_allowed(
    bench: SmallBench, wanted: DatasetFile, notes: Notes
) -> None:
    provider = bench.provider()
    bench.faults(Fault("server_error", operations=("uploads.complete",), times=1))
    with pytest.raises(UnknownOutcome):
        await provider.upload_file(wanted, bench.deadline())
    assert notes.upload is not None
    for _ in range(2):
        await cast(MultipartUploadProvider, provider).cancel_upload(notes.upload.id)
    with pytest.raises(FileNotReady, match="started again"):
        await provider.upload_file(wanted, bench.deadline())

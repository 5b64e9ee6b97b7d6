"""Uploads to buckets: created only if absent, verified, resumed after a kill. Amazon's side is judged by moto."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from bucket_bench import AWS_KEY, NAME, BucketBench, FakeS3Bench, GcsBench, MemoryUploadState, S3Bench

from orchestrator.core.errors import (
    AuthenticationFailed,
    FileNotReady,
    RemoteNotFound,
    RequestRejected,
    TrainingNotAllowed,
    UnknownOutcome,
)
from orchestrator.core.secret import Redactor, Secret
from orchestrator.providers.aws_signature import AwsCredentials, AwsSigner
from orchestrator.providers.http.client import HttpClient
from orchestrator.providers.objects.bucket import find_uploaded_file, get_uploaded_file, upload_to_bucket
from orchestrator.providers.objects.content_hashes import ContentHashes
from orchestrator.providers.objects.s3 import S3Bucket

SMALL = 1000


@pytest.fixture(params=[GcsBench, S3Bench, FakeS3Bench], ids=["gcs", "s3", "fake-s3"])
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[BucketBench]:
    made = request.param(tmp_path)
    async with made.serve():
        yield made


@pytest.fixture
async def gcs(tmp_path: Path) -> AsyncIterator[GcsBench]:
    made = GcsBench(tmp_path)
    async with made.serve():
        yield made


async def test_uploaded_file_is_found_by_name_and_content(bench: BucketBench) -> None:
    bucket, file = bench.bucket(), bench.file(SMALL)
    assert await find_uploaded_file(bucket, file) is None
    sent = await upload_to_bucket(bucket, file, bench.deadline())
    assert bench.contents() == {NAME: file.path.read_bytes()}
    assert sent.id in {f"gs://bucket-acme/{NAME}", f"s3://bucket.acme/{NAME}", f"s3://bucket-acme/{NAME}"}
    assert (sent.filename, sent.bytes) == (NAME, SMALL)
    assert await find_uploaded_file(bucket, file) == sent == await get_uploaded_file(bucket, sent.id)


@pytest.mark.parametrize("parts", [0, 2.5])
async def test_equal_object_is_ours_and_is_not_written_again(bench: BucketBench, parts: float) -> None:
    bucket = bench.bucket()
    file = bench.file(int(parts * bench.part_bytes) or SMALL, MemoryUploadState())
    first = await upload_to_bucket(bucket, file, bench.deadline())
    again = bench.file(file.bytes, MemoryUploadState())
    assert await upload_to_bucket(bench.bucket(), again, bench.deadline()) == first
    assert bench.contents() == {NAME: file.path.read_bytes()}


@pytest.mark.parametrize("content", [b"other", bytes(SMALL)], ids=["size", "content"])
@pytest.mark.parametrize("parts", [0, 2.5])
async def test_other_object_of_the_name_is_reported_and_kept(
    bench: BucketBench, content: bytes, parts: float
) -> None:
    bucket, file = bench.bucket(), bench.file(int(parts * bench.part_bytes) or SMALL)
    bench.put(NAME, content)
    assert await find_uploaded_file(bucket, file) is None
    with pytest.raises(RequestRejected, match=f"another object at .*{NAME}: it") as refused:
        await upload_to_bucket(bucket, file, bench.deadline())
    assert "Delete the object" in refused.value.hint
    assert bench.contents() == {NAME: content}


async def test_large_file_is_sent_in_parts(bench: BucketBench) -> None:
    state = MemoryUploadState()
    file = bench.file(int(3.5 * bench.part_bytes), state)
    sent = await upload_to_bucket(bench.bucket(), file, bench.deadline())
    assert bench.contents() == {NAME: file.path.read_bytes()}
    assert await find_uploaded_file(bench.bucket(), file) == sent
    assert bench.transport.puts == 4
    assert state.upload is None
    assert state.saved >= 2


async def test_finished_parts_are_not_sent_again_after_a_kill(bench: BucketBench) -> None:
    state = MemoryUploadState()
    file = bench.file(int(5.5 * bench.part_bytes), state)
    bench.transport.hanging_from = 3
    first = asyncio.create_task(upload_to_bucket(bench.bucket(), file, bench.deadline()))
    while bench.received_parts(state) < 2 or bench.transport.puts < 3:  # noqa: ASYNC110 - the server has no event
        await asyncio.sleep(0.001)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    bench.transport.hanging_from, bench.transport.puts = math.inf, 0

    sent = await upload_to_bucket(bench.bucket(), file, bench.deadline())
    queries = 1 if isinstance(bench, GcsBench) else 0  # "how much have you received?"
    assert bench.transport.puts == 4 + queries
    assert bench.contents() == {NAME: file.path.read_bytes()}
    assert await find_uploaded_file(bench.bucket(), file) == sent


async def test_lost_answer_is_unknown_and_the_next_attempt_continues(bench: BucketBench) -> None:
    state = MemoryUploadState()
    file = bench.file(int(1.5 * bench.part_bytes), state)
    bench.transport.failing = {1, 2}
    with pytest.raises((UnknownOutcome, FileNotReady)):
        await upload_to_bucket(bench.bucket(), file, bench.deadline())
    bench.transport.failing = set()
    await upload_to_bucket(bench.bucket(), file, bench.deadline())
    assert bench.contents() == {NAME: file.path.read_bytes()}
    assert state.upload is None


async def test_part_whose_answer_was_lost_is_not_sent_again(bench: BucketBench) -> None:
    state = MemoryUploadState()
    file = bench.file(int(3.5 * bench.part_bytes), state)
    bench.transport.failing = {2, 3}
    with pytest.raises((UnknownOutcome, FileNotReady)):
        await upload_to_bucket(bench.bucket(), file, bench.deadline())
    bench.transport.failing = set()
    sent = await upload_to_bucket(bench.bucket(), file, bench.deadline())
    queries = 1 if isinstance(bench, GcsBench) else 0
    unproved = 2 if isinstance(bench, S3Bench) else 0  # moto lists parts without their checksums, as S3 does not
    assert bench.transport.puts == 4 + queries + unproved
    assert await find_uploaded_file(bench.bucket(), file) == sent


@pytest.mark.parametrize("status", [403, 405, 501])
async def test_server_that_does_not_list_parts_gets_them_again(tmp_path: Path, status: int) -> None:
    bench, state = FakeS3Bench(tmp_path), MemoryUploadState()
    async with bench.serve():
        file = bench.file(int(2.5 * bench.part_bytes), state)
        bench.storage.list_parts_status = status
        bench.transport.failing = {2}
        with pytest.raises(FileNotReady):
            await upload_to_bucket(bench.bucket(), file, bench.deadline())
        await upload_to_bucket(bench.bucket(), file, bench.deadline())
        assert bench.transport.puts == 4
        assert bench.contents() == {NAME: file.path.read_bytes()}


async def test_parts_of_an_upload_are_deleted_if_the_object_exists_by_its_end(tmp_path: Path) -> None:
    """S3 bills the parts of an upload that is neither completed nor aborted."""
    bench, state = FakeS3Bench(tmp_path), MemoryUploadState()
    async with bench.serve():
        file = bench.file(int(2.5 * bench.part_bytes), state)
        bench.put(NAME, b"other")
        with pytest.raises(RequestRejected):
            await upload_to_bucket(bench.bucket(), file, bench.deadline())
        assert (bench.storage.uploads, state.upload) == ({}, None)


async def test_part_with_other_bytes_is_sent_again(tmp_path: Path) -> None:
    bench, state = FakeS3Bench(tmp_path), MemoryUploadState()
    async with bench.serve():
        file = bench.file(int(2.5 * bench.part_bytes), state)
        bench.transport.failing = {2}
        with pytest.raises(FileNotReady):
            await upload_to_bucket(bench.bucket(), file, bench.deadline())
        (upload,) = bench.storage.uploads.values()
        assert state.upload is not None
        (unknown,) = upload.parts.keys() - {number + 1 for number in state.upload.parts}
        upload.parts[unknown].append(b"!")
        await upload_to_bucket(bench.bucket(), file, bench.deadline())
        assert bench.contents() == {NAME: file.path.read_bytes()}


async def test_lost_answer_to_a_small_file_is_unknown_and_then_found(bench: BucketBench) -> None:
    file = bench.file(SMALL)
    bench.transport.failing = {1}
    with pytest.raises(UnknownOutcome):
        await upload_to_bucket(bench.bucket(), file, bench.deadline())
    assert await find_uploaded_file(bench.bucket(), file) is not None


async def test_expired_upload_is_started_again(bench: BucketBench) -> None:
    state = MemoryUploadState()
    file = bench.file(int(2.5 * bench.part_bytes), state)
    bench.transport.failing = {2, 3, 4, 5}
    with pytest.raises((UnknownOutcome, FileNotReady)):
        await upload_to_bucket(bench.bucket(), file, bench.deadline())
    bench.transport.failing = set()
    bench.expire_uploads()
    with pytest.raises(FileNotReady, match="started again"):
        await upload_to_bucket(bench.bucket(), file, bench.deadline())
    assert state.upload is None
    await upload_to_bucket(bench.bucket(), file, bench.deadline())
    assert bench.contents() == {NAME: file.path.read_bytes()}


async def test_no_part_is_started_without_time_for_it(bench: BucketBench) -> None:
    state = MemoryUploadState()
    file = bench.file(int(2.5 * bench.part_bytes), state)
    with pytest.raises(FileNotReady, match="0 of ") as unready:
        await upload_to_bucket(bench.bucket(), file, bench.deadline(bench.part_bytes / 500_000 - 0.1))
    assert unready.value.account == "acme"
    assert bench.transport.puts == 0
    assert state.upload is not None


async def test_cancelled_upload_is_gone(bench: BucketBench) -> None:
    state = MemoryUploadState()
    file = bench.file(int(2.5 * bench.part_bytes), state)
    with pytest.raises(FileNotReady):
        await upload_to_bucket(bench.bucket(), file, bench.deadline(bench.part_bytes / 500_000 - 0.1))
    assert state.upload is not None
    await bench.bucket().cancel_upload(state.upload.id)
    await bench.bucket().cancel_upload(state.upload.id)
    with pytest.raises(FileNotReady, match="started again"):
        await upload_to_bucket(bench.bucket(), file, bench.deadline())


async def test_deleted_file_is_missing(bench: BucketBench) -> None:
    bucket = bench.bucket()
    sent = await upload_to_bucket(bucket, bench.file(SMALL), bench.deadline())
    await bucket.delete_object(NAME)
    await bucket.delete_object(NAME)
    with pytest.raises(RemoteNotFound, match=sent.id):
        await get_uploaded_file(bucket, sent.id)


@pytest.mark.parametrize("kept", [[0], [0, 256 * 1024 // 2], [100_000]], ids=["no range", "twice", "part of it"])
async def test_session_that_keeps_less_gets_the_rest(gcs: GcsBench, kept: list[int]) -> None:
    gcs.storage.kept_bytes = list(kept)
    file = gcs.file(2 * gcs.part_bytes, MemoryUploadState())
    await upload_to_bucket(gcs.bucket(), file, gcs.deadline())
    assert gcs.contents() == {NAME: file.path.read_bytes()}


async def test_session_that_keeps_nothing_is_an_error(gcs: GcsBench) -> None:
    gcs.storage.kept_bytes = [0] * 9
    with pytest.raises(UnknownOutcome, match="kept nothing of 3 parts"):
        await upload_to_bucket(gcs.bucket(), gcs.file(2 * gcs.part_bytes), gcs.deadline())


async def test_bytes_that_changed_on_the_way_make_no_object(gcs: GcsBench) -> None:
    file = gcs.file(SMALL)
    bucket = gcs.bucket()
    await bucket._hashes.get_md5(file)
    file.path.write_bytes(bytes(SMALL))
    with pytest.raises(RequestRejected, match="MD5"):
        await upload_to_bucket(bucket, file, gcs.deadline())
    assert gcs.contents() == {}


async def test_object_without_a_checksum_is_not_ours(gcs: GcsBench) -> None:
    file = gcs.file(SMALL)
    gcs.put(NAME, file.path.read_bytes())
    gcs.world.account("acme").files[NAME].checksum = None
    with pytest.raises(RequestRejected, match="composed of other objects"):
        await upload_to_bucket(gcs.bucket(), file, gcs.deadline())


def s3_answering(tmp_path: Path, response: httpx2.Response, key: str = AWS_KEY) -> S3Bucket:
    http = HttpClient(httpx2.MockTransport(lambda request: response))
    redact = Redactor()
    signer = AwsSigner(AwsCredentials.parse(Secret(key), redact), "us-west-2", "s3", "acme")
    return S3Bucket(http, "https://s3.example", "b", signer=signer, redact=redact, hashes=ContentHashes())


@pytest.mark.parametrize(
    ("response", "kind", "text"),
    [
        (
            httpx2.Response(301, headers={"x-amz-bucket-region": "eu-west-1"}),
            RequestRejected,
            "400 WrongRegion: the bucket b is in eu-west-1, and the account's region is us-west-2",
        ),
        (httpx2.Response(403), TrainingNotAllowed, "the key needs s3:ListBucket"),
        (
            httpx2.Response(403, content=b"<Error><Code>AccessDenied</Code><Message>No</Message></Error>"),
            TrainingNotAllowed,
            "403 AccessDenied: access denied; the key needs s3:ListBucket",
        ),
        (
            httpx2.Response(
                403, content=b"<Error><Code>SignatureDoesNotMatch</Code><Message>A &amp; B</Message></Error>"
            ),
            AuthenticationFailed,
            "403 SignatureDoesNotMatch: A & B",
        ),
        (
            httpx2.Response(
                400, content=b"<Error><Code>ExpiredToken</Code><Message>It has expired</Message></Error>"
            ),
            AuthenticationFailed,
            "It has expired",
        ),
        (httpx2.Response(400, content=b"<html>no</html>"), RequestRejected, f"400: at /b/{NAME}: <html>no</html>"),
        (  # as Ceph writes it
            httpx2.Response(403, content=b"<Error><Code>InvalidAccessKeyId</Code><Message></Message></Error>"),
            AuthenticationFailed,
            "403 InvalidAccessKeyId: <Error><Code>",
        ),
    ],
)
async def test_refusals_of_s3_are_explained(
    tmp_path: Path, response: httpx2.Response, kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind) as refused:
        await s3_answering(tmp_path, response).find_object(NAME)
    assert type(refused.value) is kind
    assert text in str(refused.value)


async def test_key_of_another_form_is_explained(tmp_path: Path) -> None:
    bucket = s3_answering(tmp_path, httpx2.Response(200), key="sk-not-an-access-key")
    with pytest.raises(AuthenticationFailed) as refused:
        await bucket.find_object(NAME)
    assert "ACCESS_KEY_ID:SECRET_ACCESS_KEY" in refused.value.hint
    assert "sk-not" not in str(refused.value)

"""Responses of the storages S3 and GCS that no fake gives: objects that vanish, refusals, and other servers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest
from scripted_server import DEADLINE, ScriptedServer, create_dataset_file

from orchestrator.core.errors import (
    FileNotReady,
    ProviderError,
    ProviderUnavailable,
    RequestRejected,
    TemporaryError,
    UnknownOutcome,
)
from orchestrator.core.remote import MultipartUpload
from orchestrator.core.secret import Secret
from orchestrator.core.structs import replace
from orchestrator.providers.aws_signature import AwsCredentials, AwsSigner
from orchestrator.providers.objects.bucket import upload_to_bucket
from orchestrator.providers.objects.content_hashes import ContentHashes
from orchestrator.providers.objects.gcs import GcsBucket
from orchestrator.providers.objects.s3 import S3Bucket

NAME = "orchestrator-1.jsonl"
KEY = "AKIAIOSFODNN7EXAMPLE:wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
GCS_OBJECT = f"GET /storage/v1/b/b/o/{NAME}"
GCS_START, GCS_SEND = "POST /upload/storage/v1/b/b/o", "PUT /upload/storage/v1/b/b/o"
STARTED = httpx2.Response(200, headers={"location": "https://gcs.example/upload?upload_id=s-1"})
EARLIER = MultipartUpload(id=f"{NAME}?s-0", part_bytes=1)


def connect_s3(server: ScriptedServer, part_bytes: int = 1000) -> S3Bucket:
    signer = AwsSigner(AwsCredentials.parse(Secret(KEY), server.redact), "us-west-2", "s3", "acme")
    return S3Bucket(
        server.http, "https://s3.example", "b", signer=signer, redact=server.redact, hashes=ContentHashes(),
        part_bytes=part_bytes,
    )  # fmt: skip


def connect_gcs(server: ScriptedServer, part_bytes: int = 1000) -> GcsBucket:
    return GcsBucket(
        server.http, "https://gcs.example", "b", key=Secret("key-of-acme"), account="acme", redact=server.redact,
        error_codes={}, hashes=ContentHashes(), part_bytes=part_bytes,
    )  # fmt: skip


class Progress:
    """Keeps the progress in memory."""

    def __init__(self, upload: MultipartUpload | None) -> None:
        self.upload = upload

    async def load(self) -> MultipartUpload | None:
        return self.upload

    async def save(self, upload: MultipartUpload | None) -> None:
        self.upload = upload


@pytest.mark.parametrize(
    ("put", "head", "kind", "text"),
    [
        (200, 404, ProviderUnavailable, "was uploaded and is not there yet"),
        (200, 200, ProviderUnavailable, "has the status 200, and no ETag or no size"),
        (412, 404, TemporaryError, "existed a moment ago and was deleted"),
        (400, 404, RequestRejected, "400"),
        (500, 404, UnknownOutcome, "500"),
    ],
)
async def test_small_file_that_is_not_in_s3_afterwards_is_an_error(
    tmp_path: Path, put: int, head: int, kind: type[ProviderError], text: str
) -> None:
    server = ScriptedServer({f"PUT /b/{NAME}": httpx2.Response(put), f"HEAD /b/{NAME}": httpx2.Response(head)})
    with pytest.raises(kind, match=text) as failed:
        await upload_to_bucket(connect_s3(server), create_dataset_file(tmp_path), DEADLINE)
    assert (type(failed.value), failed.value.account) == (kind, "acme")


@pytest.mark.parametrize("status", [404, 500])
async def test_parts_of_an_earlier_upload_are_sent_again_only_if_it_exists(tmp_path: Path, status: int) -> None:
    upload = replace(EARLIER, id=f"{NAME}?uploadId=u")
    file = replace(create_dataset_file(tmp_path), upload_state=Progress(upload))
    server = ScriptedServer({f"GET /b/{NAME}": httpx2.Response(status)})
    with pytest.raises(ProviderError) as failed:
        await upload_to_bucket(connect_s3(server, 1), file, DEADLINE)
    assert isinstance(failed.value, FileNotReady if status == 404 else UnknownOutcome)
    assert server.seen == [f"GET /b/{NAME}"]


@pytest.mark.parametrize(("status", "kind"), [(409, FileNotReady), (400, RequestRejected), (500, UnknownOutcome)])
async def test_completion_in_s3_that_fails_is_reported(
    tmp_path: Path, status: int, kind: type[ProviderError]
) -> None:
    progress = Progress(replace(EARLIER, id=f"{NAME}?uploadId=u", parts={0: "e0", 1: "e1", 2: "e2"}))
    file = replace(create_dataset_file(tmp_path), upload_state=progress)
    server = ScriptedServer(
        {f"GET /b/{NAME}": httpx2.Response(200), f"POST /b/{NAME}": httpx2.Response(status, content=b"<html>")}
    )
    with pytest.raises(kind) as failed:
        await upload_to_bucket(connect_s3(server, 1), file, DEADLINE)
    assert type(failed.value) is kind
    assert (progress.upload is None) is (status == 409)


@pytest.mark.parametrize("declaration", ["", '<?xml version="1.0" encoding="UTF-8"?>\n'])
async def test_completion_in_s3_that_fails_after_its_status_is_an_unknown_outcome(
    tmp_path: Path, declaration: str
) -> None:
    progress = Progress(replace(EARLIER, id=f"{NAME}?uploadId=u", parts={0: "e0", 1: "e1", 2: "e2"}))
    file = replace(create_dataset_file(tmp_path), upload_state=progress)
    error = f"{declaration}<Error><Code>InternalError</Code><Message>Try again.</Message></Error>".encode()
    server = ScriptedServer(
        {f"GET /b/{NAME}": httpx2.Response(200), f"POST /b/{NAME}": httpx2.Response(200, content=error)}
    )
    with pytest.raises(UnknownOutcome, match="500 InternalError: Try again"):
        await upload_to_bucket(connect_s3(server, 1), file, DEADLINE)
    assert progress.upload is not None


@pytest.mark.parametrize("cleanup", [200, 404, 500])
async def test_object_that_exists_is_reported_however_the_removal_of_the_parts_ends(
    tmp_path: Path, cleanup: int
) -> None:
    progress = Progress(replace(EARLIER, id=f"{NAME}?uploadId=u", parts={0: "e0", 1: "e1", 2: "e2"}))
    file = replace(create_dataset_file(tmp_path), upload_state=progress)
    found = httpx2.Response(200, headers={"etag": "e", "content-length": "7"})
    server = ScriptedServer(
        {
            f"GET /b/{NAME}": httpx2.Response(200),
            f"POST /b/{NAME}": httpx2.Response(412),
            f"DELETE /b/{NAME}": httpx2.Response(cleanup),
            f"HEAD /b/{NAME}": found,
        }
    )
    with pytest.raises(RequestRejected, match="another object"):
        await upload_to_bucket(connect_s3(server, 1), file, DEADLINE)
    assert (progress.upload, server.seen[-2]) == (None, f"DELETE /b/{NAME}")


@pytest.mark.parametrize(
    ("bucket", "request_name"), [(connect_s3, f"DELETE /b/{NAME}"), (connect_gcs, f"DELETE /storage/v1/b/b/o/{NAME}")]
)
async def test_only_an_object_that_is_not_there_need_not_be_deleted(bucket: Any, request_name: str) -> None:
    await bucket(ScriptedServer({request_name: httpx2.Response(404)})).delete_object(NAME)
    with pytest.raises(ProviderUnavailable):
        await bucket(ScriptedServer({request_name: httpx2.Response(500)})).delete_object(NAME)


@pytest.mark.parametrize(
    ("steps", "kind", "text"),
    [
        ({GCS_START: httpx2.Response(412), GCS_OBJECT: (404, {})}, TemporaryError, "existed a moment ago"),
        ({GCS_START: httpx2.Response(400)}, RequestRejected, "400"),
        ({GCS_START: httpx2.Response(200)}, UnknownOutcome, "lost"),  # names no session
        ({GCS_START: STARTED, GCS_SEND: httpx2.Response(400)}, RequestRejected, "400"),
        ({GCS_START: STARTED, GCS_SEND: httpx2.Response(500)}, UnknownOutcome, "500"),
        ({GCS_START: STARTED, GCS_SEND: httpx2.Response(308, headers={"range": "1-x"})}, UnknownOutcome, "range"),
    ],
)
async def test_upload_to_gcs_that_fails_is_reported(
    tmp_path: Path, steps: Any, kind: type[ProviderError], text: str
) -> None:
    with pytest.raises(kind, match=text) as failed:
        await upload_to_bucket(connect_gcs(ScriptedServer(steps)), create_dataset_file(tmp_path), DEADLINE)
    assert (type(failed.value), failed.value.account) == (kind, "acme")


@pytest.mark.parametrize(("status", "kind"), [(404, FileNotReady), (410, FileNotReady), (403, ProviderError)])
async def test_session_of_an_earlier_upload_that_is_gone_is_started_again(
    tmp_path: Path, status: int, kind: type[ProviderError]
) -> None:
    progress = Progress(EARLIER)
    file = replace(create_dataset_file(tmp_path), upload_state=progress)
    server = ScriptedServer({GCS_SEND: httpx2.Response(status)})
    with pytest.raises(kind) as failed:
        await upload_to_bucket(connect_gcs(server, 1), file, DEADLINE)
    is_gone = kind is FileNotReady
    assert (isinstance(failed.value, FileNotReady), progress.upload is None) == (is_gone, is_gone)
    assert failed.value.account == "acme"

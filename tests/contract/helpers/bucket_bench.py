"""Benches: a bucket each. Google's is our fake; Amazon's is moto, which others wrote, and our fake."""

from __future__ import annotations

import asyncio
import math
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import boto3
import httpx2
from fake_aws import access_key
from fake_gcs import create_gcs
from fake_s3 import create_s3
from fake_world import FakeFile
from moto.server import ThreadedMotoServer
from provider_bench import START, Wire

from orchestrator.core.remote import MultipartUpload
from orchestrator.core.secret import Redactor, Secret
from orchestrator.providers.aws_signature import AwsCredentials, AwsSigner
from orchestrator.providers.base import DatasetFile, Deadline
from orchestrator.providers.http.client import HttpClient, create_http_client
from orchestrator.providers.objects.bucket import ObjectBucket
from orchestrator.providers.objects.content_hashes import ContentHashes
from orchestrator.providers.objects.gcs import GcsBucket
from orchestrator.providers.objects.s3 import S3Bucket

NAME = "orchestrator-0123456789abcdef.jsonl"
AWS_KEY = "AKIAIOSFODNN7EXAMPLE:wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


@dataclass
class MemoryUploadState:
    """The progress as the database keeps it; `saved` counts the writes."""

    upload: MultipartUpload | None = None
    saved: int = 0

    async def load(self) -> MultipartUpload | None:
        return self.upload

    async def save(self, upload: MultipartUpload | None) -> None:
        self.upload = upload
        self.saved += 1


class CountedTransport(httpx2.AsyncBaseTransport):
    """Counts the PUTs, loses the answers to some, and lets some hang before they reach the server."""

    def __init__(self, inner: httpx2.AsyncBaseTransport) -> None:
        self.inner = inner
        self.failing: set[int] = set()  # numbers of PUTs, from 1, whose answer is lost
        self.hanging_from: float = math.inf  # number of the first PUT that hangs
        self.puts = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.puts += request.method == "PUT"
        if request.method == "PUT" and self.puts >= self.hanging_from:
            await asyncio.Event().wait()
        lost = request.method == "PUT" and self.puts in self.failing
        answer = await self.inner.handle_async_request(request)
        if lost:
            await answer.aread()
            raise httpx2.ReadError("the connection was cut")
        if answer.status_code == 500 and "uploadId=" in str(request.url):  # moto fails on an unknown upload
            return httpx2.Response(404, content=b"<Error><Code>NoSuchUpload</Code><Message>None</Message></Error>")
        return answer

    async def aclose(self) -> None:
        await self.inner.aclose()


@dataclass
class BucketBench(ABC):
    """What the tests of buckets need."""

    folder: Path
    part_bytes: ClassVar[int]
    redact: Redactor = field(default_factory=Redactor)
    transport: CountedTransport = field(init=False)
    http: HttpClient = field(init=False)

    @abstractmethod
    def bucket(self) -> ObjectBucket:
        """The bucket of an account."""

    @abstractmethod
    def put(self, name: str, content: bytes) -> None:
        """Put an object into the bucket by other means."""

    @abstractmethod
    def contents(self) -> dict[str, bytes]:
        """The objects in the bucket."""

    @abstractmethod
    def received_parts(self, state: MemoryUploadState) -> int:
        """How many parts of the upload have arrived, and are known to have."""

    @abstractmethod
    def expire_uploads(self) -> None:
        """Forget every upload that is not complete."""

    def file(self, size: int, state: MemoryUploadState | None = None) -> DatasetFile:
        content = Random(size).randbytes(size)
        path = self.folder / f"{size}.jsonl"
        path.write_bytes(content)
        return DatasetFile(
            path=path,
            filename=NAME,
            bytes=size,
            sha256=sha256(content).hexdigest(),
            examples=1,
            upload_state=state,
        )

    def deadline(self, seconds: float = 1000) -> Deadline:
        return Deadline(seconds, boottime=lambda: 0.0)


class GcsBench(BucketBench):
    part_bytes = 256 * 1024

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[None]:
        app, self.world, self.storage = create_gcs(lambda: START)
        self.transport = CountedTransport(Wire(app))
        async with HttpClient(self.transport) as self.http:
            yield

    def bucket(self) -> GcsBucket:
        return GcsBucket(
            self.http,
            "http://localhost",
            "bucket-acme",
            key=Secret("sandbox-acme"),
            account="acme",
            redact=self.redact,
            error_codes={},
            hashes=ContentHashes(),
            part_bytes=self.part_bytes,
        )

    def put(self, name: str, content: bytes) -> None:
        self.world.account("acme").files[name] = FakeFile(name, name, START, {}, content, "AAAA")

    def contents(self) -> dict[str, bytes]:
        return {name: file.content or b"" for name, file in self.world.account("acme").files.items()}

    def received_parts(self, state: MemoryUploadState) -> int:
        return len(self.storage.received_ranges)

    def expire_uploads(self) -> None:
        self.storage.sessions.clear()


class FakeS3Bench(BucketBench):
    part_bytes = 5 * 1024 * 1024

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[None]:
        app, self.world, self.storage = create_s3(lambda: START)
        self.transport = CountedTransport(Wire(app))
        async with HttpClient(self.transport) as self.http:
            yield

    def bucket(self) -> S3Bucket:
        credentials = AwsCredentials.parse(Secret(access_key("acme")), self.redact)
        return S3Bucket(
            self.http,
            "http://localhost/s3",
            "bucket-acme",
            signer=AwsSigner(credentials, "us-west-2", "s3", "acme"),
            redact=self.redact,
            hashes=ContentHashes(),
            part_bytes=self.part_bytes,
        )

    def put(self, name: str, content: bytes) -> None:
        self.world.account("acme").files[name] = FakeFile(name, name, START, {}, content, "AAAA")

    def contents(self) -> dict[str, bytes]:
        return {name: file.content or b"" for name, file in self.world.account("acme").files.items()}

    def received_parts(self, state: MemoryUploadState) -> int:
        return len(state.upload.parts) if state.upload else 0

    def expire_uploads(self) -> None:
        self.storage.uploads.clear()


class S3Bench(BucketBench):
    part_bytes = 5 * 1024 * 1024

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[None]:
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        try:
            _, port = server.get_host_and_port()
            self.url = f"http://127.0.0.1:{port}"
            access, secret = AWS_KEY.split(":")
            self.client: Any = boto3.client(
                "s3",
                region_name="us-west-2",
                endpoint_url=self.url,
                aws_access_key_id=access,
                aws_secret_access_key=secret,
            )
            self.client.create_bucket(
                Bucket="bucket.acme", CreateBucketConfiguration={"LocationConstraint": "us-west-2"}
            )
            direct = create_http_client(8)
            self.transport = CountedTransport(direct.sdk_client._transport)
            async with HttpClient(self.transport) as self.http:
                yield
            self._empty()
            self.client.close()
        finally:
            server.stop()

    def bucket(self) -> S3Bucket:
        credentials = AwsCredentials.parse(Secret(AWS_KEY), self.redact)
        signer = AwsSigner(credentials, "us-west-2", "s3", "acme")
        return S3Bucket(
            self.http,
            self.url,
            "bucket.acme",
            signer=signer,
            redact=self.redact,
            hashes=ContentHashes(),
            part_bytes=self.part_bytes,
        )

    def put(self, name: str, content: bytes) -> None:
        self.client.put_object(Bucket="bucket.acme", Key=name, Body=content)

    def contents(self) -> dict[str, bytes]:
        listed = self.client.list_objects_v2(Bucket="bucket.acme").get("Contents", [])
        return {
            each["Key"]: self.client.get_object(Bucket="bucket.acme", Key=each["Key"])["Body"].read()
            for each in listed
        }

    def received_parts(self, state: MemoryUploadState) -> int:
        return len(state.upload.parts) if state.upload else 0

    def expire_uploads(self) -> None:
        for upload in self.client.list_multipart_uploads(Bucket="bucket.acme").get("Uploads", []):
            self.client.abort_multipart_upload(Bucket="bucket.acme", Key=upload["Key"], UploadId=upload["UploadId"])

    def _empty(self) -> None:
        """moto keeps its state in the process: the next server would have the same bucket."""
        self.expire_uploads()
        for name in self.contents():
            self.client.delete_object(Bucket="bucket.acme", Key=name)
        self.client.delete_bucket(Bucket="bucket.acme")

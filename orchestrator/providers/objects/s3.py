"""A bucket of Amazon S3, through its REST API."""

from __future__ import annotations

import base64
from contextlib import suppress
from typing import Final

import httpx2

from orchestrator.core.capabilities import OBJECT_PART_BYTES
from orchestrator.core.errors import ProviderUnavailable, RemoteNotFound
from orchestrator.core.secret import Redactor
from orchestrator.providers.aws_signature import AwsSigner
from orchestrator.providers.base import DatasetFile, Deadline
from orchestrator.providers.http.api_client import UnsuccessfulResponse
from orchestrator.providers.http.client import HttpClient
from orchestrator.providers.objects.bucket import ObjectExists, StoredObject, save_progress
from orchestrator.providers.objects.content_hashes import ContentHashes, format_composite_sha256
from orchestrator.providers.objects.s3_client import S3Client
from orchestrator.providers.objects.s3_multipart import S3PartUploader
from orchestrator.providers.upload_stream import iter_chunks

MAX_SIZE_DIGITS: Final = 18  # of an object's size in bytes; more would not fit into the database


class S3Bucket:
    """One bucket, with the key of one account."""

    def __init__(
        self,
        http: HttpClient,
        storage_url: str,
        bucket: str,
        *,
        signer: AwsSigner,
        redact: Redactor,
        hashes: ContentHashes,
        part_bytes: int = OBJECT_PART_BYTES,
    ) -> None:
        self.account_name = signer.account
        self._client = S3Client(http, storage_url, bucket, signer, redact)
        self._bucket = bucket
        self._hashes = hashes
        self._part_bytes = part_bytes

    def format_address(self, name: str) -> str:
        return f"s3://{self._bucket}/{name}"

    async def find_object(self, name: str) -> StoredObject | None:
        try:
            async with self._client.read_call():
                found = await self._client.send("HEAD", name, headers={"x-amz-checksum-mode": "ENABLED"})
        except RemoteNotFound:
            return None
        size = found.headers.get("content-length", "")
        is_size = size.isdecimal() and len(size) <= MAX_SIZE_DIGITS
        if found.status != httpx2.codes.OK or "etag" not in found.headers or not is_size:
            raise ProviderUnavailable(  # from something else than S3
                f"the response about {self.format_address(name)} has the status {found.status}, "
                "and no ETag or no size",
                account=self.account_name,
            )
        return StoredObject(name=name, bytes=int(size), checksum=found.headers.get("x-amz-checksum-sha256"))

    async def find_difference(self, stored: StoredObject, dataset_file: DatasetFile) -> str | None:
        if stored.bytes != dataset_file.wire_bytes:
            return f"it has {stored.bytes:,} bytes, the file has {dataset_file.wire_bytes:,}"
        if stored.checksum is None:
            return "it has no SHA-256 checksum"
        expected = [base64.b64encode(bytes.fromhex(dataset_file.sha256)).decode()]
        if dataset_file.wire_bytes > self._part_bytes:
            # Of an object that was uploaded in parts: the hash of their hashes. Some servers leave the number out.
            parts = await self._hashes.get_part_sha256s(dataset_file, self._part_bytes)
            composite = format_composite_sha256(parts)
            expected = [composite, composite.partition("-")[0], *expected]
        if stored.checksum in expected:
            return None
        return f"its SHA-256 is {stored.checksum}, the file's is {expected[0]}"

    async def create_object(self, name: str, dataset_file: DatasetFile, deadline: Deadline) -> StoredObject:
        is_large = dataset_file.wire_bytes > self._part_bytes
        hashes = await self._hashes.get_part_sha256s(dataset_file, self._part_bytes) if is_large else ()
        try:
            async with self._client.write_call(deadline):
                if is_large:
                    await S3PartUploader(
                        self._client,
                        name,
                        dataset_file,
                        deadline,
                        part_sha256s=hashes,
                        part_bytes=self._part_bytes,
                    ).upload()
                else:
                    await self._put_whole(name, dataset_file)
        except ObjectExists:
            await save_progress(dataset_file, None)
            raise
        stored = await self.find_object(name)
        if stored is None:
            raise ProviderUnavailable(
                f"{self.format_address(name)} was uploaded and is not there yet", account=self.account_name
            )
        return stored

    async def delete_object(self, name: str) -> None:
        with suppress(RemoteNotFound):
            async with self._client.read_call():
                await self._client.send("DELETE", name)

    async def cancel_upload(self, upload_id: str) -> None:
        name, _, query = upload_id.partition("?")
        with suppress(RemoteNotFound):
            async with self._client.read_call():
                await self._client.send("DELETE", name, f"?{query}")

    async def _put_whole(self, name: str, dataset_file: DatasetFile) -> None:
        checksum = base64.b64encode(bytes.fromhex(dataset_file.sha256)).decode()
        try:
            await self._client.send(
                "PUT",
                name,
                headers={
                    "content-type": "application/jsonl",
                    "if-none-match": "*",
                    "x-amz-checksum-sha256": checksum,
                    "x-amz-sdk-checksum-algorithm": "SHA256",
                },
                content=iter_chunks(dataset_file),
                length=dataset_file.wire_bytes,
                payload_sha256=dataset_file.sha256,
            )
        except UnsuccessfulResponse as refusal:
            if refusal.status != httpx2.codes.PRECONDITION_FAILED:
                raise
            raise ObjectExists(name) from refusal

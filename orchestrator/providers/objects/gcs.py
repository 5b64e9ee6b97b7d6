"""A bucket of Google Cloud Storage, through its JSON API.

Every upload is a resumable session, whatever its size: the storage then compares the MD5 that the session was started
with before it makes the object, and it knows by itself how many bytes it has received.

The id of a session is all that a later request needs. It permits only to send this one content, since any other has
another MD5 and is refused, so it may be stored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import httpx2
import msgspec

from orchestrator.core.capabilities import OBJECT_PART_BYTES
from orchestrator.core.errors import FileNotReady, RemoteNotFound
from orchestrator.core.remote import MultipartUpload
from orchestrator.core.secret import Redactor, Secret
from orchestrator.providers.base import DatasetFile, Deadline
from orchestrator.providers.http.api_client import UnsuccessfulResponse
from orchestrator.providers.http.client import HttpClient
from orchestrator.providers.http.response import HttpResponse
from orchestrator.providers.http.response_decoder import RemoteId, check_id
from orchestrator.providers.http.rest_client import RestClient
from orchestrator.providers.http.status_errors import ErrorCodes
from orchestrator.providers.objects.bucket import (
    ObjectExists,
    StoredObject,
    check_time_for_part,
    load_progress,
    save_progress,
)
from orchestrator.providers.objects.content_hashes import ContentHashes
from orchestrator.providers.upload_stream import iter_part_chunks

DEFAULT_STORAGE_URL: Final = "https://storage.googleapis.com"
INCOMPLETE_STATUS: Final = 308
GONE_STATUSES: Final = frozenset({404, 410})  # of a session that has expired or was cancelled
CANCELLED_STATUS: Final = 499
MAX_FRUITLESS_PARTS: Final = 3  # parts in a row of which the storage kept nothing
_RANGE = re.compile(r"bytes=0-(\d+)")


class GcsObject(msgspec.Struct):
    """The fields of an object that are used. Sizes are texts."""

    name: RemoteId
    size: int
    md5_hash: str | None = msgspec.field(default=None, name="md5Hash")


OBJECT_DECODER: Final = msgspec.json.Decoder(GcsObject, strict=False)


class GcsBucket:
    """One bucket, with the key of one account."""

    def __init__(
        self,
        http: HttpClient,
        storage_url: str,
        bucket: str,
        *,
        key: Secret,
        account: str,
        redact: Redactor,
        error_codes: ErrorCodes,
        hashes: ContentHashes,
        part_bytes: int = OBJECT_PART_BYTES,
    ) -> None:
        self.account_name = account
        self._client = RestClient(http, storage_url, key=key, account=account, redact=redact, error_codes=error_codes)
        self._bucket = bucket
        self._hashes = hashes
        self._part_bytes = part_bytes

    def format_address(self, name: str) -> str:
        return f"gs://{self._bucket}/{name}"

    async def find_object(self, name: str) -> StoredObject | None:
        try:
            async with self._client.read_call():
                path = f"/storage/v1/b/{self._bucket}/o/{name}"
                found = await self._client.get_decoded(OBJECT_DECODER, path)
                check_id(self.format_address(name), self.format_address(found.name), path)
        except RemoteNotFound:
            return None
        return StoredObject(name=found.name, bytes=found.size, checksum=found.md5_hash)

    async def find_difference(self, stored: StoredObject, dataset_file: DatasetFile) -> str | None:
        if stored.bytes != dataset_file.wire_bytes:
            return f"it has {stored.bytes:,} bytes, the file has {dataset_file.wire_bytes:,}"
        expected = await self._hashes.get_md5(dataset_file)
        if stored.checksum is None:
            return "it has no MD5, because it was composed of other objects"
        return None if stored.checksum == expected else f"its MD5 is {stored.checksum}, the file's is {expected}"

    async def create_object(self, name: str, dataset_file: DatasetFile, deadline: Deadline) -> StoredObject:
        md5 = await self._hashes.get_md5(dataset_file)
        async with self._client.write_call(deadline):
            try:
                return await self._upload(name, dataset_file, deadline, md5)
            except UnsuccessfulResponse as refusal:
                if refusal.status != httpx2.codes.PRECONDITION_FAILED:
                    raise
        await save_progress(dataset_file, None)
        raise ObjectExists(name)

    async def delete_object(self, name: str) -> None:
        with suppress(RemoteNotFound):
            async with self._client.read_call():
                await self._client.send("DELETE", f"/storage/v1/b/{self._bucket}/o/{name}")

    async def cancel_upload(self, upload_id: str) -> None:
        name, _, session = upload_id.partition("?")
        with suppress(RemoteNotFound):
            async with self._client.read_call():
                await self._send_to_session("DELETE", name, session, expected_status=CANCELLED_STATUS)

    async def _upload(self, name: str, dataset_file: DatasetFile, deadline: Deadline, md5: str) -> StoredObject:
        total = dataset_file.wire_bytes
        is_large = total > self._part_bytes  # the progress of a small file is not worth a write
        earlier = await load_progress(dataset_file, self._part_bytes) if is_large else None
        if earlier is None:
            session = await self._start_session(name, dataset_file, md5)
            if is_large:
                await save_progress(dataset_file, MultipartUpload(id=session, part_bytes=self._part_bytes))
            offset = 0
        else:
            session = earlier.id
            answer = await self._query_session(name, session, dataset_file)
            if answer.status != INCOMPLETE_STATUS:
                return await self._finish(answer, dataset_file)
            offset = _parse_received_bytes(answer)
        fruitless = 0
        while fruitless < MAX_FRUITLESS_PARTS:
            length = min(self._part_bytes, total - offset)
            if is_large:
                progress = f"{offset:,} of {total:,} bytes of the file have been sent"
                check_time_for_part(deadline, length, progress, self.account_name)
            answer = await self._send_part(name, session, dataset_file, offset, length)
            if answer.status != INCOMPLETE_STATUS:
                return await self._finish(answer, dataset_file)
            received = _parse_received_bytes(answer)
            fruitless = 0 if received > offset else fruitless + 1
            offset = received
        raise ValueError(f"the upload session has kept nothing of {MAX_FRUITLESS_PARTS} parts in a row")

    async def _start_session(self, name: str, dataset_file: DatasetFile, md5: str) -> str:
        """Start a session for an object that does not exist, and return its id, after the name of the object."""
        answer = await self._client.send(
            "POST",
            f"/upload/storage/v1/b/{self._bucket}/o",
            params={"uploadType": "resumable", "name": name, "ifGenerationMatch": "0"},
            json={"name": name, "md5Hash": md5, "metadata": {"sha256": dataset_file.sha256}},
            headers={
                "x-upload-content-type": "application/jsonl",
                "x-upload-content-length": str(dataset_file.wire_bytes),
            },
        )
        # Only the id is used, and not the address: the key must not go to a host that a response names.
        query = parse_qs(urlsplit(answer.headers.get("location") or "").query)
        return f"{name}?{msgspec.convert(query['upload_id'][0], str)}"

    async def _query_session(self, name: str, session: str, dataset_file: DatasetFile) -> HttpResponse:
        """Ask how much has been received. Raises FileNotReady if the session has ended: a new one is started."""
        headers = {"content-range": f"bytes */{dataset_file.wire_bytes}", "content-length": "0"}
        try:
            return await self._send_to_session("PUT", name, session.partition("?")[2], headers=headers)
        except UnsuccessfulResponse as refusal:
            if refusal.status not in GONE_STATUSES:
                raise
            await save_progress(dataset_file, None)
            text = "the upload session has expired; the upload is started again"
            raise FileNotReady(text, account=self.account_name) from refusal

    async def _send_part(
        self, name: str, session: str, dataset_file: DatasetFile, offset: int, length: int
    ) -> HttpResponse:
        last = offset + length - 1
        headers = {
            "content-range": f"bytes {offset}-{last}/{dataset_file.wire_bytes}",
            "content-length": str(length),
        }
        content = iter_part_chunks(dataset_file, offset, length)
        return await self._send_to_session(
            "PUT", name, session.partition("?")[2], headers=headers, content=content, timeout=None
        )

    async def _send_to_session(
        self,
        method: str,
        name: str,
        session: str,
        *,
        headers: Mapping[str, str] | None = None,
        expected_status: int = INCOMPLETE_STATUS,
        **options: Any,
    ) -> HttpResponse:
        return await self._client.send(
            method,
            f"/upload/storage/v1/b/{self._bucket}/o",
            params={"uploadType": "resumable", "name": name, "upload_id": session},
            headers=headers,
            expected_status=expected_status,
            **options,
        )

    async def _finish(self, answer: HttpResponse, dataset_file: DatasetFile) -> StoredObject:
        await save_progress(dataset_file, None)
        made = self._client.decode(OBJECT_DECODER, answer.content, "/upload")
        return StoredObject(name=made.name, bytes=made.size, checksum=made.md5_hash)


def _parse_received_bytes(answer: HttpResponse) -> int:
    """Return how many bytes the session has. Without a Range it has none."""
    text = answer.headers.get("range")
    if text is None:
        return 0
    found = _RANGE.fullmatch(text)
    if found is None:
        raise ValueError(f"the range {text[:40]!r} of an upload session is not understood")
    return int(found[1]) + 1

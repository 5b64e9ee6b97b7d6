"""Uploads a large file to S3 in parts, and continues after a restart without sending a received part again."""

# How it works
#
# Create the upload, send its parts in any order, complete it with the ETags of the parts. Only the last step makes an
# object, and only if there is none of this name. S3 verifies the SHA-256 of each part, and the checksum of the object
# is the hash of those.
#
# The progress is stored after each part. A process that is killed between the end of a part and the write has sent a
# part that it does not know of, one for each connection. So whoever continues asks S3 for its list of parts first. A
# key without the permission for that list, or a server without it, costs those few parts again and nothing else.
#
# S3 keeps, and bills, the parts of an upload that is neither completed nor aborted. So an upload is aborted here if
# the object exists already, and `cleanup` aborts those of jobs that have ended.

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final
from urllib.parse import quote
from xml.sax.saxutils import escape

import httpx2

from orchestrator.core.errors import FileNotReady
from orchestrator.core.remote import MultipartUpload
from orchestrator.core.structs import replace
from orchestrator.providers.base import DatasetFile, Deadline
from orchestrator.providers.http.api_client import UnsuccessfulResponse
from orchestrator.providers.objects.bucket import (
    MIN_UPLOAD_BYTES_PER_SECOND,
    ObjectExists,
    load_progress,
    save_progress,
)
from orchestrator.providers.objects.s3_client import S3Client, find_xml_text
from orchestrator.providers.upload_stream import iter_part_chunks

MAX_CONCURRENT_PARTS: Final = 4
NO_LIST_STATUSES: Final = frozenset({403, 405, 501})  # the list of parts is not permitted, or not implemented
_PART = re.compile(r"<Part>(.*?)</Part>", re.DOTALL)


class S3PartUploader:
    """Uploads one file under one name. Runs inside `write_call`."""

    def __init__(
        self,
        client: S3Client,
        name: str,
        dataset_file: DatasetFile,
        deadline: Deadline,
        *,
        part_sha256s: Sequence[bytes],
        part_bytes: int,
    ) -> None:
        self._client = client
        self._name = name
        self._dataset_file = dataset_file
        self._deadline = deadline
        self._part_sha256s = part_sha256s
        self._part_bytes = part_bytes
        self._upload = MultipartUpload(id="", part_bytes=part_bytes)

    async def upload(self) -> None:
        """Send the missing parts and complete the object. Raises ObjectExists, and FileNotReady to continue."""
        earlier = await load_progress(self._dataset_file, self._part_bytes)
        if earlier is None:
            self._upload = replace(self._upload, id=await self._create_upload())
            await save_progress(self._dataset_file, self._upload)
        else:
            self._upload = earlier
        received = len(self._upload.parts)
        try:
            if earlier is not None:
                await self._add_unrecorded_parts()
            errors = await self._upload_missing_parts()
            if not errors and len(self._upload.parts) == len(self._part_sha256s):
                await self._complete()
                return
        except UnsuccessfulResponse as refusal:
            errors = [refusal]
        if earlier is not None and any(map(_is_gone, errors)):
            await self._restart("the upload has expired or was aborted")
        # Without progress the error is reported and backed off from; with some, the next attempt continues at once.
        if errors and len(self._upload.parts) == received:
            raise errors[0]
        raise self._build_not_ready(
            f"{len(self._upload.parts)} of {len(self._part_sha256s)} parts of the file have been sent"
        )

    async def _create_upload(self) -> str:
        headers = {"content-type": "application/jsonl", "x-amz-checksum-algorithm": "SHA256"}
        answer = await self._client.send("POST", self._name, "?uploads=", headers=headers)
        upload_id = find_xml_text(answer.content, "UploadId")
        if not upload_id:
            raise ValueError("the response to the start of an upload has no UploadId")
        # With the name, so that the upload can be cancelled by its id alone.
        return f"{self._name}?uploadId={quote(upload_id, safe='')}"

    async def _add_unrecorded_parts(self) -> None:
        """Add the parts that S3 has received and the stored progress lacks. Their bytes must be those of the file."""
        try:
            answer = await self._client.send("GET", self._name, f"?{self._query}")
        except UnsuccessfulResponse as refusal:
            if refusal.status in NO_LIST_STATUSES:
                return
            raise
        parts = {
            number: etag
            for number, etag, checksum in _iter_listed_parts(answer.content.decode("utf-8", "replace"))
            if 0 <= number < len(self._part_sha256s) and checksum == _encode(self._part_sha256s[number])
        }
        if parts.keys() - self._upload.parts.keys():
            self._upload = replace(self._upload, parts={**parts, **self._upload.parts})
            await save_progress(self._dataset_file, self._upload)

    @property
    def _query(self) -> str:
        return self._upload.id.partition("?")[2]

    async def _upload_missing_parts(self) -> list[BaseException]:
        """Send the missing parts and return the errors. One failed part does not stop the others."""
        missing = iter([number for number in range(len(self._part_sha256s)) if number not in self._upload.parts])
        outcomes = await asyncio.gather(
            *(self._upload_next_parts(missing) for _ in range(MAX_CONCURRENT_PARTS)), return_exceptions=True
        )
        return [outcome for outcome in outcomes if outcome is not None]

    async def _upload_next_parts(self, missing: Iterator[int]) -> None:
        while (
            self._deadline.seconds_left > self._part_bytes / MIN_UPLOAD_BYTES_PER_SECOND
            and (number := next(missing, None)) is not None
        ):
            etag = await self._upload_part(number)
            self._upload = replace(self._upload, parts={**self._upload.parts, number: etag})
            await save_progress(self._dataset_file, self._upload)

    async def _upload_part(self, number: int) -> str:
        start, digest = number * self._part_bytes, self._part_sha256s[number]
        length = min(self._part_bytes, self._dataset_file.wire_bytes - start)
        answer = await self._client.send(
            "PUT",
            self._name,
            f"?partNumber={number + 1}&{self._query}",
            headers={"x-amz-checksum-sha256": _encode(digest)},
            content=iter_part_chunks(self._dataset_file, start, length),
            length=length,
            payload_sha256=digest.hex(),
        )
        return answer.headers["etag"]

    async def _complete(self) -> None:
        parts = "".join(
            f"<Part><ETag>{escape(self._upload.parts[number])}</ETag>"
            f"<ChecksumSHA256>{_encode(digest)}</ChecksumSHA256>"
            f"<PartNumber>{number + 1}</PartNumber></Part>"
            for number, digest in enumerate(self._part_sha256s)
        )
        body = f'<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{parts}'
        headers = {"content-type": "application/xml", "if-none-match": "*"}
        try:
            await self._client.send(
                "POST",
                self._name,
                f"?{self._query}",
                headers=headers,
                content=f"{body}</CompleteMultipartUpload>".encode(),
            )
        except UnsuccessfulResponse as refusal:
            if refusal.status == httpx2.codes.PRECONDITION_FAILED:
                with suppress(UnsuccessfulResponse):
                    await self._client.send("DELETE", self._name, f"?{self._query}")
                raise ObjectExists(self._name) from refusal
            if refusal.status == httpx2.codes.CONFLICT:  # another upload of this name ends now; this one is void
                await self._restart("another upload of the same object ended at the same moment")
            raise
        await save_progress(self._dataset_file, None)

    async def _restart(self, reason: str) -> None:
        await save_progress(self._dataset_file, None)
        raise self._build_not_ready(f"{reason}; it is started again")

    def _build_not_ready(self, message: str) -> FileNotReady:
        return FileNotReady(message, account=self._client.account_name)


def _iter_listed_parts(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield the number, counted from 0, the ETag and the checksum of each part in a list. S3 lists up to 1,000."""
    for part in _PART.findall(text):
        number, etag, checksum = (find_xml_text(part, tag) for tag in ("PartNumber", "ETag", "ChecksumSHA256"))
        if number and number.isdecimal() and etag and checksum:
            yield int(number) - 1, etag, checksum


def _encode(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def _is_gone(error: BaseException) -> bool:
    return isinstance(error, UnsuccessfulResponse) and error.status == httpx2.codes.NOT_FOUND

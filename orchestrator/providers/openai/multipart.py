"""The Uploads API: a large file in parts, several at a time, going on after a restart where it stopped.

Parts come in any order, expire an hour after the upload was created, and cost nothing if they are sent twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import msgspec
import openai
from openai.types import Upload
from openai.types.uploads import UploadPart

from orchestrator.core.remote import MultipartUpload
from orchestrator.providers.base import DatasetFile, Deadline, UploadStateStore
from orchestrator.providers.http.response_decoder import RemoteId
from orchestrator.providers.openai.client import OpenAIClient
from orchestrator.providers.openai.responses import OpenAIFile
from orchestrator.providers.upload_stream import open_part_stream

MAX_CONCURRENT_PARTS: Final = 4
MIN_UPLOAD_BYTES_PER_SECOND: Final = 500_000  # bytes a second that a part's time allows for
ASSEMBLY_BYTES_PER_SECOND: Final = (
    20_000_000  # bytes a second that the provider is given to make one file of the parts
)
MAX_ASSEMBLY_SECONDS: Final = 30.0
GONE_STATUSES: Final = frozenset({400, 404})


class UploadIncomplete(Exception):
    """Some of it is there; the next attempt goes on."""


async def upload_parts(
    client: OpenAIClient, dataset_file: DatasetFile, deadline: Deadline, part_bytes: int
) -> tuple[MultipartUpload, bool]:
    """All parts, and whether some are of an earlier attempt. Raises Unfinished when there is no time for the rest."""
    notes = dataset_file.upload_state
    upload = await notes.load() if notes else None
    resumed = upload is not None
    if upload is None or upload.part_bytes != part_bytes:
        upload = await _create_upload(client, dataset_file, part_bytes)
        await _save_state(notes, upload)
    sending = _PartUploader(client, dataset_file, deadline, upload)
    failed = await sending.upload_missing()
    if not failed and sending.is_complete:
        if deadline.seconds_left < min(dataset_file.wire_bytes / ASSEMBLY_BYTES_PER_SECOND, MAX_ASSEMBLY_SECONDS):
            raise UploadIncomplete(
                f"all {sending.part_count} parts of the file have been sent; the end of it comes next"
            )
        return sending.upload, resumed
    if resumed and any(
        isinstance(error, openai.APIStatusError) and error.status_code in GONE_STATUSES for error in failed
    ):
        await _save_state(notes, None)
        raise UploadIncomplete(f"upload {upload.id} is over; it is begun anew") from failed[0]
    if failed and len(sending.upload.parts) == len(upload.parts):
        raise failed[0]
    raise UploadIncomplete(f"{len(sending.upload.parts)} of {sending.part_count} parts of the file have been sent")


async def complete_upload(
    client: OpenAIClient,
    dataset_file: DatasetFile,
    upload: MultipartUpload,
    deadline: Deadline,
    *,
    resumed: bool,
    md5: str,
) -> OpenAIFile:
    """Make one file of the parts; the provider compares the MD5. What was resumed may be over: then Unfinished."""
    ids, timeout = [upload.parts[number] for number in range(len(upload.parts))], max(deadline.seconds_left, 1.0)
    complete = client.sdk.uploads.complete
    try:
        done = await complete(upload.id, part_ids=ids, md5=md5, timeout=timeout, extra_headers=client.auth_headers)
    except openai.APIStatusError as error:
        if error.status_code not in GONE_STATUSES:
            raise
        await _save_state(dataset_file.upload_state, None)
        if resumed:
            raise UploadIncomplete(f"upload {upload.id} is over; it is begun anew") from error
        raise
    if done.file is None:
        raise ValueError(f"upload {upload.id} is {done.status} and has no file")
    await _save_state(dataset_file.upload_state, None)
    shown = {"id": done.file.id, "status": done.file.status, "status_details": done.file.status_details}
    return msgspec.convert(shown, OpenAIFile)


class _PartUploader:
    """The parts that are not there yet, a few at a time."""

    def __init__(
        self, client: OpenAIClient, dataset_file: DatasetFile, deadline: Deadline, upload: MultipartUpload
    ) -> None:
        self.upload = upload
        self.part_count = -(-dataset_file.wire_bytes // upload.part_bytes)
        self._client = client
        self._dataset_file = dataset_file
        self._deadline = deadline

    @property
    def is_complete(self) -> bool:
        return len(self.upload.parts) == self.part_count

    async def upload_missing(self) -> list[BaseException]:
        """Send what is missing; what went wrong."""
        missing = iter([number for number in range(self.part_count) if number not in self.upload.parts])
        outcomes = await asyncio.gather(
            *(self._upload_next_parts(missing) for _ in range(MAX_CONCURRENT_PARTS)), return_exceptions=True
        )
        return [outcome for outcome in outcomes if outcome is not None]

    async def _upload_next_parts(self, missing: Iterator[int]) -> None:
        size = self.upload.part_bytes
        while (
            self._deadline.seconds_left > size / MIN_UPLOAD_BYTES_PER_SECOND
            and (number := next(missing, None)) is not None
        ):
            with open_part_stream(self._dataset_file, number * size, size) as data:
                part = await self._client.sdk.uploads.parts.create(
                    self.upload.id, data=("part", data), extra_headers=self._client.auth_headers
                )
            self.upload = replace(self.upload, parts={**self.upload.parts, number: _parse_id(part)})
            await _save_state(self._dataset_file.upload_state, self.upload)


async def _create_upload(client: OpenAIClient, dataset_file: DatasetFile, part_bytes: int) -> MultipartUpload:
    made = await client.sdk.uploads.create(
        filename=dataset_file.filename,
        purpose="fine-tune",
        bytes=dataset_file.wire_bytes,
        mime_type="application/jsonl",
        extra_headers=client.auth_headers,
    )
    return MultipartUpload(id=_parse_id(made), part_bytes=part_bytes)


def _parse_id(made: Upload | UploadPart) -> str:
    """The id of an upload or a part: the SDK takes whatever the server sends. Raises ValueError when it is none."""
    return msgspec.convert(made.id, RemoteId)


async def _save_state(store: UploadStateStore | None, upload: MultipartUpload | None) -> None:
    if store is not None:
        await store.save(upload)

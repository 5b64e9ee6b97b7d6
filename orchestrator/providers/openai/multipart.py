"""Uploads a large file in parts through OpenAI's Uploads API, and continues after a restart."""

# Theory of operation
#
# An upload has three steps at the provider: create it, send its parts in any order, complete it with the ids of the
# parts in their order and the MD5 of the whole. Only the last step makes a file, so everything before it may be
# repeated without harm: a part that is sent twice is a part that is not used.
#
# The progress (`MultipartUpload`: upload id, size of a part, part number -> part id) is stored after each part. It is
# stored after the response and not before the request, because the id is only known then; a crash in between costs
# one part. A later attempt, in another process perhaps, loads the progress and sends the missing parts. It starts
# again when the size of a part has changed, since the numbers then mean other bytes.
#
# One attempt lasts as long as its intent, which is shorter than a large upload takes. So a part is only started if
# the time left is enough for it at MIN_UPLOAD_BYTES_PER_SECOND, and `UploadIncomplete` says "continue": the caller
# reports it as FileNotReady, and the next attempt goes on. Completing gets an attempt with enough time left, because
# the provider assembles the file before it responds, and a lost response to it would cost a look-up.
#
# The provider deletes an upload after an hour. A resumed upload that it no longer knows (400 or 404) is forgotten and
# started again. For one that was created in this attempt the same status is a real error, or it would loop for ever.

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Final

import msgspec
import openai
from openai.types import Upload
from openai.types.uploads import UploadPart

from orchestrator.core.remote import MultipartUpload
from orchestrator.core.structs import replace
from orchestrator.providers.base import DatasetFile, Deadline, UploadStateStore
from orchestrator.providers.http.response_decoder import RemoteId
from orchestrator.providers.openai.client import OpenAIClient
from orchestrator.providers.openai.responses import OpenAIFile
from orchestrator.providers.upload_stream import open_part_stream

MAX_CONCURRENT_PARTS: Final = 4
MIN_UPLOAD_BYTES_PER_SECOND: Final = 500_000  # slowest upload for which a part is still started
ASSEMBLY_BYTES_PER_SECOND: Final = 20_000_000  # assumed speed at which the provider assembles the file
MAX_ASSEMBLY_SECONDS: Final = 30.0  # longest time that is reserved for that
GONE_STATUSES: Final = frozenset({400, 404})  # of an upload that has expired or was cancelled


class UploadIncomplete(Exception):
    """The file is not complete yet; the next attempt continues."""


async def upload_parts(
    client: OpenAIClient, dataset_file: DatasetFile, deadline: Deadline, part_bytes: int
) -> tuple[MultipartUpload, bool]:
    """Send all missing parts. Returns the upload and whether an earlier attempt began it.

    Raises UploadIncomplete when the time is too short for the rest.
    """
    store = dataset_file.upload_state
    upload = await store.load() if store else None
    resumed = upload is not None
    if upload is None or upload.part_bytes != part_bytes:
        upload = await _create_upload(client, dataset_file, part_bytes)
        await _save_state(store, upload)
    uploader = _PartUploader(client, dataset_file, deadline, upload)
    errors = await uploader.upload_missing()
    if not errors and uploader.is_complete:
        if deadline.seconds_left < min(dataset_file.wire_bytes / ASSEMBLY_BYTES_PER_SECOND, MAX_ASSEMBLY_SECONDS):
            raise UploadIncomplete(
                f"all {uploader.part_count} parts of the file have been sent; the next attempt completes it"
            )
        return uploader.upload, resumed
    if resumed and any(
        isinstance(error, openai.APIStatusError) and error.status_code in GONE_STATUSES for error in errors
    ):
        await _save_state(store, None)
        raise UploadIncomplete(f"upload {upload.id} has expired; it is started again") from errors[0]
    # Without any progress the error is reported and backed off from; with some, the next attempt continues at once.
    if errors and len(uploader.upload.parts) == len(upload.parts):
        raise errors[0]
    raise UploadIncomplete(f"{len(uploader.upload.parts)} of {uploader.part_count} parts of the file have been sent")


async def complete_upload(
    client: OpenAIClient,
    dataset_file: DatasetFile,
    upload: MultipartUpload,
    deadline: Deadline,
    *,
    resumed: bool,
    md5: str,
) -> OpenAIFile:
    """Make one file of the parts; the provider checks the MD5. Raises UploadIncomplete if it has expired."""
    ids, timeout = [upload.parts[number] for number in range(len(upload.parts))], max(deadline.seconds_left, 1.0)
    complete = client.sdk.uploads.complete
    try:
        completed = await complete(
            upload.id, part_ids=ids, md5=md5, timeout=timeout, extra_headers=client.auth_headers
        )
    except openai.APIStatusError as error:
        if error.status_code not in GONE_STATUSES:
            raise
        await _save_state(dataset_file.upload_state, None)
        if resumed:
            raise UploadIncomplete(f"upload {upload.id} has expired; it is started again") from error
        raise
    if completed.file is None:
        raise ValueError(f"upload {upload.id} is {completed.status} and has no file")
    await _save_state(dataset_file.upload_state, None)
    file = completed.file
    values = {"id": file.id, "status": file.status, "status_details": file.status_details}
    return msgspec.convert(values, OpenAIFile)  # validates what the SDK does not


class _PartUploader:
    """Sends the missing parts, at most `MAX_CONCURRENT_PARTS` at a time."""

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
        """Send the missing parts and return the errors. One failed part does not stop the others."""
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
    created = await client.sdk.uploads.create(
        filename=dataset_file.filename,
        purpose="fine-tune",
        bytes=dataset_file.wire_bytes,
        mime_type="application/jsonl",
        extra_headers=client.auth_headers,
    )
    return MultipartUpload(id=_parse_id(created), part_bytes=part_bytes)


def _parse_id(created: Upload | UploadPart) -> str:
    """Return the id of an upload or a part, which the SDK does not validate. Raises ValueError."""
    return msgspec.convert(created.id, RemoteId)


async def _save_state(store: UploadStateStore | None, upload: MultipartUpload | None) -> None:
    if store is not None:
        await store.save(upload)

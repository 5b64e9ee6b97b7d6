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

from orchestrator.core.remote import PartedUpload
from orchestrator.providers.answers import Id
from orchestrator.providers.base import Deadline, FileToSend, UploadNotes
from orchestrator.providers.openai_answers import ShownFile
from orchestrator.providers.openai_calls import Calls
from orchestrator.providers.wire import open_part

AT_ONCE: Final = 4
SLOWEST: Final = 500_000  # bytes a second that a part's time allows for
JOINING: Final = 20_000_000  # bytes a second that the provider is given to make one file of the parts
LONGEST_END: Final = 30.0
GONE: Final = frozenset({400, 404})


class Unfinished(Exception):
    """Some of it is there; the next attempt goes on."""


async def send_parts(
    calls: Calls, wanted: FileToSend, deadline: Deadline, part_bytes: int
) -> tuple[PartedUpload, bool]:
    """All parts, and whether some are of an earlier attempt. Raises Unfinished when there is no time for the rest."""
    notes = wanted.notes
    upload = await notes.load() if notes else None
    resumed = upload is not None
    if upload is None or upload.part_bytes != part_bytes:
        upload = await _begin(calls, wanted, part_bytes)
        await _note(notes, upload)
    sending = _Sending(calls, wanted, deadline, upload)
    failed = await sending.all()
    if not failed and sending.complete:
        if deadline.left < min(wanted.wire_bytes / JOINING, LONGEST_END):
            raise Unfinished(f"all {sending.count} parts of the file have been sent; the end of it comes next")
        return sending.upload, resumed
    if resumed and any(isinstance(error, openai.APIStatusError) and error.status_code in GONE for error in failed):
        await _note(notes, None)
        raise Unfinished(f"upload {upload.id} is over; it is begun anew") from failed[0]
    if failed and len(sending.upload.parts) == len(upload.parts):
        raise failed[0]
    raise Unfinished(f"{len(sending.upload.parts)} of {sending.count} parts of the file have been sent")


async def complete(
    calls: Calls,
    wanted: FileToSend,
    upload: PartedUpload,
    deadline: Deadline,
    *,
    resumed: bool,
    md5: str,
) -> ShownFile:
    """Make one file of the parts; the provider compares the MD5. What was resumed may be over: then Unfinished."""
    ids, timeout = [upload.parts[number] for number in range(len(upload.parts))], max(deadline.left, 1.0)
    complete = calls.sdk.uploads.complete
    try:
        done = await complete(upload.id, part_ids=ids, md5=md5, timeout=timeout, extra_headers=calls.headers)
    except openai.APIStatusError as error:
        if error.status_code not in GONE:
            raise
        await _note(wanted.notes, None)
        if resumed:
            raise Unfinished(f"upload {upload.id} is over; it is begun anew") from error
        raise
    if done.file is None:
        raise ValueError(f"upload {upload.id} is {done.status} and has no file")
    await _note(wanted.notes, None)
    shown = {"id": done.file.id, "status": done.file.status, "status_details": done.file.status_details}
    return msgspec.convert(shown, ShownFile)


class _Sending:
    """The parts that are not there yet, a few at a time."""

    def __init__(self, calls: Calls, wanted: FileToSend, deadline: Deadline, upload: PartedUpload) -> None:
        self.upload = upload
        self.count = -(-wanted.wire_bytes // upload.part_bytes)
        self._calls = calls
        self._wanted = wanted
        self._deadline = deadline

    @property
    def complete(self) -> bool:
        return len(self.upload.parts) == self.count

    async def all(self) -> list[BaseException]:
        """Send what is missing; what went wrong."""
        missing = iter([number for number in range(self.count) if number not in self.upload.parts])
        outcomes = await asyncio.gather(*(self._some(missing) for _ in range(AT_ONCE)), return_exceptions=True)
        return [outcome for outcome in outcomes if outcome is not None]

    async def _some(self, missing: Iterator[int]) -> None:
        size = self.upload.part_bytes
        while self._deadline.left > size / SLOWEST and (number := next(missing, None)) is not None:
            with open_part(self._wanted, number * size, size) as data:
                part = await self._calls.sdk.uploads.parts.create(
                    self.upload.id, data=("part", data), extra_headers=self._calls.headers
                )
            self.upload = replace(self.upload, parts={**self.upload.parts, number: _id_of(part)})
            await _note(self._wanted.notes, self.upload)


async def _begin(calls: Calls, wanted: FileToSend, part_bytes: int) -> PartedUpload:
    made = await calls.sdk.uploads.create(
        filename=wanted.filename,
        purpose="fine-tune",
        bytes=wanted.wire_bytes,
        mime_type="application/jsonl",
        extra_headers=calls.headers,
    )
    return PartedUpload(id=_id_of(made), part_bytes=part_bytes)


def _id_of(made: Upload | UploadPart) -> str:
    """The id of an upload or a part: the SDK takes whatever the server sends. Raises ValueError when it is none."""
    return msgspec.convert(made.id, Id)


async def _note(notes: UploadNotes | None, upload: PartedUpload | None) -> None:
    if notes is not None:
        await notes.save(upload)

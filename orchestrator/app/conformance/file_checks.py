"""The checks of a server's file calls: upload, list, retrieve and delete."""

from __future__ import annotations

from typing import Final

from orchestrator.app.conformance.report import ContractResult
from orchestrator.app.conformance.trial import Trial
from orchestrator.core.errors import ProviderError, RemoteNotFound, UnknownOutcome
from orchestrator.core.remote import RemoteFile, RemoteFileStatus

UPLOAD, FIND_FILE, FILE_STATUS, DELETE_FILE = "upload", "find file", "file status", "delete file"
LIST_LAG_SECONDS: Final = 15.0  # how long a new file or job may be missing in a list: an intent lasts longer


async def check_upload(trial: Trial) -> None:
    """Upload the dataset."""
    try:
        trial.remote_file = await trial.provider.upload_file(trial.file, trial.start_deadline())
    except ProviderError as error:
        trial.remote_file = await _find_uploaded_file(trial) if isinstance(error, UnknownOutcome) else None
        fix = "Answer POST /files with the file's id; then no job could be created without a file."
        trial.add(UPLOAD, ContractResult.MISSING, error.message, fix if trial.remote_file is None else "")
        return
    size = trial.remote_file.bytes
    if size not in (None, trial.file.wire_bytes, trial.file.bytes):
        message = f"the server reports {size} bytes, and {trial.file.wire_bytes} were sent"
        trial.add(UPLOAD, ContractResult.MISSING, message, "Report the size of the file in `bytes`.")
        return
    trial.add(UPLOAD, ContractResult.WORKS, f"{trial.file.examples} chats, {trial.file.wire_bytes} bytes")


async def _find_uploaded_file(trial: Trial) -> RemoteFile | None:
    try:
        return await trial.provider.find_file(trial.file)
    except ProviderError:
        return None


async def check_file_list(trial: Trial) -> None:
    """Find the uploaded file by its name, as the service does after the answer to an upload was lost."""
    found: list[RemoteFile] = []

    async def is_listed() -> bool:
        file = await trial.provider.find_file(trial.file)
        found.extend([file] if file else [])
        return bool(found)

    fix = "Answer GET /files with every file: id, filename and bytes."
    try:
        if not await trial.wait_for(is_listed, LIST_LAG_SECONDS):
            message = "the list does not contain the uploaded file; after a lost answer it is uploaded again"
            trial.add(FIND_FILE, ContractResult.LIMITED, message, fix)
        elif trial.remote_file and found[0].id != trial.remote_file.id:
            message = f"the list has the file as {found[0].id}, the upload was answered with {trial.remote_file.id}"
            trial.add(FIND_FILE, ContractResult.MISSING, message, "Use one id for one file.")
        else:
            trial.add(FIND_FILE, ContractResult.WORKS, "found by its name and size")
    except ProviderError as error:
        message = f"{error.message}; the service searches for the file before it uploads one"
        trial.add(FIND_FILE, ContractResult.MISSING, message, fix)


async def check_file_status(trial: Trial) -> None:
    """Poll the file until a job can use it."""
    if trial.remote_file is None:
        return
    file_id, seen = trial.remote_file.id, [trial.remote_file]

    async def is_processed() -> bool:
        seen.append(await trial.provider.get_file(file_id))
        return seen[-1].status is not RemoteFileStatus.PROCESSING and not _is_being_processed(seen[-1])

    try:
        await trial.wait_for(is_processed)
    except ProviderError as error:
        trial.add(FILE_STATUS, ContractResult.MISSING, error.message, "Answer GET /files/ID with the file.")
        return
    last = seen[-1]
    if last.status is RemoteFileStatus.READY:
        trial.add(FILE_STATUS, ContractResult.WORKS, last.raw_status)
    elif last.status is RemoteFileStatus.UPLOADED:
        message = f"the status is {last.raw_status!r}, so that each job waits 10 minutes before it is created"
        trial.add(FILE_STATUS, ContractResult.LIMITED, message, 'Report the status "processed" for a usable file.')
    else:
        message = f"the status is {last.raw_status!r}: {last.message or 'the server gives no reason'}"
        trial.add(FILE_STATUS, ContractResult.MISSING, message, 'Report the status "processed" for a usable file.')


def _is_being_processed(file: RemoteFile) -> bool:
    """Return whether a status that means only "arrived" may still be followed by another one."""
    return file.status is RemoteFileStatus.UPLOADED and bool(file.raw_status)


async def check_file_deletion(trial: Trial) -> None:
    """Delete the uploaded file, and check that it is gone."""
    if trial.remote_file is None:
        return
    file_id = trial.remote_file.id
    fix = "Answer DELETE /files/ID, and then GET /files/ID with 404; `orchestrator prune` needs both."
    try:
        await trial.provider.delete_file(file_id)
        remaining = await trial.provider.get_file(file_id)
    except RemoteNotFound:
        remaining = None
    except ProviderError as error:
        trial.leftovers.append(f"file {file_id}: {error.message}")
        trial.add(DELETE_FILE, ContractResult.LIMITED, error.message, fix)
        return
    if remaining is None or remaining.status is RemoteFileStatus.GONE:
        trial.remote_file = None
        trial.add(DELETE_FILE, ContractResult.WORKS, "the file is gone")
        return
    trial.leftovers.append(f"file {file_id}: the server still has it")
    trial.add(DELETE_FILE, ContractResult.LIMITED, "the server still has the file after its deletion", fix)

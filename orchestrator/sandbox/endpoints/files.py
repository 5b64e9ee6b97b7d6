"""The files endpoints, including the result files of jobs."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from pathlib import PurePosixPath
from typing import Any
from uuid import uuid4

from orchestrator.sandbox.api_call import ApiCall
from orchestrator.sandbox.blob_store import IncomingBlob
from orchestrator.sandbox.paging import add_first_and_last_id, build_page
from orchestrator.sandbox.records import SandboxFile, SandboxJob
from orchestrator.sandbox.response import ApiResponse, SandboxApiError, bad_request, not_found
from orchestrator.sandbox.simulation.job_progress import build_metrics, list_reported_steps
from orchestrator.sandbox.state import SandboxState
from orchestrator.sandbox.validation.multipart_form import MultipartForm, parse_multipart_form
from orchestrator.sandbox.validation.training_file import validate_training_file

PURPOSES = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")
MAX_FILE_BYTES = 512 * 1024 * 1024
MAX_LISTED_FILES = 10_000
LIFETIME_SECONDS_RANGE = range(3600, 2_592_000 + 1)
MAX_INLINE_CHECK_BYTES = 1024 * 1024  # smaller contents are validated without a thread
FORM_FIELDS = {"purpose", "expires_after[anchor]", "expires_after[seconds]"}


async def create_file(call: ApiCall) -> ApiResponse:
    """Handle POST /v1/files. The body is written to disk as it arrives, never held in memory."""
    content_type = call.request.headers.get("content-type", "")
    with call.state.blobs.create_incoming() as incoming:
        form = await parse_multipart_form(content_type, call.request.stream(), incoming, MAX_FILE_BYTES)
        purpose, lifetime = _validate_form(form)
        file = await save_file(call, incoming, form.filename, purpose, lifetime)
    return ApiResponse(file_to_json(call.state, file, call.now))


async def save_file(
    call: ApiCall, incoming: IncomingBlob, filename: str, purpose: str, lifetime: float | None
) -> SandboxFile:
    """Validate received content, store it, and save the record of the file."""
    digest = incoming.finish()
    if purpose == "fine-tune":
        await _check_content(call.state, incoming, digest)
    if not call.state.settings.discard_files:
        call.state.blobs.save(incoming, digest)
    file = SandboxFile(
        id=f"file-{uuid4().hex[:24]}",
        account=call.account,
        created_at=call.now,
        filename=filename,
        purpose=purpose,
        bytes=incoming.size,
        sha256=digest,
        seconds=call.state.settings.file_seconds,
        lifetime=lifetime,
        fate=call.deferred_faults,
    )
    return call.state.files.save(file)


async def list_files(call: ApiCall) -> ApiResponse:
    """Handle GET /v1/files. The newest file is first unless the query has another order."""
    order = call.query.get("order", "desc")
    if order not in {"asc", "desc"}:
        raise bad_request(f"Invalid 'order': expected 'asc' or 'desc', but got {order!r}.", "order")
    purpose = call.query.get("purpose")
    files = call.list_visible(call.state.files)
    bodies = [file_to_json(call.state, file, call.now) for file in files if purpose in {None, file.purpose}]
    if order == "desc":
        bodies.reverse()
    return ApiResponse(
        add_first_and_last_id(
            build_page(bodies, call.query, default=MAX_LISTED_FILES, maximum=MAX_LISTED_FILES), empty=""
        )
    )


async def retrieve_file(call: ApiCall) -> ApiResponse:
    """Handle GET /v1/files/{file_id}."""
    name = call.get_path_parameter("file_id")
    if name not in call.state.files.of(call.account) and (result := find_result_job(call, name)) is not None:
        return ApiResponse(result_to_json(result))
    return ApiResponse(file_to_json(call.state, get_file(call, name), call.now))


async def delete_file(call: ApiCall) -> ApiResponse:
    """Handle DELETE /v1/files/{file_id}."""
    file = get_file(call, call.get_path_parameter("file_id"))
    call.state.files.delete(file)
    if all(other.sha256 != file.sha256 for other in call.state.files):
        call.state.blobs.delete(file.sha256)
    return ApiResponse({"id": file.id, "object": "file", "deleted": True})


async def download_file_content(call: ApiCall) -> ApiResponse:
    """Handle GET /v1/files/{file_id}/content."""
    name = call.get_path_parameter("file_id")
    if name not in call.state.files.of(call.account) and (result := find_result_job(call, name)) is not None:
        return ApiResponse(encode_result(result))
    path = call.state.blobs.path(get_file(call, name).sha256)
    if path is None:
        raise SandboxApiError(404, f"The content of {name} was discarded.", param="id")
    return ApiResponse(path)


def get_file(call: ApiCall, name: str) -> SandboxFile:
    """Return a file of the caller. Raises SandboxApiError (404)."""
    file = call.state.files.of(call.account).get(name)
    if file is None or not file.is_visible(call.now):
        raise not_found("File object", name)
    return file


def get_file_status(state: SandboxState, file: SandboxFile, now: float) -> tuple[str, str | None]:
    """Return the status of a file at the time `now`, and its problem if the status is `error`."""
    if now < file.created_at + file.seconds:
        return "uploaded", None
    rejected = file.fate.get("reject_file")
    if rejected is not None:
        return "error", rejected["message"] or "The file was rejected."
    verdict = state.verdicts.of("").get(file.sha256) if file.purpose == "fine-tune" else None
    if verdict is not None and verdict.unreadable is not None:
        return "error", verdict.unreadable
    return "processed", None


def file_to_json(state: SandboxState, file: SandboxFile, now: float) -> dict[str, Any]:
    """Convert a file to the provider's JSON."""
    status, problem = get_file_status(state, file, now)
    body = {
        "id": file.id,
        "object": "file",
        "bytes": file.bytes,
        "created_at": int(file.created_at),
        "filename": file.filename,
        "purpose": file.purpose,
        "status": status,
    }
    if file.lifetime is not None:
        body["expires_at"] = int(file.created_at + file.lifetime)
    return body if problem is None else body | {"status_details": problem}


def validate_new_file(filename: str, purpose: str, size: int) -> None:
    """Validate name, purpose and size of a new file, uploaded at once or in parts. Raises SandboxApiError (400)."""
    if purpose not in PURPOSES:
        raise bad_request(f"'{purpose}' is not one of {list(PURPOSES)} - 'purpose'", "purpose")
    if size == 0:
        raise bad_request("The file is empty.", "file", "empty_file")
    if purpose == "fine-tune" and PurePosixPath(filename).suffix != ".jsonl":
        raise bad_request("Invalid file format for Fine-Tuning API. Must be .jsonl", "file", "invalid_file_format")


def parse_lifetime(anchor: object, seconds: object) -> float | None:
    """Parse `expires_after` as seconds; None if it is absent. Raises SandboxApiError (400)."""
    if anchor is None and seconds is None:
        return None
    if anchor != "created_at":
        raise bad_request("Invalid 'expires_after.anchor': expected 'created_at'.", "expires_after.anchor")
    if not str(seconds).isdecimal() or int(str(seconds)) not in LIFETIME_SECONDS_RANGE:
        raise bad_request("Invalid 'expires_after.seconds': expected 3600 to 2592000.", "expires_after.seconds")
    return float(str(seconds))


def _validate_form(form: MultipartForm) -> tuple[str, float | None]:
    if unknown := sorted(form.fields.keys() - FORM_FIELDS):
        raise bad_request(f"Unknown parameter: '{unknown[0]}'.", unknown[0], "unknown_parameter")
    if form.file_field != "file":
        raise bad_request("Missing required parameter: 'file'.", "file", "missing_required_parameter")
    if "purpose" not in form.fields:
        raise bad_request("Missing required parameter: 'purpose'.", "purpose", "missing_required_parameter")
    validate_new_file(form.filename, form.fields["purpose"], form.file.size)
    lifetime = parse_lifetime(form.fields.get("expires_after[anchor]"), form.fields.get("expires_after[seconds]"))
    return form.fields["purpose"], lifetime


async def _check_content(state: SandboxState, incoming: IncomingBlob, digest: str) -> None:
    """Validate the content, once for all accounts that upload it."""
    async with state.content_check_locks[digest]:
        if digest in state.verdicts.of(""):
            return
        if incoming.size <= MAX_INLINE_CHECK_BYTES:
            verdict = validate_training_file(incoming.path, digest)
        else:
            verdict = await asyncio.to_thread(validate_training_file, incoming.path, digest)
        state.verdicts.save(verdict)


def find_result_job(call: ApiCall, name: str) -> SandboxJob | None:
    """Return the succeeded job of the caller whose result file has this id."""
    for job in call.state.jobs.of(call.account).values():
        if job.result_file == name:
            timeline = call.state.get_timelines(call.account)[job.id]
            return job if timeline.get_status(call.now) == "succeeded" else None
    return None


def result_to_json(job: SandboxJob) -> dict[str, Any]:
    """Convert a result file to the provider's JSON."""
    return {
        "id": job.result_file,
        "object": "file",
        "bytes": len(encode_result(job)),
        "created_at": int(job.created_at),
        "filename": "step_metrics.csv",
        "purpose": "fine-tune-results",
        "status": "processed",
    }


def encode_result(job: SandboxJob) -> bytes:
    """Encode the metrics as CSV in base64, with one line per reported step."""
    steps = list_reported_steps(job)
    rows: list[list[Any]] = [["step", *build_metrics(job, steps[0])]]
    rows += ([step, *build_metrics(job, step).values()] for step in steps)
    return b64encode("".join(",".join(map(str, row)) + "\n" for row in rows).encode())

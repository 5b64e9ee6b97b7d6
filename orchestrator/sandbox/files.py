"""The files endpoints."""

from __future__ import annotations

import asyncio
from pathlib import PurePosixPath
from typing import Any
from uuid import uuid4

from orchestrator.sandbox.answer import Answer, Refusal, invalid, missing
from orchestrator.sandbox.blobs import Incoming
from orchestrator.sandbox.call import Call
from orchestrator.sandbox.form import Form, read_form
from orchestrator.sandbox.paging import page, with_ends
from orchestrator.sandbox.records import File
from orchestrator.sandbox.results import find_result, result_body, result_content
from orchestrator.sandbox.training_file import check_training_file
from orchestrator.sandbox.world import World

PURPOSES = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")
FILE_LIMIT = 512 * 1024 * 1024
LIST_LIMIT = 10_000
LIFETIMES = range(3600, 2_592_000 + 1)
INLINE = 1024 * 1024  # contents up to this size are checked without a thread
FIELDS = {"purpose", "expires_after[anchor]", "expires_after[seconds]"}


async def create_file(call: Call) -> Answer:
    """POST /v1/files: the body is never held in memory."""
    content_type = call.request.headers.get("content-type", "")
    with call.world.blobs.incoming() as incoming:
        form = await read_form(content_type, call.request.stream(), incoming, FILE_LIMIT)
        purpose, lifetime = _check(form)
        file = await keep_file(call, incoming, form.filename, purpose, lifetime)
    return Answer(file_body(call.world, file, call.now))


async def keep_file(call: Call, incoming: Incoming, filename: str, purpose: str, lifetime: float | None) -> File:
    """Judge received bytes, keep them and write down the file."""
    digest = incoming.finish()
    if purpose == "fine-tune":
        await _judge(call.world, incoming, digest)
    if not call.world.settings.discard_files:
        call.world.blobs.keep(incoming, digest)
    file = File(
        id=f"file-{uuid4().hex[:24]}",
        account=call.account,
        created_at=call.now,
        filename=filename,
        purpose=purpose,
        bytes=incoming.size,
        sha256=digest,
        seconds=call.world.settings.file_seconds,
        lifetime=lifetime,
        fate=call.fate,
    )
    return call.world.files.save(file)


async def list_files(call: Call) -> Answer:
    """GET /v1/files, newest first unless told."""
    order = call.query.get("order", "desc")
    if order not in {"asc", "desc"}:
        raise invalid(f"Invalid 'order': expected 'asc' or 'desc', but got {order!r}.", "order")
    purpose = call.query.get("purpose")
    files = call.listed(call.world.files)
    bodies = [file_body(call.world, file, call.now) for file in files if purpose in {None, file.purpose}]
    if order == "desc":
        bodies.reverse()
    return Answer(with_ends(page(bodies, call.query, usual=LIST_LIMIT, most=LIST_LIMIT), empty=""))


async def retrieve_file(call: Call) -> Answer:
    """GET /v1/files/{file_id}."""
    name = call.path("file_id")
    if name not in call.world.files.of(call.account) and (result := find_result(call, name)) is not None:
        return Answer(result_body(result))
    return Answer(file_body(call.world, find_file(call, name), call.now))


async def delete_file(call: Call) -> Answer:
    """DELETE /v1/files/{file_id}."""
    file = find_file(call, call.path("file_id"))
    call.world.files.remove(file)
    if all(other.sha256 != file.sha256 for other in call.world.files):
        call.world.blobs.remove(file.sha256)
    return Answer({"id": file.id, "object": "file", "deleted": True})


async def file_content(call: Call) -> Answer:
    """GET /v1/files/{file_id}/content."""
    name = call.path("file_id")
    if name not in call.world.files.of(call.account) and (result := find_result(call, name)) is not None:
        return Answer(result_content(result))
    path = call.world.blobs.path(find_file(call, name).sha256)
    if path is None:
        raise Refusal(404, f"The content of {name} was discarded.", param="id")
    return Answer(path)


def find_file(call: Call, name: str) -> File:
    """The caller's file of that id. Raises Refusal (404)."""
    file = call.world.files.of(call.account).get(name)
    if file is None or not file.visible(call.now):
        raise missing("File object", name)
    return file


def file_status(world: World, file: File, now: float) -> tuple[str, str | None]:
    """(status, what is wrong with it) at that time."""
    if now < file.created_at + file.seconds:
        return "uploaded", None
    rejected = file.fate.get("reject_file")
    if rejected is not None:
        return "error", rejected["message"] or "The file was rejected."
    verdict = world.verdicts.of("").get(file.sha256) if file.purpose == "fine-tune" else None
    if verdict is not None and verdict.unreadable is not None:
        return "error", verdict.unreadable
    return "processed", None


def file_body(world: World, file: File, now: float) -> dict[str, Any]:
    """The file as the provider shows it."""
    status, problem = file_status(world, file, now)
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


def check_new_file(filename: str, purpose: str, size: int) -> None:
    """What holds for any new file, in one piece or in parts. Raises Refusal (400)."""
    if purpose not in PURPOSES:
        raise invalid(f"'{purpose}' is not one of {list(PURPOSES)} - 'purpose'", "purpose")
    if size == 0:
        raise invalid("The file is empty.", "file", "empty_file")
    if purpose == "fine-tune" and PurePosixPath(filename).suffix != ".jsonl":
        raise invalid("Invalid file format for Fine-Tuning API. Must be .jsonl", "file", "invalid_file_format")


def parse_lifetime(anchor: object, seconds: object) -> float | None:
    """`expires_after` as seconds, None when it is not given. Raises Refusal (400)."""
    if anchor is None and seconds is None:
        return None
    if anchor != "created_at":
        raise invalid("Invalid 'expires_after.anchor': expected 'created_at'.", "expires_after.anchor")
    if not str(seconds).isdecimal() or int(str(seconds)) not in LIFETIMES:
        raise invalid("Invalid 'expires_after.seconds': expected 3600 to 2592000.", "expires_after.seconds")
    return float(str(seconds))


def _check(form: Form) -> tuple[str, float | None]:
    if unknown := sorted(form.fields.keys() - FIELDS):
        raise invalid(f"Unknown parameter: '{unknown[0]}'.", unknown[0], "unknown_parameter")
    if form.file_field != "file":
        raise invalid("Missing required parameter: 'file'.", "file", "missing_required_parameter")
    if "purpose" not in form.fields:
        raise invalid("Missing required parameter: 'purpose'.", "purpose", "missing_required_parameter")
    check_new_file(form.filename, form.fields["purpose"], form.file.size)
    lifetime = parse_lifetime(form.fields.get("expires_after[anchor]"), form.fields.get("expires_after[seconds]"))
    return form.fields["purpose"], lifetime


async def _judge(world: World, incoming: Incoming, digest: str) -> None:
    """Read the content once, whoever sends it."""
    async with world.judging[digest]:
        if digest in world.verdicts.of(""):
            return
        if incoming.size <= INLINE:
            verdict = check_training_file(incoming.path, digest)
        else:
            verdict = await asyncio.to_thread(check_training_file, incoming.path, digest)
        world.verdicts.save(verdict)

"""Azure's and Nebius' ways of speaking OpenAI's API, and servers without metadata: the sandbox behind a translator.

What our client may send is checked as strictly as the dialect is known; faults and state are the sandbox's own.
"""

from __future__ import annotations

import json
import re
from codecs import BOM_UTF8
from typing import Any
from urllib.parse import parse_qsl, urlencode
from uuid import UUID

from starlette.types import ASGIApp, Message, Receive, Scope, Send

CHECKPOINTS = re.compile(r".*/fine_tuning/jobs/[^/]+/checkpoints")
JOBS = re.compile(r".*/fine_tuning/jobs(/[^/]+)?(/cancel)?")
MODELS_LIST = re.compile(r".*/models")
MODEL = re.compile(r"(.*/models/)(.+)")
FILES = re.compile(r".*/files(/[^/]+)?")


class Refused(Exception):
    """The dialect does not know this."""


class Translator:
    """An ASGI application before the sandbox. Subclasses say what is asked and told differently."""

    prefix = "/v1"
    names_organization = True

    def __init__(self, sandbox: ASGIApp) -> None:
        self._sandbox = sandbox
        self.marked: set[str] = set()

    def job_request(self, body: dict[str, Any]) -> dict[str, Any]:
        """The sandbox's words for a creation. Raises Refused."""
        return body

    def job_answer(self, job: dict[str, Any]) -> dict[str, Any]:
        return job

    def checkpoint_answer(self, checkpoint: dict[str, Any]) -> dict[str, Any]:
        return checkpoint

    def model_request(self, name: str) -> str:
        return name

    def model_answer(self, model: dict[str, Any]) -> dict[str, Any]:
        return model

    def file_answer(self, file: dict[str, Any]) -> dict[str, Any]:
        return file

    def error_answer(self, error: dict[str, Any]) -> dict[str, Any]:
        return error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(self.prefix):
            return await self._sandbox(scope, receive, send)
        path = "/v1" + scope["path"].removeprefix(self.prefix)
        if named := MODEL.fullmatch(path):
            path = named[1] + self.model_request(named[2])
        scope = {**scope, "path": path, "raw_path": path.encode()}
        marked = False
        if scope["method"] == "POST" and path.endswith(("/jobs", "/files")):
            body = await _read_body(receive)
            try:
                body = json.dumps(self.job_request(json.loads(body))).encode() if path.endswith("/jobs") else body
            except Refused as refused:
                return await _refuse(str(refused), send)
            if path.endswith("/files"):
                marked = b"\r\n\r\n" + BOM_UTF8 in body
                body = body.replace(b"\r\n\r\n" + BOM_UTF8, b"\r\n\r\n")
            scope["headers"] = [pair for pair in scope["headers"] if pair[0] != b"content-length"]
            receive = _single_message(body)
        return await self._sandbox(scope, receive, _AnswerTranslator(self, path, send, marked))

    def translate_answer(self, path: str, status: int, body: Any, marked: bool) -> Any:
        """The answer in this dialect's words."""
        if status >= 400:
            return {"error": self.error_answer(body["error"])} if "error" in body else body
        tells = {
            CHECKPOINTS: self.checkpoint_answer,
            JOBS: self.job_answer,
            FILES: self._file,
            MODEL: self.model_answer,
            MODELS_LIST: self.model_answer,
        }
        tell = next((tell for pattern, tell in tells.items() if pattern.fullmatch(path)), None)
        if marked:
            self.marked.add(body["id"])
        if tell is None:
            return body
        if "data" in body:
            return body | {"data": [tell(item) for item in body["data"]]}
        return tell(body)

    def _file(self, file: dict[str, Any]) -> dict[str, Any]:
        return self.file_answer(file | {"bytes": file["bytes"] + 3} if file["id"] in self.marked else file)


class AzureTranslator(Translator):
    """Foundry's v1 address. Files and jobs are `pending` first, the suffix has no dots, metadata is unknown."""

    prefix = "/openai/v1"
    names_organization = False

    def job_request(self, body: dict[str, Any]) -> dict[str, Any]:
        body = dict(body)
        if "metadata" in body:
            raise Refused("unknown parameter metadata")
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", body.get("suffix", "x")):
            raise Refused(f"suffix {body['suffix']}")
        if body.pop("trainingType", "Standard") not in {"Standard", "GlobalStandard", "Developer"}:
            raise Refused("trainingType")
        return body

    def job_answer(self, job: dict[str, Any]) -> dict[str, Any]:
        job = {name: value for name, value in job.items() if name != "metadata"}
        if job["fine_tuned_model"]:
            job["fine_tuned_model"] = f"{job['model']}.ft-{job['id'].removeprefix('ftjob-')}"
        pending = job["status"] == "validating_files"
        return job | ({"status": "pending"} if pending else {})

    def checkpoint_answer(self, checkpoint: dict[str, Any]) -> dict[str, Any]:
        return checkpoint | {"id": checkpoint["id"].replace("ftckpt_", "ftchkpt-")}

    def file_answer(self, file: dict[str, Any]) -> dict[str, Any]:
        return file | ({"status": "pending"} if file.get("status") == "uploaded" else {})

    def error_answer(self, error: dict[str, Any]) -> dict[str, Any]:
        early = error["code"] == "file_not_ready"
        said = "The specified file reference must point to a completed file import."
        return error | ({"code": "invalidPayload", "message": said} if early else {})


MODELS = {"meta-llama/Llama-3.1-8B-Instruct": "sandbox-small"}
OPTIONS = {"model", "training_file", "validation_file", "suffix", "seed", "method", "hyperparameters", "tags"}
HYPERPARAMETERS = {"n_epochs", "batch_size", "learning_rate", "lora", "lora_r", "lora_alpha", "context_length"}


class NebiusTranslator(Translator):
    """An absolute learning rate, an explicit `lora`, no metadata, no organisation, checkpoints as results."""

    names_organization = False

    def job_request(self, body: dict[str, Any]) -> dict[str, Any]:
        asked = body["method"]["supervised"]["hyperparameters"]
        if unknown := (body.keys() - OPTIONS) | (asked.keys() - HYPERPARAMETERS):
            raise Refused(f"unknown {sorted(unknown)}")
        if "auto" in asked.values() or "lora" not in asked:
            raise Refused(f"hyperparameters {asked}")
        kept = {name: asked[name] for name in ("n_epochs", "batch_size") if name in asked}
        method = {"type": "supervised", "supervised": {"hyperparameters": kept}}
        return body | {"model": MODELS.get(body["model"], body["model"]), "method": method}

    def model_request(self, name: str) -> str:
        return MODELS.get(name, name)

    def model_answer(self, model: dict[str, Any]) -> dict[str, Any]:
        named = {theirs: ours for ours, theirs in MODELS.items()}
        return {"id": named.get(model["id"], model["id"]), "object": "model", "created": 0, "owned_by": "system"}

    def job_answer(self, job: dict[str, Any]) -> dict[str, Any]:
        named = {theirs: ours for ours, theirs in MODELS.items()}
        suffix = job["user_provided_suffix"]
        kept = {name: value for name, value in job.items() if name not in {"metadata", "user_provided_suffix"}}
        model = named.get(job["model"], job["model"])
        return kept | {"model": model, "suffix": suffix, "organization_id": "", "fine_tuned_model": None}


MANTLE_MODELS = {"openai.gpt-oss-20b": "sandbox-small"}
MANTLE_OPTIONS = {"model", "training_file", "validation_file", "method"}
MANTLE_FILE = re.compile(r"(.*/files/)([^/]+)")


class MantleTranslator(Translator):
    """Bedrock's endpoint: file ids are bare UUIDs; no suffix, no seed, no metadata, no organisation."""

    names_organization = False
    options = MANTLE_OPTIONS
    hidden = frozenset({"metadata", "user_provided_suffix", "seed", "organization_id"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if named := MANTLE_FILE.fullmatch(scope.get("path", "")):
            scope = {**scope, "path": named[1] + _to_sandbox_file_id(named[2])}
        query = dict(parse_qsl(scope.get("query_string", b"").decode()))
        if scope.get("path", "").endswith("/files") and "after" in query:
            after = {"after": _to_sandbox_file_id(query["after"])}
            scope = {**scope, "query_string": urlencode(query | after).encode()}
        await super().__call__(scope, receive, send)

    def job_request(self, body: dict[str, Any]) -> dict[str, Any]:
        if unknown := body.keys() - self.options:
            raise Refused(f"unsupported {sorted(unknown)}")
        if "auto" in body["method"]["supervised"]["hyperparameters"].values():
            raise Refused("hyperparameters must be numbers")
        files = {
            name: _to_sandbox_file_id(body[name]) for name in ("training_file", "validation_file") if name in body
        }
        return body | files | {"model": MANTLE_MODELS.get(body["model"], body["model"])}

    def job_answer(self, job: dict[str, Any]) -> dict[str, Any]:
        named = {theirs: ours for ours, theirs in MANTLE_MODELS.items()}
        files = {name: job[name] and _to_uuid(job[name]) for name in ("training_file", "validation_file")}
        kept = {name: value for name, value in job.items() if name not in self.hidden}
        return kept | files | {"model": named.get(job["model"], job["model"])}

    def model_request(self, name: str) -> str:
        return MANTLE_MODELS.get(name, name)

    def model_answer(self, model: dict[str, Any]) -> dict[str, Any]:
        named = {theirs: ours for ours, theirs in MANTLE_MODELS.items()}
        return {"id": named.get(model["id"], model["id"]), "object": "model", "created": 0, "owned_by": "system"}

    def file_answer(self, file: dict[str, Any]) -> dict[str, Any]:
        return file | {"id": _to_uuid(file["id"])}


class MantleWithMetadataTranslator(MantleTranslator):
    """The same endpoint, if it stores metadata: that is not documented."""

    options = MANTLE_OPTIONS | {"metadata"}
    hidden = MantleTranslator.hidden - {"metadata"}


def _to_uuid(file_id: str) -> str:
    return str(UUID(file_id.removeprefix("file-").ljust(32, "0")))


def _to_sandbox_file_id(file_id: str) -> str:
    return f"file-{file_id.replace('-', '')[:24]}"


class ForgetfulTranslator(Translator):
    """A compatible server that accepts metadata and forgets it."""

    def job_answer(self, job: dict[str, Any]) -> dict[str, Any]:
        return job | {"metadata": None}


class RefusingTranslator(ForgetfulTranslator):
    """A compatible server that does not accept metadata."""

    def job_request(self, body: dict[str, Any]) -> dict[str, Any]:
        if "metadata" in body:
            raise Refused("unknown parameter metadata")
        return body


class SilentTranslator(ForgetfulTranslator):
    """A compatible server that shows neither metadata nor suffix."""

    def job_answer(self, job: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in job.items() if name not in {"metadata", "user_provided_suffix"}}


class _AnswerTranslator:
    """Collects an answer of JSON and sends it translated; half an answer is none."""

    def __init__(self, translator: Translator, path: str, send: Send, marked: bool) -> None:
        self._translator, self._path, self._send, self._marked = translator, path, send, marked
        self._start: Message = {}
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            return
        self._body += message.get("body", b"")
        if message.get("more_body"):
            return
        headers = dict(self._start["headers"])
        if headers[b"content-type"] == b"application/json":
            body = self._translator.translate_answer(
                self._path, self._start["status"], json.loads(self._body), marked=self._marked
            )
            self._body = json.dumps(body).encode()
            headers[b"content-length"] = str(len(self._body)).encode()
        if not self._translator.names_organization:
            headers.pop(b"openai-organization", None)
        await self._send({**self._start, "headers": list(headers.items())})
        await self._send({"type": "http.response.body", "body": self._body, "more_body": False})


async def _read_body(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


def _single_message(body: bytes) -> Receive:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


async def _refuse(message: str, send: Send) -> None:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    body = json.dumps({"error": error}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 400, "headers": headers})
    await send({"type": "http.response.body", "body": body})

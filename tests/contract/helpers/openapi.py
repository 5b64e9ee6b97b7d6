"""Checks recorded HTTP messages against a published OpenAPI document.

`Contract` knows the document; `Recorder` gathers messages from an httpx2 client by its event hooks:

    recorder = Recorder()
    client = httpx2.AsyncClient(event_hooks=recorder.hooks)
    ...
    assert recorder.problems(Contract.load("openai.openapi.json")) == []
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest
from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

CONTRACTS = Path(__file__).resolve().parents[4] / "shared" / "contracts"
# The document was cut before the provider published these two; its reference lists them, and its pause needs them.
LATER_STATUSES = ["pausing", "paused"]
ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}
ROOT = "contract:root"


class Contract:
    """An OpenAPI 3.1 document. Every check answers with a list of problems; what the document lacks passes."""

    def __init__(self, document: Mapping[str, Any], prefix: str = "/v1") -> None:
        self._document = document
        self._prefix = prefix
        resource = DRAFT202012.create_resource(document)
        self._registry: Registry[Any] = Registry().with_resource(ROOT, resource)
        self._paths = [(_pattern(path), path) for path in sorted(document["paths"], key=lambda path: path.count("{"))]

    @classmethod
    def load(cls, name: str) -> Contract:
        """The document of that name; the test is skipped where it is absent."""
        path = CONTRACTS / name
        if not path.is_file():
            pytest.skip(f"the published contract ../shared/contracts/{name} is not here")
        document = json.loads(path.read_text())
        status = document["components"]["schemas"].get("FineTuningJob", {}).get("properties", {}).get("status")
        if status is not None:
            status["enum"] += LATER_STATUSES
        return cls(document)

    @property
    def paths(self) -> Mapping[str, Any]:
        """The document's paths, each with its operations by method."""
        paths: Mapping[str, Any] = self._document["paths"]
        return paths

    def operation(self, method: str, url: str) -> str | None:
        """The operation id of a request, None for one the document does not have."""
        found = self._find(method, url)
        return None if found is None else found[1]["operationId"]

    def check_request(self, method: str, url: str, content_type: str, body: bytes) -> list[str]:
        """Query and body of a request."""
        found = self._find(method, url)
        if found is None:
            return []
        pointer, operation = found
        problems = self._check_query(operation, urlsplit(url).query)
        content = operation.get("requestBody", {}).get("content", {})
        media = content_type.partition(";")[0].strip()
        if content and media not in content:
            return [*problems, f"content type {media!r}, expected {' or '.join(content)}"]
        if not content and body:
            return [*problems, "a body where none belongs"]
        if content:
            value = _form(content_type, body) if media == "multipart/form-data" else json.loads(body)
            problems += self._check(f"{pointer}/requestBody/content/{_escape(media)}/schema", value)
        return problems

    def check_response(self, method: str, url: str, status: int, content_type: str, body: bytes) -> list[str]:
        """Body of an answer; one that is no success must have the provider's error shape."""
        found = self._find(method, url)
        media = content_type.partition(";")[0].strip()
        if media != "application/json":
            downloaded = found is not None and found[1]["operationId"] == "downloadFile"
            return [] if downloaded else [f"content type {media!r}"]
        value = json.loads(body)
        if status >= 400:
            return _problems(Draft202012Validator(ERROR), value)
        if found is None:
            return []
        pointer, operation = found
        if str(status) not in operation["responses"]:
            return [f"status {status}, expected {' or '.join(operation['responses'])}"]
        return self._check(f"{pointer}/responses/{status}/content/application~1json/schema", value)

    def _find(self, method: str, url: str) -> tuple[str, Mapping[str, Any]] | None:
        path = urlsplit(url).path.removeprefix(self._prefix)
        for pattern, name in self._paths:
            operation = self.paths[name].get(method.lower())
            if operation is not None and pattern.fullmatch(path):
                return f"{ROOT}#/paths/{_escape(name)}/{method.lower()}", operation
        return None

    def _check(self, pointer: str, value: Any) -> list[str]:
        return _problems(Draft202012Validator({"$ref": pointer}, registry=self._registry), value)

    def _check_query(self, operation: Mapping[str, Any], query: str) -> list[str]:
        known = {item["name"]: item["schema"] for item in operation.get("parameters", []) if item["in"] == "query"}
        problems = []
        for key, value in parse_qsl(query, keep_blank_values=True):
            name = key.partition("[")[0]
            if name not in known:
                problems.append(f"unknown query parameter {key!r}")
                continue
            schema, given = known[name], _query_value(key, value, known[name])
            problems += [f"query {key}: {text}" for text in _problems(Draft202012Validator(schema), given)]
        return problems


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its answer."""

    method: str
    url: str
    request_type: str
    request_body: bytes
    status: int
    answer_type: str
    answer_body: bytes

    def problems(self, contract: Contract) -> list[str]:
        asked = contract.check_request(self.method, self.url, self.request_type, self.request_body)
        told = contract.check_response(self.method, self.url, self.status, self.answer_type, self.answer_body)
        where = f"{self.method} {urlsplit(self.url).path}"
        return [f"{where} request: {text}" for text in asked] + [f"{where} {self.status}: {text}" for text in told]


@dataclass(slots=True)
class Recorder:
    """Keeps every exchange of a client that is given its hooks."""

    exchanges: list[Exchange] = field(default_factory=list)

    @property
    def hooks(self) -> dict[str, list[Callable[..., Awaitable[None]]]]:
        """For `httpx2.AsyncClient(event_hooks=…)`."""
        return {"request": [self._on_request], "response": [self._on_response]}

    def problems(self, contract: Contract) -> list[str]:
        """What is wrong with anything that was recorded."""
        return [problem for exchange in self.exchanges for problem in exchange.problems(contract)]

    def operations(self, contract: Contract) -> Counter[str]:
        """How often each operation of the contract was answered with a success."""
        names = (contract.operation(e.method, e.url) for e in self.exchanges if e.status < 400)
        return Counter(name for name in names if name is not None)

    async def _on_request(self, request: httpx2.Request) -> None:
        await request.aread()

    async def _on_response(self, response: httpx2.Response) -> None:
        request = response.request
        self.exchanges.append(
            Exchange(
                method=request.method,
                url=str(request.url),
                request_type=request.headers.get("content-type", ""),
                request_body=request.content,
                status=response.status_code,
                answer_type=response.headers.get("content-type", ""),
                answer_body=await response.aread(),
            )
        )


def _problems(validator: Draft202012Validator, value: Any) -> list[str]:
    return [f"{error.json_path}: {error.message[:300]}" for error in validator.iter_errors(value)]


def _pattern(path: str) -> re.Pattern[str]:
    parts = re.split(r"\{[^}]+\}", path)
    return re.compile("[^/]+".join(map(re.escape, parts)))


def _escape(name: str) -> str:
    """A JSON pointer's step, written in a URI fragment."""
    step = name.replace("~", "~0").replace("/", "~1")
    return step.replace("{", "%7B").replace("}", "%7D")


def _query_value(key: str, value: str, schema: Mapping[str, Any]) -> Any:
    if "[" in key:
        return {key.partition("[")[2].rstrip("]"): value}
    if schema.get("type") == "integer" and value.lstrip("-").isdecimal():
        return int(value)
    return None if value == "null" else value


def _form(content_type: str, body: bytes) -> dict[str, Any]:
    """A multipart form as the object its schema describes; `name[key]` is a nested object."""
    message = BytesParser(policy=HTTP).parsebytes(f"content-type: {content_type}\r\n\r\n".encode() + body)
    form: dict[str, Any] = {}
    for part in message.iter_parts():
        name = str(part.get_param("name", header="content-disposition"))
        payload = part.get_payload(decode=True)
        text = payload.decode("utf-8", "replace") if isinstance(payload, bytes) else ""
        outer, _, inner = name.partition("[")
        if inner:
            value = int(text) if text.isdecimal() else text
            form.setdefault(outer, {})[inner.rstrip("]")] = value
        else:
            form[outer] = text
    return form

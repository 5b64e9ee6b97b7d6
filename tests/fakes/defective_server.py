"""The sandbox with the defects of servers that people run: each is one of the deviations known from their source."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import httpx2

JOBS = "/v1/fine_tuning/jobs"
JOB = re.compile(rf"^{JOBS}/[^/]+$")
NOT_FOUND = {"code": 5, "message": "Not Found", "details": []}

Answer = tuple[int, Any]
Intercept = Callable[[httpx2.Request, Any], Answer | None]
Change = Callable[[Any], Any]


def no_change(value: Any) -> Any:
    return value


@dataclass(frozen=True, kw_only=True)
class Defect:
    """What one server does differently. `intercept` answers instead of the sandbox; the others change JSON."""

    intercept: Intercept = lambda request, body: None
    ignores: tuple[str, ...] = ()  # parameters of the query
    create: Change = no_change  # the body of a create
    created: Change = no_change  # the answer to a create
    job: Change = no_change  # each job, wherever it is shown
    listed: Change = no_change  # each job in a list
    file: Change = no_change  # each file, wherever it is shown
    files: Change = no_change  # the list of files


class DefectiveServer(httpx2.ASGITransport):
    """A transport to the sandbox's application, with one defect. `requests` are those that it received."""

    def __init__(self, app: Any, defect: Defect) -> None:
        super().__init__(app)
        self._defect = defect
        self.requests: list[str] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        path, content = request.url.path, await request.aread()
        self.requests.append(f"{request.method} {path}")
        is_json = content and "json" in request.headers.get("content-type", "")
        body: Any = json.loads(content) if is_json else None
        if (answer := self._defect.intercept(request, body)) is not None:
            return httpx2.Response(answer[0], json=answer[1])
        if request.method == "GET" and self._defect.ignores:
            query = [(name, value) for name, value in request.url.params.items() if name not in self._defect.ignores]
            url = request.url.copy_with(query=urlencode(query).encode())
            request = httpx2.Request("GET", url, headers=request.headers)
        if request.method == "POST" and path == JOBS:
            headers = {name: value for name, value in request.headers.items() if name != "content-length"}
            changed = json.dumps(self._defect.create(dict(body))).encode()
            request = httpx2.Request("POST", request.url, headers=headers, content=changed)
        response = await super().handle_async_request(request)
        shown = json.loads(await response.aread())
        if response.status_code == 200:
            shown = self._change(request.method, path, shown)
        return httpx2.Response(response.status_code, json=shown)

    def _change(self, method: str, path: str, shown: Any) -> Any:
        defect = self._defect
        if path == JOBS and method == "GET":
            return shown | {"data": [job for each in shown["data"] if (job := defect.listed(defect.job(each)))]}
        if path == JOBS:
            return defect.created(defect.job(shown))
        if JOB.match(path) or path.endswith("/cancel"):
            return defect.job(shown)
        if path == "/v1/files" and method == "GET":
            return defect.files(shown | {"data": [defect.file(each) for each in shown["data"]]})
        return defect.file(shown) if path.startswith("/v1/files") else shown


@dataclass
class Refuse:
    """Answers requests that match with an error."""

    method: str
    path: str  # a regular expression for the whole path
    answer: Answer = (404, NOT_FOUND)
    when: Callable[[Any], bool] = field(default=lambda body: True)

    def __call__(self, request: httpx2.Request, body: Any) -> Answer | None:
        matches = re.fullmatch(self.method, request.method) and re.fullmatch(self.path, request.url.path)
        return self.answer if matches and self.when(body) else None


def refuse(method: str, path: str, answer: Answer = (404, NOT_FOUND), **options: Any) -> Defect:
    return Defect(intercept=Refuse(method, path, answer, **options))


def refuse_create(message: str, when: Callable[[Any], bool]) -> Defect:
    """Refuse a create as a gateway of gRPC does: a google.rpc status without `error` around it."""
    return refuse("POST", JOBS, (400, {"code": 3, "message": message, "details": []}), when=when)


def without(*names: str) -> Change:
    return lambda value: {name: inner for name, inner in value.items() if name not in names}


def with_values(**values: Any) -> Change:
    return lambda value: value | values


def with_words(words: Mapping[str, str]) -> Change:
    """Replace the status words."""
    return lambda value: value | {"status": words.get(value["status"], value["status"])}


def has_auto(body: Any) -> bool:
    return "auto" in json.dumps(body)


def require_provider(request: httpx2.Request, body: Any) -> Answer | None:
    """Refuse every call but the create without the parameter that LiteLLM's proxy requires."""
    if not request.url.path.startswith(JOBS) or (request.method == "POST" and request.url.path == JOBS):
        return None
    return 400, {"error": {"message": "custom_llm_provider is required", "code": "400"}}


def flatten_method(body: Any) -> Any:
    """Drop `method`, and read only the older field."""
    method, flat = body.pop("method", None), body.pop("hyperparameters", None)
    kind = (method or {}).get("type", "supervised")
    return body | {"method": {"type": kind, kind: {"hyperparameters": flat}}} if flat else body


LLMARINER = Defect(
    intercept=Refuse(
        "POST",
        JOBS,
        (400, {"code": 3, "message": "suffix is required, at most 18 characters; n_epochs must be an integer"}),
        when=lambda body: (
            not 1 <= len(body.get("suffix", "")) <= 18 or has_auto(body) or "hyperparameters" not in body
        ),
    ),
    create=flatten_method,
    job=lambda job: with_words({"cancelled": "canceled"})(without("metadata")(job)),
)

"""The endpoints of the sandbox itself, below `/sandbox/`: faults, answers, state and webhooks.

They need and return no key.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from msgspec.structs import asdict
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from orchestrator.sandbox.api_call import ApiCall, Caller
from orchestrator.sandbox.endpoints.files import file_to_json
from orchestrator.sandbox.endpoints.jobs import job_to_json
from orchestrator.sandbox.faults import FaultError, faults_to_json, parse_faults
from orchestrator.sandbox.simulation.answer_behaviour import parse_answer_behaviours
from orchestrator.sandbox.state import SandboxState
from orchestrator.sandbox.webhook_sender import validate_webhook_url


def build_admin_routes(sandbox_state: SandboxState) -> list[Route]:
    """Build the routes of the sandbox's own endpoints."""

    async def faults(request: Request) -> Response:
        if request.method == "PUT":
            try:
                sandbox_state.faults.replace(parse_faults(json.loads(await request.body())))
            except (FaultError, ValueError) as error:
                return JSONResponse({"error": {"message": str(error)}}, 400)
        rules = sandbox_state.faults.rules
        fired = [sandbox_state.faults.fired[number] for number in range(len(rules))]
        return JSONResponse({"faults": faults_to_json(rules), "fired": fired})

    async def state(request: Request) -> Response:
        if request.method == "DELETE":
            sandbox_state.clear()
        return JSONResponse(describe_state(sandbox_state, request))

    async def webhooks(request: Request) -> Response:
        if request.method == "PUT":
            try:
                url = json.loads(await request.body())["url"]
                sandbox_state.webhook_url = url and validate_webhook_url(
                    url, allow_remote=sandbox_state.settings.allow_remote
                )
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                return JSONResponse({"error": {"message": str(error)}}, 400)
        return JSONResponse({"url": sandbox_state.webhook_url})

    async def answers(request: Request) -> Response:
        return await _handle_answers(sandbox_state, request)

    return [
        Route("/sandbox/webhooks", webhooks, methods=["GET", "PUT"]),
        Route("/sandbox/faults", faults, methods=["GET", "PUT"]),
        Route("/sandbox/answers", answers, methods=["GET", "PUT"]),
        Route("/sandbox/state", state, methods=["GET", "DELETE"]),
    ]


async def _handle_answers(sandbox_state: SandboxState, request: Request) -> Response:
    if request.method == "PUT":
        try:
            document = json.loads(await request.body())
            sandbox_state.answers = parse_answer_behaviours(document.get("answers", []))
        except (AttributeError, ValueError) as error:
            return JSONResponse({"error": {"message": str(error)}}, 400)
    return JSONResponse({"answers": [asdict(behaviour) for behaviour in sandbox_state.answers]})


def describe_state(sandbox_state: SandboxState, request: Request) -> dict[str, Any]:
    """Return all files and jobs by account, and the counters since the start or the last DELETE."""
    moderated = list(sandbox_state.counts.moderated_inputs.items())
    names = sorted({record.account for store in (sandbox_state.files, sandbox_state.jobs) for record in store})
    total: Counter[tuple[str, str]] = Counter()
    outcomes = list(sandbox_state.counts.outcomes.items())
    for (_, operation, outcome), count in outcomes:
        total[operation, outcome] += count
    return {
        "accounts": {name: _describe_account(sandbox_state, name, request) for name in names},
        "requests": _nest_counts(total),
        "requests_by_account": {
            name: _nest_counts(
                {(operation, outcome): n for (account, operation, outcome), n in outcomes if account == name}
            )
            for name in sorted({account for (account, _, _), _ in outcomes})
        },
        "judged": {
            name: {digest: n for (account, digest), n in moderated if account == name}
            for name in sorted({account for (account, _), _ in moderated})
        },
        "most_in_flight": {name or "*": count for name, count in sorted(sandbox_state.counts.max_in_flight.items())},
    }


def _describe_account(sandbox_state: SandboxState, name: str, request: Request) -> dict[str, Any]:
    now = sandbox_state.clock()
    call = ApiCall(sandbox_state, Caller(name), request, {}, now, now, {})
    return {
        "files": [
            file_to_json(sandbox_state, file, call.now) | {"sha256": file.sha256}
            for file in sandbox_state.files.of(name).values()
        ],
        "jobs": [
            job_to_json(call, job) | {"training_sha256": job.training_sha256, "asked": job.asked}
            for job in sandbox_state.jobs.of(name).values()
        ],
    }


def _nest_counts(counts: dict[tuple[str, str], int]) -> dict[str, dict[str, int]]:
    tree: dict[str, dict[str, int]] = {}
    for (operation, outcome), count in sorted(counts.items()):
        tree.setdefault(operation, {})[outcome] = count
    return tree

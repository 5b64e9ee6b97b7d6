"""The endpoints about the sandbox itself, below `/sandbox/`: faults, state, webhooks. No key, and none is shown."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from orchestrator.sandbox.api_call import ApiCall, Caller
from orchestrator.sandbox.endpoints.files import file_to_json
from orchestrator.sandbox.endpoints.jobs import job_to_json
from orchestrator.sandbox.faults import FaultError, faults_to_json, parse_faults
from orchestrator.sandbox.state import SandboxState
from orchestrator.sandbox.webhook_sender import validate_webhook_url


def build_admin_routes(sandbox_state: SandboxState) -> list[Route]:
    """The routes of one sandbox's own endpoints."""

    async def faults(request: Request) -> Response:
        if request.method == "PUT":
            try:
                sandbox_state.faults.replace(parse_faults(json.loads(await request.body())))
            except (FaultError, ValueError) as wrong:
                return JSONResponse({"error": {"message": str(wrong)}}, 400)
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
            except (ValueError, KeyError, TypeError, AttributeError) as wrong:
                return JSONResponse({"error": {"message": str(wrong)}}, 400)
        return JSONResponse({"url": sandbox_state.webhook_url})

    return [
        Route("/sandbox/webhooks", webhooks, methods=["GET", "PUT"]),
        Route("/sandbox/faults", faults, methods=["GET", "PUT"]),
        Route("/sandbox/state", state, methods=["GET", "DELETE"]),
    ]


def describe_state(sandbox_state: SandboxState, request: Request) -> dict[str, Any]:
    """Everything the sandbox holds, by account, and what it counted since it started or was cleared."""
    names = sorted({record.account for shelf in (sandbox_state.files, sandbox_state.jobs) for record in shelf})
    total: Counter[tuple[str, str]] = Counter()
    for (_, operation, outcome), count in sandbox_state.counts.outcomes.items():
        total[operation, outcome] += count
    return {
        "accounts": {name: _describe_account(sandbox_state, name, request) for name in names},
        "requests": _nest_counts(total),
        "requests_by_account": {
            name: _nest_counts(
                {(o, out): n for (who, o, out), n in sandbox_state.counts.outcomes.items() if who == name}
            )
            for name in sorted({who for who, _, _ in sandbox_state.counts.outcomes})
        },
        "judged": {
            name: {digest: n for (who, digest), n in sandbox_state.counts.moderated_inputs.items() if who == name}
            for name in sorted({who for who, _ in sandbox_state.counts.moderated_inputs})
        },
        "most_in_flight": {name or "*": most for name, most in sorted(sandbox_state.counts.max_in_flight.items())},
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

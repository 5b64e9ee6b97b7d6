"""The endpoints about the sandbox itself, below `/sandbox/`: faults, state, webhooks. No key, and none is shown."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from orchestrator.sandbox.call import Call
from orchestrator.sandbox.caller import Caller
from orchestrator.sandbox.faults import FaultError, dump_faults, parse_faults
from orchestrator.sandbox.files import file_body
from orchestrator.sandbox.jobs import job_body
from orchestrator.sandbox.webhooks import checked_address
from orchestrator.sandbox.world import World


def admin_routes(world: World) -> list[Route]:
    """The routes of one sandbox's own endpoints."""

    async def faults(request: Request) -> Response:
        if request.method == "PUT":
            try:
                world.faults.replace(parse_faults(json.loads(await request.body())))
            except (FaultError, ValueError) as wrong:
                return JSONResponse({"error": {"message": str(wrong)}}, 400)
        rules = world.faults.rules
        fired = [world.faults.fired[number] for number in range(len(rules))]
        return JSONResponse({"faults": dump_faults(rules), "fired": fired})

    async def state(request: Request) -> Response:
        if request.method == "DELETE":
            world.clear()
        return JSONResponse(picture(world, request))

    async def webhooks(request: Request) -> Response:
        if request.method == "PUT":
            try:
                url = json.loads(await request.body())["url"]
                world.webhooks = url and checked_address(url, allow_remote=world.settings.allow_remote)
            except (ValueError, KeyError, TypeError, AttributeError) as wrong:
                return JSONResponse({"error": {"message": str(wrong)}}, 400)
        return JSONResponse({"url": world.webhooks})

    return [
        Route("/sandbox/webhooks", webhooks, methods=["GET", "PUT"]),
        Route("/sandbox/faults", faults, methods=["GET", "PUT"]),
        Route("/sandbox/state", state, methods=["GET", "DELETE"]),
    ]


def picture(world: World, request: Request) -> dict[str, Any]:
    """Everything the sandbox holds, by account, and what it counted since it started or was cleared."""
    names = sorted({record.account for shelf in (world.files, world.jobs) for record in shelf})
    total: Counter[tuple[str, str]] = Counter()
    for (_, operation, outcome), count in world.counts.outcomes.items():
        total[operation, outcome] += count
    return {
        "accounts": {name: _account(world, name, request) for name in names},
        "requests": _tree(total),
        "requests_by_account": {
            name: _tree({(o, out): n for (who, o, out), n in world.counts.outcomes.items() if who == name})
            for name in sorted({who for who, _, _ in world.counts.outcomes})
        },
        "judged": {
            name: {digest: n for (who, digest), n in world.counts.judged.items() if who == name}
            for name in sorted({who for who, _ in world.counts.judged})
        },
        "most_in_flight": {name or "*": most for name, most in sorted(world.counts.most.items())},
    }


def _account(world: World, name: str, request: Request) -> dict[str, Any]:
    now = world.clock()
    call = Call(world, Caller(name), request, {}, now, now, {})
    return {
        "files": [
            file_body(world, file, call.now) | {"sha256": file.sha256} for file in world.files.of(name).values()
        ],
        "jobs": [
            job_body(call, job) | {"training_sha256": job.training_sha256, "asked": job.asked}
            for job in world.jobs.of(name).values()
        ],
    }


def _tree(counts: dict[tuple[str, str], int]) -> dict[str, dict[str, int]]:
    tree: dict[str, dict[str, int]] = {}
    for (operation, outcome), count in sorted(counts.items()):
        tree.setdefault(operation, {})[outcome] = count
    return tree

"""Builds the web application as the program does, but cheaply after the first time in a process.

Of 32 ms, 28 go to what FastAPI derives from the signatures of the endpoints: the validators of their parameters and
responses. These are the same in every application, so a later one takes them over. Nothing that belongs to an
application is shared: each route calls the objects of its own one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from fastapi import FastAPI, routing
from fastapi.params import Depends

from orchestrator.web.app import create_app as create_program_app
from orchestrator.web.backend import WebBackend

_build_route = routing.APIRoute.__init__
_known_routes: dict[tuple[str, object], routing.APIRoute] = {}  # by path and code of the endpoint


def create_app(backend: WebBackend) -> FastAPI:
    """Return an application with state of its own."""
    with patch.object(routing.APIRoute, "__init__", _take_over_route):
        return create_program_app(backend)


def _take_over_route(
    route: routing.APIRoute,
    path: str,
    endpoint: Callable[..., Any],
    *,
    dependencies: list[Depends] | None = None,
    **options: Any,
) -> None:
    key = path, getattr(endpoint, "__func__", endpoint).__code__
    known = _known_routes.get(key)
    if known is None:
        _build_route(route, path, endpoint, dependencies=dependencies, **options)
        _known_routes[key] = route
        return
    vars(route).update(vars(known))
    route.endpoint = endpoint
    route.dependencies = dependencies or []
    dependants = known.dependant.dependencies.copy()  # those of the router come first, then those of the signature
    for index, each in enumerate(route.dependencies):
        dependants[index] = replace(dependants[index], call=each.dependency)
    route.dependant = replace(known.dependant, call=endpoint, dependencies=dependants)
    route.app = routing.request_response(route.get_route_handler())

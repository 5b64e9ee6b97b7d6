"""The OpenAPI document has what generators of clients need."""

from __future__ import annotations

import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

GENERATOR = Path(__file__).parents[4] / "docs" / "generate_api.py"
PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
VERBS = {"get", "list", "export", "approve", "waive", "start", "cancel", "retry", "hold", "release", "adopt"}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    built: dict[str, Any] = runpy.run_path(str(GENERATOR))["document"]()
    return built


def list_operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for operation in methods.values():
            yield path, operation


def test_operation_ids_are_unique_and_begin_with_a_verb(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, operation in list_operations(document)]
    assert len(set(names)) == len(names)
    assert [name for name in names if not re.fullmatch("[a-z]+(_[a-z]+)*", name)] == []
    more = {"redeliver", "deploy", "undeploy", "plan", "stop", "accept", "revoke"}
    assert {name.partition("_")[0] for name in names} == VERBS | more


def test_every_operation_has_one_tag_a_summary_and_an_error_of_a_known_form(document: dict[str, Any]) -> None:
    for path, operation in list_operations(document):
        assert len(operation["tags"]) == 1, path
        assert operation["summary"], path
        assert operation["responses"]["default"]["content"] == PROBLEM, path
        typed = [code for code, response in operation["responses"].items() if "content" in response or code == "304"]
        assert typed == list(operation["responses"]), path


def test_every_operation_but_the_probes_needs_the_token(document: dict[str, Any]) -> None:
    [(name, scheme)] = document["components"]["securitySchemes"].items()
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    without = {path for path, operation in list_operations(document) if operation["security"] != [{name: []}]}
    assert without == {"/healthz", "/readyz"}


def test_objects_with_fields_are_named(document: dict[str, Any]) -> None:
    assert list(find_objects(document["paths"])) == []
    for name, schema in document["components"]["schemas"].items():
        assert list(find_objects(schema.get("properties", {}))) == [], name


def find_objects(part: Any) -> Iterator[dict[str, Any]]:
    """Yield the schemas with fields that are written in place, for which a generator would invent a name."""
    if isinstance(part, dict):
        if isinstance(part.get("properties"), dict) and part.get("type") == "object":
            yield part
        for value in part.values():
            yield from find_objects(value)
    elif isinstance(part, list):
        for value in part:
            yield from find_objects(value)

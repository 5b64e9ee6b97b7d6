"""Malformed lists: responses with status 200 to a list request that do not contain the list."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

JsonBody = Mapping[str, Any]

MALFORMED_LISTS: dict[str, Callable[[JsonBody], Any]] = {
    "error": lambda page: {"error": {"message": "upstream timed out", "type": "server_error", "code": None}},
    "error_beside_data": lambda page: {"object": "list", "data": [], "error": {"message": "upstream timed out"}},
    "error_object": lambda page: {"object": "error", "message": "upstream timed out", "data": []},
    "empty_object": lambda page: {},
    "empty_body": lambda page: b"",
    "null": lambda page: None,
    "array": lambda page: [],
    "null_data": lambda page: {"object": "list", "data": None, "has_more": False},
    "object_data": lambda page: {"object": "list", "data": {}, "has_more": False},
    "null_item": lambda page: {"object": "list", "data": [None], "has_more": False},
    "item_without_id": lambda page: {"object": "list", "data": [{}], "has_more": False},
    "number_id": lambda page: {"object": "list", "data": [{"id": 7}], "has_more": False},
    "empty_id": lambda page: {"object": "list", "data": [{"id": ""}], "has_more": False},
    "more_of_nothing": lambda page: {"object": "list", "data": [], "has_more": True},
    "odd_has_more": lambda page: {"object": "list", "data": [], "has_more": "perhaps"},
    "html": lambda page: b"<!doctype html><html><head><title>Please wait</title></head><body>502</body></html>",
    "half": lambda page: json.dumps({"object": "list", "data": page.get("data", [])}).encode()[:-1],
    "deep": lambda page: b'{"object":"list","data":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
}
"""Functions by name that replace a page by a JSON value or by bytes."""

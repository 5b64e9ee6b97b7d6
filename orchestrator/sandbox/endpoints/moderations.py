"""The moderation endpoint. A text with the word FLAGME is flagged as harassment; every other text passes."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any
from uuid import uuid4

from orchestrator.sandbox.api_call import ApiCall
from orchestrator.sandbox.response import ApiResponse, bad_request

FLAG_MARKER = "FLAGME"
CATEGORY_INPUT_TYPES = {
    "harassment": ["text"],
    "harassment/threatening": ["text"],
    "hate": ["text"],
    "hate/threatening": ["text"],
    "illicit": ["text"],
    "illicit/violent": ["text"],
    "self-harm": ["text", "image"],
    "self-harm/intent": ["text", "image"],
    "self-harm/instructions": ["text", "image"],
    "sexual": ["text", "image"],
    "sexual/minors": ["text"],
    "violence": ["text", "image"],
    "violence/graphic": ["text", "image"],
}
MODERATION_MODELS = {
    "omni-moderation-latest": "omni-moderation-2024-09-26",
    "omni-moderation-2024-09-26": "omni-moderation-2024-09-26",
    "text-moderation-latest": "text-moderation-007",
    "text-moderation-stable": "text-moderation-007",
}


async def create_moderation(call: ApiCall) -> ApiResponse:
    """Handle POST /v1/moderations."""
    body = await call.parse_json_body()
    model = body.get("model", "omni-moderation-latest")
    if model not in MODERATION_MODELS:
        raise bad_request(f"Invalid value for 'model': {model!r} is no moderation model.", "model", "model_not_found")
    inputs = _parse_inputs(body.get("input"))
    call.state.counts.moderated_inputs.update((call.account, _compute_digest(parts)) for parts in inputs)
    results = [_build_result(parts) for parts in inputs]
    return ApiResponse({"id": f"modr-{uuid4().hex}", "model": MODERATION_MODELS[model], "results": results})


def _parse_inputs(value: Any) -> list[list[dict[str, Any]]]:
    """Parse the input into one list of parts per result. Raises SandboxApiError (400)."""
    if isinstance(value, str):
        return [[_text_part(value)]]
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        return [[_text_part(item)] for item in value]
    if isinstance(value, list) and value and all(map(_is_part, value)):
        return [value]
    message = "Invalid 'input': expected a string, a list of strings, or a list of text and image_url parts."
    raise bad_request(message, "input", "invalid_type")


def _compute_digest(parts: list[dict[str, Any]]) -> str:
    return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _text_part(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _is_part(part: Any) -> bool:
    if not isinstance(part, dict):
        return False
    image = part.get("image_url")
    if part.get("type") == "image_url":
        return isinstance(image, dict) and isinstance(image.get("url"), str)
    return part.get("type") == "text" and isinstance(part.get("text"), str)


def _build_result(parts: list[dict[str, Any]]) -> dict[str, Any]:
    kinds = {"image" if part["type"] == "image_url" else "text" for part in parts}
    flagged = any(FLAG_MARKER in part.get("text", "") for part in parts)
    applied = {name: [kind for kind in types if kind in kinds] for name, types in CATEGORY_INPUT_TYPES.items()}
    return {
        "flagged": flagged,
        "categories": {name: flagged and name == "harassment" for name in CATEGORY_INPUT_TYPES},
        "category_scores": {
            name: 0.97 if flagged and name == "harassment" else 0.0001 for name in CATEGORY_INPUT_TYPES
        },
        "category_applied_input_types": applied,
    }

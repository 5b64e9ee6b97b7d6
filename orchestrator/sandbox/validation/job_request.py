"""Validation of `POST /v1/fine_tuning/jobs`: the schema of the published contract, and the rules in its text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from orchestrator.sandbox.response import bad_request
from orchestrator.sandbox.validation.hyperparameters import METHOD_RULES, validate_hyperparameters

JOB_PARAMETERS = {
    "model",
    "training_file",
    "validation_file",
    "hyperparameters",
    "suffix",
    "integrations",
    "seed",
    "method",
    "metadata",
}
MAX_SUFFIX_CHARACTERS = 64
MAX_SEED = 2**31 - 1
MAX_METADATA_PAIRS, MAX_METADATA_KEY_CHARACTERS, MAX_METADATA_VALUE_CHARACTERS = 16, 64, 512
MAX_INTEGRATIONS = 5


class JobRequest(Struct, frozen=True):
    """A request with a valid form. Whether its model and files exist is checked later."""

    model: str
    training_file: str
    validation_file: str | None
    suffix: str | None
    seed: int | None
    metadata: dict[str, str] | None
    integrations: list[dict[str, Any]]
    method: str
    hyperparameters: dict[str, Any]
    options: dict[str, Any]
    """Options of the method besides its hyperparameters, for example the grader."""


def parse_job_request(body: Mapping[str, Any]) -> JobRequest:
    """Parse and validate a request. Raises SandboxApiError (400) for the first problem."""
    if unknown := sorted(body.keys() - JOB_PARAMETERS):
        raise bad_request(f"Unknown parameter: '{unknown[0]}'.", unknown[0], "unknown_parameter")
    method, options = _parse_method(body.get("method"))
    hyperparameters = options.pop("hyperparameters", None)
    where = f"method.{method}.hyperparameters"
    if hyperparameters is None:
        hyperparameters, where = body.get("hyperparameters"), "hyperparameters"
    return JobRequest(
        model=_get_required_text(body, "model"),
        training_file=_get_required_text(body, "training_file"),
        validation_file=_find_text(body, "validation_file"),
        suffix=_parse_suffix(body),
        seed=_parse_seed(body),
        metadata=_parse_metadata(body.get("metadata")),
        integrations=_parse_integrations(body.get("integrations")),
        method=method,
        hyperparameters=validate_hyperparameters(hyperparameters, method, where),
        options=options,
    )


def _get_required_text(body: Mapping[str, Any], name: str) -> str:
    value = _find_text(body, name)
    if not value:
        raise bad_request(f"Missing required parameter: '{name}'.", name, "missing_required_parameter")
    return value


def _find_text(body: Mapping[str, Any], name: str) -> str | None:
    value = body.get(name)
    if value is None or isinstance(value, str):
        return value
    raise _type_error(name, "a string", value)


def _parse_suffix(body: Mapping[str, Any]) -> str | None:
    suffix = _find_text(body, "suffix")
    if suffix is not None and not 1 <= len(suffix) <= MAX_SUFFIX_CHARACTERS:
        raise bad_request(
            f"Invalid 'suffix': expected 1 to {MAX_SUFFIX_CHARACTERS} characters, but got {len(suffix)}.", "suffix"
        )
    return suffix


def _parse_seed(body: Mapping[str, Any]) -> int | None:
    seed = body.get("seed")
    if seed is None:
        return None
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise _type_error("seed", "an integer", seed)
    if not 0 <= seed <= MAX_SEED:
        raise bad_request(f"Invalid 'seed': expected 0 to {MAX_SEED}, but got {seed}.", "seed")
    return seed


def _parse_metadata(metadata: Any) -> dict[str, str] | None:
    if metadata is None:
        return None
    if not isinstance(metadata, dict):
        raise _type_error("metadata", "an object", metadata)
    if len(metadata) > MAX_METADATA_PAIRS:
        raise bad_request(f"Invalid 'metadata': too many properties, at most {MAX_METADATA_PAIRS}.", "metadata")
    for key, value in metadata.items():
        if not isinstance(value, str):
            raise _type_error(f"metadata.{key}", "a string", value)
        if len(key) > MAX_METADATA_KEY_CHARACTERS or len(value) > MAX_METADATA_VALUE_CHARACTERS:
            message = (
                f"Invalid 'metadata': keys of at most {MAX_METADATA_KEY_CHARACTERS}, "
                f"values of at most {MAX_METADATA_VALUE_CHARACTERS} characters."
            )
            raise bad_request(message, f"metadata.{key}")
    return metadata


def _parse_integrations(integrations: Any) -> list[dict[str, Any]]:
    if integrations is None:
        return []
    if not isinstance(integrations, list) or len(integrations) > MAX_INTEGRATIONS:
        raise bad_request(f"Invalid 'integrations': expected a list of at most {MAX_INTEGRATIONS}.", "integrations")
    for number, integration in enumerate(integrations):
        if not isinstance(integration, dict) or integration.get("type") != "wandb" or not _has_project(integration):
            name = f"integrations[{number}]"
            raise bad_request(f"Invalid '{name}': expected type 'wandb' with a project.", name)
    return integrations


def _has_project(integration: dict[str, Any]) -> bool:
    wandb = integration.get("wandb")
    return isinstance(wandb, dict) and isinstance(wandb.get("project"), str)


def _parse_method(method: Any) -> tuple[str, dict[str, Any]]:
    """Return the type of the method and its options."""
    if method is None:
        return "supervised", {}
    if not isinstance(method, dict):
        raise _type_error("method", "an object", method)
    kind = method.get("type")
    if kind not in METHOD_RULES:
        raise bad_request(
            f"Invalid 'method.type': expected one of {', '.join(METHOD_RULES)}, but got {kind!r}.", "method.type"
        )
    if unknown := sorted(method.keys() - {"type", kind}):
        raise bad_request(f"Unknown parameter: 'method.{unknown[0]}'.", f"method.{unknown[0]}", "unknown_parameter")
    options = method.get(kind) or {}
    if not isinstance(options, dict):
        raise _type_error(f"method.{kind}", "an object", options)
    if kind == "reinforcement" and not isinstance(options.get("grader"), dict):
        name = "method.reinforcement.grader"
        raise bad_request(f"Missing required parameter: '{name}'.", name, "missing_required_parameter")
    return kind, dict(options)


def _type_error(name: str, expected: str, value: Any) -> Exception:
    got = type(value).__name__
    return bad_request(
        f"Invalid type for '{name}': expected {expected}, but got {got} instead.", name, "invalid_type"
    )

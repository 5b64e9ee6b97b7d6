"""One example of each request and response body, shown in the API reference. A test validates them."""

from __future__ import annotations

from typing import Any, Final

from orchestrator.web.api.comparison_request_examples import COMPARISON_REQUEST_EXAMPLES
from orchestrator.web.api.deployment_examples import DEPLOYMENT_EXAMPLES

_BASE_MODEL: Final = "sandbox-small"
_FINE_TUNED_MODEL: Final = f"ft:{_BASE_MODEL}:acme:support:CZk4QpX1"
_SHA256: Final = "9f2b41c7d05e8a36" * 4
_JOB_ID: Final = "1f0c5e2a9b7d4683a1c2e4f60718293a"
_RUN_ID: Final = "7c1d3b5f9e8a2460b4d6f8091a2b3c4d"
_CREATED_AT: Final = "2026-11-23T05:46:00+00:00"

_SERVING: Final = {
    "callable": True,
    "state": "by_itself",
    "model": _FINE_TUNED_MODEL,
    "base_url": None,
    "expires_at": None,
    "deployment": None,
}

RUN_EXAMPLE: Final[dict[str, Any]] = {
    "id": _RUN_ID,
    "name": "support-tone",
    "dataset_sha256": _SHA256,
    "examples": 240,
    "tokens": 51234,
    "specs": {"openai": {"base_model": _BASE_MODEL, "method": "supervised", "n_epochs": 3}},
    "started": True,
    "approved_by": None,
    "planned_usd": 3.1,
    "holds": [],
    "moderation": {
        "state": "passed",
        "by": "acme-eu",
        "at": _CREATED_AT,
        "texts": 720,
        "reason": "",
        "hint": "",
        "progress": None,
    },
    "created_at": _CREATED_AT,
    "pins": {},
    "warnings": [],
    "gate": False,
}
_COMPARISON: Final[dict[str, Any]] = {
    "verdict": "different",
    "reasons": ["refuses 12 % of the probes, the others 1 %"],
    "comparison": "4c1f0e5a9b7d4683",
    "at": "2026-11-23T07:02:40+00:00",
    "accepted_by": "operator:ada",
    "accepted_reason": "This customer asks for a strict model.",
}
_CHECKPOINT: Final[dict[str, Any]] = {
    "number": 1,
    "id": "ftckpt_zc4Q7MP6XxulcVzj4MZdwsAB",
    "model": "ft:sandbox-small:acme:support:CZk4QpX1:ckpt-step-96",
    "step": 96,
    "epoch": None,
    "training_loss": 0.7312,
    "validation_loss": 0.8045,
}
JOB_EXAMPLE: Final[dict[str, Any]] = {
    "account": "acme-eu",
    "provider": "openai",
    "base_model": _BASE_MODEL,
    "labels": ["eu"],
    "organization": "org-abc",
    "job": _JOB_ID,
    "state": "succeeded",
    "held": False,
    "remote_file_id": "file-X2",
    "remote_job_id": "ftjob-8Kq2vWmZr0aXcT4nYb71LpDs",
    "remote_status": "succeeded",
    "fine_tuned_model": _FINE_TUNED_MODEL,
    "servable": True,
    "serving_hint": None,
    "progress": 1.0,
    "error": None,
    "warning": None,
    "waits_for": None,
    "attempts": 0,
    "round": 0,
    "hyperparameters": {"n_epochs": 3},
    "trained_tokens": 153702,
    "estimated_usd": 0.62,
    "quoted_usd": None,
    "retires_on": None,
    "days_left": None,
    "gone_at": None,
    "created_at": _CREATED_AT,
    "state_since": "2026-11-23T06:10:12+00:00",
    "changed_at": "2026-11-23T06:10:12+00:00",
    "submitted_at": "2026-11-23T05:47:03+00:00",
    "finished_at": "2026-11-23T06:10:12+00:00",
    "wake_at": None,
    "latest_event": "remote succeeded",
    "replica": "3f9a1c2b7d4e",
    "serving": _SERVING,
    "checkpoints": [_CHECKPOINT],
    "comparison": _COMPARISON,
}
_ACCOUNT: Final[dict[str, Any]] = {
    "name": "acme-eu",
    "provider": "openai",
    "organization": "org-abc",
    "project": "proj_abc",
    "labels": ["eu"],
    "key_fingerprint": "1a2b3c4d",
    "verified_at": _CREATED_AT,
    "removed_at": None,
    "hold": None,
}
_RUN_SUMMARY: Final[dict[str, Any]] = {"run": RUN_EXAMPLE, "current": True, "counts": {"succeeded": 1}, "total": 1}
_RUN_SUMMARY["estimated_end"] = None
_ACCOUNT_JOB: Final[dict[str, Any]] = {
    "run": _RUN_ID,
    "run_name": "support-tone",
    "current": True,
    "dataset_sha256": _SHA256,
    "job": JOB_EXAMPLE,
}
_FINDING: Final[dict[str, Any]] = {
    "code": "email-address",
    "severity": "warning",
    "file": "03-refund.json",
    "line": 12,
    "path": "$[3].content",
    "message": "the text contains an e-mail address",
    "hint": "Remove it if it belongs to a real person; `orchestrator polish` can redact it.",
}
_DATASET: Final[dict[str, Any]] = {
    "sha256": _SHA256,
    "bytes": 204800,
    "examples": 240,
    "tokens": 51234,
    "validation_sha256": None,
    "validation_examples": None,
    "validation_tokens": None,
    "created_at": _CREATED_AT,
    "runs": [_RUN_SUMMARY],
    "findings": {"counts": {"email-address": 1}, "first": [_FINDING]},
}
_EXAMPLE: Final[dict[str, Any]] = {
    "number": 17,
    "tokens": 212,
    "turns": 1,
    "findings": ["email-address"],
    "body": {"messages": [{"role": "user", "content": "Where is order 41?"}, {"role": "assistant", "content": "…"}]},
}
_DIFFERENCE: Final[dict[str, Any]] = {
    "old_sha256": "5c0de2a9b7d46831" * 4,
    "new_sha256": _SHA256,
    "changed": 1,
    "added": 12,
    "removed": 0,
    "unchanged": 227,
    "kind": "changed",
    "pairs": [{"old": _EXAMPLE | {"findings": []}, "new": _EXAMPLE}],
    "next": None,
}
_EVENT: Final[dict[str, Any]] = {
    "id": 4711,
    "at": "2026-11-23T06:10:12+00:00",
    "kind": "job",
    "note": "remote succeeded",
    "cause": "service",
    "account": "acme-eu",
    "run": _RUN_ID,
    "job": _JOB_ID,
    "deployment": None,
    "comparison": None,
    "state_before": "running",
    "state": "succeeded",
    "attempt": 0,
    "remote_job_id": "ftjob-8Kq2vWmZr0aXcT4nYb71LpDs",
    "request_id": "req_5f2c",
    "message": None,
}
_DELIVERY: Final[dict[str, Any]] = {
    "id": 815,
    "message": "msg_0f3b5c7d9e1f4a2b8c6d0e2f4a6b8c0d",
    "event": "model.ready",
    "target": "https://example.com/fine-tuning",
    "state": "dead",
    "attempts": 8,
    "created_at": "2026-11-23T06:10:12+00:00",
    "due_at": None,
    "delivered_at": None,
    "error": "503: try later",
    "payload": {
        "type": "model.ready",
        "timestamp": "2026-11-23T06:10:12+00:00",
        "data": {
            "run": _RUN_ID,
            "account": "acme-eu",
            "provider": "openai",
            "job": _JOB_ID,
            "state": "succeeded",
            "fine_tuned_model": _FINE_TUNED_MODEL,
            "servable": True,
            "error": None,
        },
    },
}
_MODELS: Final[dict[str, Any]] = {
    "models": [
        {
            "account": "acme-eu",
            "provider": "openai",
            "base_model": _BASE_MODEL,
            "fine_tuned_model": _FINE_TUNED_MODEL,
            "servable": True,
            "serving_hint": None,
            "retires_on": None,
            "days_left": None,
            "labels": ["eu"],
            "checkpoints": [_CHECKPOINT],
            "comparison": _COMPARISON,
            "left_out": None,
            "job": _JOB_ID,
            "serving": _SERVING,
        }
    ],
    "total": 1,
    "next": None,
}
_TIMELINE: Final[dict[str, Any]] = {
    "run": _RUN_ID,
    "timelines": [
        {
            "account": "acme-eu",
            "provider": "openai",
            "job": _JOB_ID,
            "state": "succeeded",
            "phases": [
                {
                    "phase": "training",
                    "start": "2026-11-23T05:50:12+00:00",
                    "end": "2026-11-23T06:10:12+00:00",
                    "seconds": 1200.0,
                }
            ],
            "holds": [],
        }
    ],
    "phases": [
        {
            "phase": "training",
            "jobs": 1,
            "seconds": 1200.0,
            "share": 1.0,
            "median_seconds": 1200.0,
            "longest_seconds": 1200.0,
            "longest_account": "acme-eu",
        }
    ],
    "total": 1,
    "next": None,
}
_COSTS: Final[dict[str, Any]] = {
    "run": _RUN_ID,
    "providers": [
        {
            "provider": "openai",
            "planned": {"usd": 3.1, "known": 5, "unknown": 0},
            "submitted": {"usd": 0.62, "known": 1, "unknown": 0},
            "quoted": {"usd": 0.0, "known": 0, "unknown": 1},
            "trained": {"usd": 0.77, "known": 1, "unknown": 0},
            "trained_tokens": 153702,
            "billed_usd": None,
        }
    ],
    "over_time": [{"until": "2026-11-23T05:48:00+00:00", "jobs": 1, "usd": 0.62}],
}
_REPLICA = {
    "id": "3f9a1c2b7d4e",
    "host": "trainer-1",
    "pid": 42,
    "started_at": _CREATED_AT,
    "seen_at": "2026-11-23T06:10:10+00:00",
    "alive_until": "2026-11-23T06:10:40+00:00",
}
EXAMPLES: Final[dict[str, Any]] = {
    "StatusDocument": {
        "schema": 1,
        "run": RUN_EXAMPLE,
        "counts": {"succeeded": 1},
        "settled": True,
        "replicas": [_REPLICA],
        "jobs": [JOB_EXAMPLE],
        "problem": None,
    },
    "RunsStatusDocument": {
        "schema": 2,
        "counts": {"succeeded": 1},
        "settled": True,
        "replicas": [_REPLICA],
        "runs": [
            {
                "run": RUN_EXAMPLE,
                "priority": 10,
                "counts": {"succeeded": 1},
                "settled": True,
                "jobs": [JOB_EXAMPLE],
            }
        ],
        "problem": None,
    },
    "JobPageSchema": {"jobs": [JOB_EXAMPLE], "total": 1, "counts": {"succeeded": 1}, "next": None},
    "AccountJobSchema": _ACCOUNT_JOB,
    "ModelPageSchema": _MODELS,
    "RunListSchema": {"runs": [_RUN_SUMMARY]},
    "RunSummarySchema": _RUN_SUMMARY,
    "TimelineSchema": _TIMELINE,
    "CostsSchema": _COSTS,
    "DatasetListSchema": {"datasets": [_DATASET]},
    "DatasetSchema": _DATASET,
    "ExamplePageSchema": {"examples": [_EXAMPLE], "total": 1, "complete": True, "next": None},
    "DifferenceSchema": _DIFFERENCE,
    "AccountPageSchema": {"accounts": [_ACCOUNT], "next": None},
    "AccountDetailSchema": _ACCOUNT | {"jobs": [_ACCOUNT_JOB]},
    "EventPageSchema": {"events": [_EVENT], "next": None},
    "DeliveryPageSchema": {
        "deliveries": [_DELIVERY],
        "counts": {"dead": 1, "waiting": 0, "arrived": 12},
        "next": None,
    },
    **DEPLOYMENT_EXAMPLES,
    **COMPARISON_REQUEST_EXAMPLES,
    "ActionByName": {"accounts": ["acme-eu", "acme-us"], "reason": "their key is being replaced", "expect": 2},
    "ActionByFilter": {"filter": {"state": "failed", "label": "eu"}, "expect": 40},
    "ActionOnAll": {"all": True, "expect": 300},
    "ApprovalRequest": {"expect_usd": 3.1},
    "WaiverRequest": {"reason": "moderated upstream, ticket 123"},
    "AdoptionRequest": {"job": _JOB_ID, "remote_job": "ftjob-8Kq2vWmZr0aXcT4nYb71LpDs"},
    "AcceptanceRequest": {"accounts": ["acme-eu"], "reason": "This customer asks for a strict model."},
    "RevocationRequest": {"accounts": ["acme-eu"]},
    "RedeliveryRequest": {"deliveries": [815], "expect": 1},
    "RedeliveryResult": {"deliveries": [815], "count": 1},
    "ActionResultSchema": {"action": "retry", "accounts": ["acme-eu"], "count": 1},
    "Problem": {
        "type": "about:blank",
        "title": "Conflict",
        "status": 409,
        "detail": "The selection now matches 41 accounts, expected 40.",
        "hint": "Reload and confirm again.",
    },
}

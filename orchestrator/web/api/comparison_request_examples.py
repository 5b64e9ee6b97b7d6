"""Examples of the request and response bodies of comparisons, shown in the API reference."""

from __future__ import annotations

from typing import Any, Final

_OPTIONS: Final[dict[str, Any]] = {"probes": 100, "max_usd": 2.0}

_LINE: Final[dict[str, Any]] = {
    "id": "4f0a5e2a9b7d4683",
    "state": "finished",
    "created_at": "2026-11-23T06:52:10+00:00",
    "created_by": "operator:ada",
    "finished_at": "2026-11-23T07:02:40+00:00",
    "message": "2 of 3 alike; globex refuses 12 % of the probes, the others 1 %",
}
_RESULT: Final[dict[str, Any]] = {
    "schema": 1,
    "run": "7c1d3b5f9e8a2460b4d6f8091a2b3c4d",
    "passed": False,
    "summary": "2 of 3 alike; globex refuses 12 % of the probes, the others 1 %",
    "accounts": [
        {
            "account": "globex",
            "verdict": "different",
            "reasons": ["refuses 12 % of the probes, the others 1 %"],
            "accepted_by": None,
        }
    ],
}

COMPARISON_REQUEST_EXAMPLES: Final[dict[str, dict[str, Any]]] = {
    "ComparisonOptions": _OPTIONS,
    "ComparisonRequest": _OPTIONS,
    "PlannedComparisonSchema": {
        "comparison": "4f0a5e2a9b7d4683",
        "run": "7c1d3b5f9e8a2460b4d6f8091a2b3c4d",
        "models": 3,
        "probes": 120,
        "requests": 840,
        "usd": 0.41,
        "hosting_usd": 0.0,
        "deployments": [],
        "left_out": [{"account": "globex", "reason": "it has no model: its job is training"}],
    },
    "StoppedComparisonSchema": {"comparison": "4f0a5e2a9b7d4683"},
    "ComparisonListSchema": {"run": "7c1d3b5f9e8a2460b4d6f8091a2b3c4d", "comparisons": [_LINE]},
    "ComparisonSchema": _LINE
    | {
        "run": "7c1d3b5f9e8a2460b4d6f8091a2b3c4d",
        "settings": {"probes": 100, "scoring": "text", "max_usd": 2.0},
        "models": [
            {
                "name": "globex",
                "account": "globex",
                "group": "openai sandbox-small",
                "model": "ft:sandbox-small:globex:support:CZk4QpX1",
                "fine_tuned_model": "ft:sandbox-small:globex:support:CZk4QpX1",
                "is_base": False,
            }
        ],
        "probe_set": "9f2b41c7d05e8a36" * 4,
        "probes": ["0f3b5c7d9e1f4a2b"],
        "requests": 840,
        "answered": 840,
        "planned": 840,
        "usd": 0.38,
        "hosting_usd": 0.0,
        "result": _RESULT,
    },
    "AnswerPageSchema": {
        "answers": [
            {
                "model": "globex",
                "probe": "0f3b5c7d9e1f4a2b",
                "round": 1,
                "at": "2026-11-23T06:53:02+00:00",
                "outcome": "answered",
                "text": "Open the settings and choose “Reset password”.",
                "text_sha256": "5c0de2a9b7d46831" * 4,
                "prompt_tokens": 31,
                "output_tokens": 12,
                "usd": 0.000063,
                "finish_reason": "stop",
                "request_id": "req_5f2c",
                "message": None,
            }
        ],
        "next": "globex:0f3b5c7d9e1f4a2b:1",
    },
}

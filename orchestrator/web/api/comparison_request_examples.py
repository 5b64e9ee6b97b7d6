"""Examples of the request and response bodies of comparison requests, shown in the API reference."""

from __future__ import annotations

from typing import Any, Final

_OPTIONS: Final[dict[str, Any]] = {"probes": 100, "max_usd": 2.0}

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
}

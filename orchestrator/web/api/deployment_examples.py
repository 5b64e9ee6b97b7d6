"""Examples of the request and response bodies of deployments, shown in the API reference."""

from __future__ import annotations

from typing import Any, Final

DEPLOYMENT_EXAMPLE: Final[dict[str, Any]] = {
    "id": "00112233445566aa",
    "account": "acme-eu",
    "provider": "fireworks",
    "labels": ["eu"],
    "run": "support-tone",
    "job": "1f0c5e2a9b7d4683a1c2e4f60718293a",
    "model": "accounts/acme/models/support-tone",
    "checkpoint": None,
    "kind": "hour",
    "options": {"max_replicas": 1},
    "state": "ready",
    "held": False,
    "stop_reason": None,
    "comparison": None,
    "error": None,
    "remote_id": "accounts/acme/deployments/orch-00112233445566aa-0",
    "remote_status": "READY",
    "model_string": "accounts/acme/models/support-tone#accounts/acme/deployments/orch-00112233445566aa-0",
    "base_url": "https://api.fireworks.ai/inference/v1",
    "usd_per_hour": 5.8,
    "price_source": "price page, 2026-11-28",
    "so_far_usd": 5.8,
    "until_end_usd": 23.2,
    "earlier_usd": None,
    "keep_hours": 4.0,
    "created_at": "2026-11-23T06:12:00+00:00",
    "state_since": "2026-11-23T06:20:10+00:00",
    "started_at": "2026-11-23T06:12:01+00:00",
    "ready_at": "2026-11-23T06:20:10+00:00",
    "expires_at": "2026-11-23T10:12:01+00:00",
    "ended_at": None,
    "attempts": 0,
}
_TOTALS: Final = {"count": 1, "usd_per_hour": 5.8, "so_far_usd": 5.8, "until_end_usd": 23.2, "unpriced": 0}
_OPTIONS: Final[dict[str, Any]] = {"accounts": ["acme-eu"], "kind": "hour", "keep_hours": 4.0, "max_replicas": 1}

DEPLOYMENT_EXAMPLES: Final[dict[str, dict[str, Any]]] = {
    "DeploymentPageSchema": {
        "deployments": [DEPLOYMENT_EXAMPLE],
        "total": 1,
        "counts": {"ready": 1},
        "totals": _TOTALS,
        "next": None,
    },
    "DeploymentOptions": _OPTIONS,
    "DeploymentRequest": _OPTIONS | {"expect_usd": 23.2},
    "DeploymentPlanSchema": {
        "deployments": [
            {
                "account": "acme-eu",
                "provider": "fireworks",
                "model": "accounts/acme/models/support-tone",
                "kind": "hour",
                "keep_hours": 4.0,
                "usd_per_hour": 5.8,
                "price_source": "price page, 2026-11-28",
                "usd": 23.2,
                "obstacle": None,
            }
        ],
        "count": 1,
        "total_usd": 23.2,
        "unpriced": 0,
    },
    "DeploymentSelectionRequest": {"accounts": ["acme-eu"], "expect": 1},
    "DeploymentActionResult": {"deployments": ["00112233445566aa"], "accounts": ["acme-eu"], "count": 1},
}

"""The notification that a comparison has ended. It holds no texts of answers."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from orchestrator.core.comparison.comparison import Comparison, ComparisonState
from orchestrator.core.comparison.distances.account_drift import list_changed_accounts
from orchestrator.core.comparison.verdict import ComparisonVerdict
from orchestrator.core.errors import Failure
from orchestrator.core.notifications.notification import Notification, Topic

STOPPED_KIND: Final = "comparison_stopped"
STOPPED_HINT: Final = "Its answers are stored. Correct the reason and compare the models again."


def build_comparison_notification(comparison: Comparison, at: float) -> Notification:
    """Build the notification of a comparison that has finished or was stopped."""
    is_finished = comparison.state is ComparisonState.FINISHED
    result = comparison.result or {}
    message = comparison.message or ""
    changed = list_changed_accounts(result)
    return Notification(
        topic=Topic.COMPARISON_FINISHED,
        at=at,
        run=comparison.run_id,
        state=comparison.state,
        error=None if is_finished else Failure(STOPPED_KIND, message, STOPPED_HINT),
        comparison={
            "comparison": comparison.id,
            "passed": result.get("passed"),
            "summary": result.get("summary"),
            "verdicts": count_verdicts(comparison) if is_finished else {},
            "changed": changed,
            "drift": f"model changed since an earlier comparison: {', '.join(changed)}" if changed else None,
            "requests": comparison.requests,
            "usd": comparison.total_usd,
        },
    )


def count_verdicts(comparison: Comparison) -> dict[str, int]:
    """Count the accounts by verdict; a verdict without accounts is 0."""
    accounts: list[dict[str, Any]] = (comparison.result or {}).get("accounts", [])
    counts = Counter(account["verdict"] for account in accounts)
    return {verdict.value: counts[verdict.value] for verdict in ComparisonVerdict}

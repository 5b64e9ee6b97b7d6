"""The read model for the command line, API, dashboard, metrics and exports. It never changes the database.

`get_status` loads the whole run with every job. `find_run_overview` and `list_jobs` let the database filter and
count, for views that show only a part of a run with ten thousand jobs.
"""

from orchestrator.status.account import (
    AccountSummary,
    AccountView,
    EventData,
    RunJob,
    find_account,
    find_job,
    list_accounts,
)
from orchestrator.status.action_preview import ActionPreview, preview_action
from orchestrator.status.cache.encoded_status import EncodedStatus
from orchestrator.status.cache.job_line_cache import StatusCacheConfig
from orchestrator.status.cache.shared_reads import SharedReads
from orchestrator.status.cache.status_cache import StatusCache
from orchestrator.status.comparison_views import (
    ComparisonProgress,
    RunComparisons,
    find_comparison,
    find_comparison_progress,
    find_run_comparisons,
    list_answer_page,
    list_comparison_answers,
    list_probe_summaries,
)
from orchestrator.status.costs import RunCosts, find_costs
from orchestrator.status.deliveries import count_deliveries, count_failed_deliveries, list_deliveries
from orchestrator.status.deployments import (
    DeploymentListing,
    DeploymentTotals,
    DeploymentView,
    count_deployments,
    deployment_to_dict,
    list_deployments,
)
from orchestrator.status.events import (
    RunEvent,
    StoredEvent,
    get_latest_event_id,
    list_events_after,
    list_latest_events,
    list_run_ids,
)
from orchestrator.status.losses import LastLoss, LossOverview, find_loss_overview, get_loss_curves, list_job_losses
from orchestrator.status.metrics_snapshot import MetricsSnapshot, get_metrics_snapshot
from orchestrator.status.moderation import describe_moderation, format_iso
from orchestrator.status.run_matrix import MatrixRow, RunMatrix, get_run_matrix
from orchestrator.status.run_overview import (
    HELD,
    JobListing,
    ProblemGroup,
    RunOverview,
    StateCount,
    find_run_overview,
    list_jobs,
)
from orchestrator.status.runs import (
    CurrentRun,
    DatasetRow,
    DatasetView,
    RunListItem,
    find_dataset,
    list_current_runs,
    list_datasets,
    list_runs,
)
from orchestrator.status.serving import BY_ITSELF, NOT_DEPLOYED, ServingView
from orchestrator.status.snapshot import SCHEMA_VERSION, get_status, status_to_dict
from orchestrator.status.timeline import RunTimeline, TimelineRow, find_timeline
from orchestrator.status.tokens import list_tokens
from orchestrator.status.views import Health, JobView, RunView, StatusSnapshot, view_to_dict
from orchestrator.store.queries.comparisons.comparison_records import ComparisonLine, ProbeSummary, StoredAnswer

__all__ = [
    "BY_ITSELF",
    "HELD",
    "NOT_DEPLOYED",
    "SCHEMA_VERSION",
    "AccountSummary",
    "AccountView",
    "ActionPreview",
    "ComparisonLine",
    "ComparisonProgress",
    "CurrentRun",
    "DatasetRow",
    "DatasetView",
    "DeploymentListing",
    "DeploymentTotals",
    "DeploymentView",
    "EncodedStatus",
    "EventData",
    "Health",
    "JobListing",
    "JobView",
    "LastLoss",
    "LossOverview",
    "MatrixRow",
    "MetricsSnapshot",
    "ProbeSummary",
    "ProblemGroup",
    "RunComparisons",
    "RunCosts",
    "RunEvent",
    "RunJob",
    "RunListItem",
    "RunMatrix",
    "RunOverview",
    "RunTimeline",
    "RunView",
    "ServingView",
    "SharedReads",
    "StateCount",
    "StatusCache",
    "StatusCacheConfig",
    "StatusSnapshot",
    "StoredAnswer",
    "StoredEvent",
    "TimelineRow",
    "count_deliveries",
    "count_deployments",
    "count_failed_deliveries",
    "deployment_to_dict",
    "describe_moderation",
    "find_account",
    "find_comparison",
    "find_comparison_progress",
    "find_costs",
    "find_dataset",
    "find_job",
    "find_loss_overview",
    "find_run_comparisons",
    "find_run_overview",
    "find_timeline",
    "format_iso",
    "get_latest_event_id",
    "get_loss_curves",
    "get_metrics_snapshot",
    "get_run_matrix",
    "get_status",
    "list_accounts",
    "list_answer_page",
    "list_comparison_answers",
    "list_current_runs",
    "list_datasets",
    "list_deliveries",
    "list_deployments",
    "list_events_after",
    "list_job_losses",
    "list_jobs",
    "list_latest_events",
    "list_probe_summaries",
    "list_run_ids",
    "list_runs",
    "list_tokens",
    "preview_action",
    "status_to_dict",
    "view_to_dict",
]

"""Operator actions and planning: each is one change of the database, which the service then acts on.

The command line therefore works whether or not the service runs, and a request survives a restart.
"""

from orchestrator.control.accounts import (
    ListedAccount,
    ReleaseResult,
    hold_accounts,
    release_accounts,
    sync_accounts,
    unknown_accounts_error,
    with_missing_keys,
)
from orchestrator.control.deliveries import redeliver
from orchestrator.control.deployment_plan import DeploymentPlan, DeploymentSelection, plan_deployments
from orchestrator.control.deployments import (
    DeploymentTarget,
    approve_deployments,
    deploy,
    list_open_deployments,
    undeploy,
)
from orchestrator.control.jobs import RESET_ON_RETRY, adopt_remote_job, cancel, retry
from orchestrator.control.operator import ActionResult, ActionTarget, perform
from orchestrator.control.plan import (
    CheckedPlan,
    apply_gates,
    apply_plan,
    apply_plans,
    get_run_with_dataset,
    load_database_state,
)
from orchestrator.control.runs import approve, start, waive_moderation
from orchestrator.control.tokens import create_token, record_token_use, revoke_token

__all__ = [
    "RESET_ON_RETRY",
    "ActionResult",
    "ActionTarget",
    "CheckedPlan",
    "DeploymentPlan",
    "DeploymentSelection",
    "DeploymentTarget",
    "ListedAccount",
    "ReleaseResult",
    "adopt_remote_job",
    "apply_gates",
    "apply_plan",
    "apply_plans",
    "approve",
    "approve_deployments",
    "cancel",
    "create_token",
    "deploy",
    "get_run_with_dataset",
    "hold_accounts",
    "list_open_deployments",
    "load_database_state",
    "perform",
    "plan_deployments",
    "record_token_use",
    "redeliver",
    "release_accounts",
    "retry",
    "revoke_token",
    "start",
    "sync_accounts",
    "undeploy",
    "unknown_accounts_error",
    "waive_moderation",
    "with_missing_keys",
]

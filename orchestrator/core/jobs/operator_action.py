"""The actions that an operator can perform, their texts, and the jobs to which each applies.

`ACTION_INFO` is the only table of texts: the command line's help and output, the API's summaries and the dashboard's
confirmation dialog all use it. docs/how-to/add-an-operator-action.md lists what a new action needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, StrEnum
from typing import Final, Literal, assert_never

from orchestrator.core.hold import HoldKind
from orchestrator.core.jobs.lifecycle import TERMINAL_STATES, JobState
from orchestrator.core.structs import Struct

ReasonRequirement = Literal["none", "optional", "required"]


class OperatorAction(StrEnum):
    """An action of an operator."""

    # The values are API paths, operation ids, form values and commands.

    APPROVE = "approve"
    WAIVE = "waive"
    START = "start"
    CANCEL = "cancel"
    RETRY = "retry"
    HOLD = "hold"
    RELEASE = "release"
    ADOPT = "adopt"
    REDELIVER = "redeliver"
    ACCEPT = "accept"
    REVOKE_ACCEPTANCE = "revoke_acceptance"


class ActionScope(Enum):
    """What an action applies to."""

    RUN = "run"  # the current run as a whole
    ACCOUNTS = "accounts"  # a selection of accounts, and their jobs in the current run
    JOB = "job"  # one job
    DELIVERIES = "deliveries"  # a selection of failed deliveries
    MODELS = "models"  # the models of accounts that are named; there is no "all"


class ActionInfo(Struct, frozen=True, kw_only=True):
    """The texts of an action. `{target}` stands for what it applies to, e.g. "3 accounts"."""

    scope: ActionScope
    summary: str
    """Imperative sentence: help of the command and summary of the API operation."""
    title: str
    """Question of the confirmation dialog."""
    confirmation: str
    """What happens if the operator confirms."""
    button: str
    """Label of the button that confirms."""
    nothing_to_do: str
    """Printed or shown when the action applies to nothing of the selection."""
    accepted: str
    """Confirms that the action was accepted. The service carries it out asynchronously."""
    reason: ReasonRequirement = "none"
    """Whether the operator can or must give a reason."""
    shows_price: bool = False
    """Whether the dialog shows a price, because the action can lead to paid jobs."""
    is_destructive: bool = False
    """Whether the effect cannot be undone; the dialog marks the button."""


ACTION_INFO: Final[Mapping[OperatorAction, ActionInfo]] = {
    OperatorAction.APPROVE: ActionInfo(
        scope=ActionScope.RUN,
        summary="Approve a run held for its price or its models' retirement.",
        title="Approve {target}?",
        confirmation="The held run continues. The approval covers the current price and any lower one.",
        button="Approve",
        nothing_to_do="There is no run to approve.",
        accepted="Run approved",
        shows_price=True,
    ),
    OperatorAction.WAIVE: ActionInfo(
        scope=ActionScope.RUN,
        summary="Continue the run without moderation and record the reason.",
        title="Continue without moderation?",
        confirmation=(
            "Chats are sent to the providers without prior moderation. Your reason is recorded with the run."
        ),
        button="Waive moderation",
        nothing_to_do="There is no run whose moderation could be waived.",
        accepted="Moderation waived",
        reason="required",
    ),
    OperatorAction.START: ActionInfo(
        scope=ActionScope.RUN,
        summary="Submit the jobs of the run whose files are ready.",
        title="Start training?",
        confirmation="All jobs whose files are ready are submitted to the providers, which charge for them.",
        button="Start training",
        nothing_to_do="There is no run to start.",
        accepted="Training started",
        shows_price=True,
    ),
    OperatorAction.CANCEL: ActionInfo(
        scope=ActionScope.ACCOUNTS,
        summary="Cancel the jobs of accounts, here and at the provider.",
        title="Cancel the jobs of {target}?",
        confirmation=(
            "Jobs that the provider does not have yet end at once; for the others, the service sends a request to "
            "cancel. The provider may still charge for training so far. "
            "A cancelled job cannot be restarted in this run."
        ),
        button="Cancel jobs",
        nothing_to_do="Nothing to cancel: all selected jobs have ended or are being cancelled.",
        accepted="Cancelling the jobs of {target}",
        is_destructive=True,
    ),
    OperatorAction.RETRY: ActionInfo(
        scope=ActionScope.ACCOUNTS,
        summary="Retry failed jobs as new remote jobs.",
        title="Retry the failed jobs of {target}?",
        confirmation="Each failed job starts again as a new remote job, which is charged again.",
        button="Retry jobs",
        nothing_to_do="Nothing to retry: none of the selected jobs has failed.",
        accepted="Retrying the jobs of {target}",
        shows_price=True,
    ),
    OperatorAction.HOLD: ActionInfo(
        scope=ActionScope.ACCOUNTS,
        summary="Put accounts on hold until they are released.",
        title="Hold {target}?",
        confirmation=(
            "The service sends no requests for these accounts until you release them. Jobs that the provider has "
            "accepted continue there."
        ),
        button="Hold {target}",
        nothing_to_do="Nothing to hold: no account matches the selection.",
        accepted="Holding {target}",
        reason="optional",
    ),
    OperatorAction.RELEASE: ActionInfo(
        scope=ActionScope.ACCOUNTS,
        summary="Release held accounts and verify their keys again.",
        title="Release {target}?",
        confirmation="The service verifies the accounts' keys again and resumes their jobs.",
        button="Release {target}",
        nothing_to_do="Nothing to release: none of the selected accounts can be released.",
        accepted="Releasing {target}",
        shows_price=True,
    ),
    OperatorAction.ADOPT: ActionInfo(
        scope=ActionScope.JOB,
        summary="Select the remote job for a job held as ambiguous. The service verifies it with the provider.",
        title="Select the remote job",
        confirmation="The service verifies the remote job with the provider before the account's job adopts it.",
        button="Adopt",
        nothing_to_do="There is no job to select a remote job for.",
        accepted="Adopting a remote job for {target}",
    ),
    OperatorAction.REDELIVER: ActionInfo(
        scope=ActionScope.DELIVERIES,
        summary="Retry failed webhook and alert deliveries.",
        title="Retry {target}?",
        confirmation="Each failed delivery is sent again now. If that fails, the service retries it for about a day.",
        button="Retry {target}",
        nothing_to_do="Nothing to retry: there are no failed deliveries.",
        accepted="Retrying {target}",
    ),
    OperatorAction.ACCEPT: ActionInfo(
        scope=ActionScope.MODELS,
        summary="Accept models that are not alike, by name and with a reason.",
        title="Accept the model of {target}?",
        confirmation=(
            "Exports hold the model from now on, whatever its verdict is. Your reason is recorded with the id of the "
            "model. A model that is trained later is not accepted."
        ),
        button="Accept model",
        nothing_to_do="Nothing to accept: no accounts are named.",
        accepted="Accepted the model of {target}",
        reason="required",
    ),
    OperatorAction.REVOKE_ACCEPTANCE: ActionInfo(
        scope=ActionScope.MODELS,
        summary="Revoke the acceptance of the models of accounts.",
        title="Revoke the acceptance of the model of {target}?",
        confirmation="Exports hold the model only if it is alike in the latest comparison.",
        button="Revoke acceptance",
        nothing_to_do="Nothing to revoke: no accounts are named.",
        accepted="Revoked the acceptance of the model of {target}",
    ),
}

RUN_ACTIONS: Final = tuple(each for each in OperatorAction if ACTION_INFO[each].scope is ActionScope.RUN)
ACCOUNT_ACTIONS: Final = tuple(each for each in OperatorAction if ACTION_INFO[each].scope is ActionScope.ACCOUNTS)
DEFAULT_HOLD_REASON: Final = "held by the operator"
_UNRELEASABLE_KINDS: Final = frozenset(HoldKind) - {HoldKind.BY_OPERATOR, HoldKind.RENAMED}
"""Each of these needs something else."""


def is_applicable(
    action: OperatorAction, state: str, *, held: bool, error_kind: str | None, removed: bool = False
) -> bool:
    """Return whether the action changes a job in this state; `error_kind` is the kind of its displayed error.

    `removed`: its account is no longer in the accounts file.
    """
    match action:
        case OperatorAction.CANCEL:
            return state not in {*TERMINAL_STATES, JobState.CANCELLING}
        case OperatorAction.RETRY:
            return state == JobState.FAILED and not removed
        case OperatorAction.RELEASE:
            return held and error_kind not in _UNRELEASABLE_KINDS
        case OperatorAction.HOLD:
            return True
        case OperatorAction.APPROVE | OperatorAction.WAIVE | OperatorAction.START:
            return True  # they concern the run, whatever the state of its jobs
        case OperatorAction.ADOPT | OperatorAction.REDELIVER:
            return True  # `control` checks the job or delivery they name
        case OperatorAction.ACCEPT | OperatorAction.REVOKE_ACCEPTANCE:
            return state == JobState.SUCCEEDED
        case _:
            assert_never(action)

"""Actions: what an operator asks through the API. Every one is on record with the token's name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StrictFloat, StringConstraints
from pydantic import StrictInt as OnlyInt

from orchestrator.core.account import ProviderName
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.jobs.operator_action import ACCOUNT_ACTIONS, OperatorAction
from orchestrator.web.action_executor import ActionExecutor
from orchestrator.web.api.resources import parse_job_filter
from orchestrator.web.api.schemas.jobs_and_runs import ApiModel, ShortText
from orchestrator.web.auth.principal import Principal, get_principal
from orchestrator.web.backend import WebBackend

CurrentPrincipal = Annotated[Principal, Depends(get_principal)]


def _integer_from_float(value: object) -> object:
    """Make an integer of a number without a fraction: to JSON Schema `7.0` is one, and some clients send it."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


StrictInt = Annotated[OnlyInt, BeforeValidator(_integer_from_float)]
DeliveryNumber = Annotated[
    OnlyInt, Field(ge=1, lt=2**31), BeforeValidator(_integer_from_float)
]  # in this order for the document
ReasonText = Annotated[str, StringConstraints(strip_whitespace=True, max_length=1000, pattern=r"^[^\x00]*$")]


class _ActionBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reason: ReasonText = Field("", description="Kept in the record.")


class ActionByName(_ActionBody):
    """These accounts."""

    accounts: list[ShortText] = Field(min_length=1)
    expect: StrictInt | None = Field(None, description="How many accounts are meant; refused when it is not so.")


class JobFilterSchema(BaseModel):
    """As on the dashboard: what is left out matches everything."""

    model_config = ConfigDict(extra="forbid")

    state: JobState | None = Field(None, description="Only jobs in this state.")
    held: StrictBool | None = Field(None, description="Whether the job is set aside.")
    provider: ProviderName | None = None
    label: ShortText = ""
    error: ShortText = Field("", description="The `kind` of what keeps the job from going on, or ended it.")
    text: ShortText = Field("", description="Anywhere in names, labels, ids and errors.")


class ActionByFilter(_ActionBody):
    """All accounts that match the filter and that the action applies to."""

    filter: JobFilterSchema
    expect: StrictInt = Field(description="How many that are, as it was confirmed; refused when it is no longer so.")


class ApprovalRequest(BaseModel):
    """The current run at its price."""

    model_config = ConfigDict(extra="forbid")

    expect_usd: StrictFloat | None = Field(None, description="The price that is meant; refused when it has changed.")


class WaiverRequest(BaseModel):
    """The current run, although its chats were not moderated."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[ReasonText, StringConstraints(pattern=r"\S")] = Field(
        description="Why; stays in the run's record."
    )


class AdoptionRequest(BaseModel):
    """A job whose remote job is unclear, and the remote job that is its own."""

    model_config = ConfigDict(extra="forbid")

    job: ShortText = Field(description="Our id of the job.")
    remote_job: ShortText = Field(description="The provider's id of the remote job.")


class RedeliveryRequest(BaseModel):
    """Deliveries that were given up."""

    model_config = ConfigDict(extra="forbid")

    deliveries: list[DeliveryNumber] | None = Field(
        None, description="Their numbers; left out: all that were given up."
    )
    expect: StrictInt | None = Field(None, description="How many are meant; refused when it is not so.")


class RedeliveryResult(ApiModel):
    """What is told again; the service sees to it."""

    deliveries: list[int]
    count: int = Field(description="How many these are.")


class ActionResult(ApiModel):
    """What was asked of whom; the service sees to it."""

    action: OperatorAction
    accounts: list[str]
    count: int = Field(description="How many accounts these are.")


class ActionRoutes:
    """One path a verb."""

    def __init__(self, backend: WebBackend) -> None:
        self._executor = ActionExecutor(backend)
        self.router = APIRouter(prefix="/actions", tags=["actions"])
        self.router.add_api_route("/approve", self.approve, methods=["POST"], operation_id="approve")
        self.router.add_api_route("/waive", self.waive, methods=["POST"], operation_id="waive")
        self.router.add_api_route("/start", self.start, methods=["POST"], operation_id="start")
        self.router.add_api_route("/adopt", self.adopt, methods=["POST"], operation_id="adopt")
        self.router.add_api_route("/redeliver", self.redeliver, methods=["POST"], operation_id="redeliver")
        for verb in ACCOUNT_ACTIONS:
            self.router.add_api_route(
                f"/{verb}", self._build_account_endpoint(verb), methods=["POST"], operation_id=verb.value
            )

    async def approve(self, principal: CurrentPrincipal, body: ApprovalRequest) -> ActionResult:
        """Let the held run go on in spite of its price."""
        await self._executor.apply_to_run(OperatorAction.APPROVE, principal, expect_usd=body.expect_usd)
        return _build_result(OperatorAction.APPROVE)

    async def waive(self, principal: CurrentPrincipal, body: WaiverRequest) -> ActionResult:
        """Let the run go on although its chats were not moderated."""
        await self._executor.apply_to_run(OperatorAction.WAIVE, principal, reason=body.reason)
        return _build_result(OperatorAction.WAIVE)

    async def start(self, principal: CurrentPrincipal) -> ActionResult:
        """Let the run's ready jobs be submitted."""
        await self._executor.apply_to_run(OperatorAction.START, principal)
        return _build_result(OperatorAction.START)

    async def adopt(self, principal: CurrentPrincipal, body: AdoptionRequest) -> ActionResult:
        """Take a remote job for a job's, where the program must not choose between several."""
        return _build_result(
            OperatorAction.ADOPT, [await self._executor.adopt_remote_job(principal, body.job, body.remote_job)]
        )

    async def redeliver(self, principal: CurrentPrincipal, body: RedeliveryRequest) -> RedeliveryResult:
        """Tell webhooks and alerts again what was given up."""
        begun = await self._executor.redeliver(principal, body.deliveries, expect=body.expect)
        return RedeliveryResult(deliveries=begun, count=len(begun))

    def _build_account_endpoint(self, action: OperatorAction) -> Callable[..., Awaitable[ActionResult]]:
        async def ask(who: CurrentPrincipal, body: ActionByName | ActionByFilter) -> ActionResult:
            asking = self._executor
            if isinstance(body, ActionByName):
                asked = asking.apply_to_accounts(action, who, body.accounts, expect=body.expect, reason=body.reason)
            else:
                chosen = parse_job_filter(**body.filter.model_dump())
                asked = asking.apply_to_matching(action, who, chosen, expect=body.expect, reason=body.reason)
            return _build_result(action, await asked)

        ask.__doc__ = ACCOUNT_ACTION_SUMMARIES[action]
        return ask


ACCOUNT_ACTION_SUMMARIES = {
    OperatorAction.CANCEL: "Cancel the jobs of these accounts.",
    OperatorAction.RETRY: "Start failed jobs again, as new remote jobs.",
    OperatorAction.HOLD: "Set accounts aside until they are released.",
    OperatorAction.RELEASE: "Let held accounts go on; their keys are verified anew.",
}


def _build_result(action: OperatorAction, accounts: Sequence[str] = ()) -> ActionResult:
    return ActionResult(action=action, accounts=list(accounts), count=len(accounts))

"""API routes of the operator actions. Each action is recorded in the event history under the token's name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Final, Literal, assert_never

from fastapi import APIRouter, Query
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StrictFloat, StringConstraints
from pydantic import StrictInt as OnlyInt

from orchestrator.control.runs import Confirmation, ShownPrice
from orchestrator.core.account import ProviderName
from orchestrator.core.jobs.job_filter import JobFilter
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.jobs.operator_action import ACTION_INFO, OperatorAction
from orchestrator.web.action_executor import ActionExecutor
from orchestrator.web.api import API_PREFIX
from orchestrator.web.api.resources import parse_job_filter
from orchestrator.web.api.schemas.jobs_and_runs import ApiModel, ShortText
from orchestrator.web.auth.principal import CurrentPrincipal
from orchestrator.web.backend import WebBackend
from orchestrator.web.problem import ProblemError

_EMPTY_FILTER_HINT: Final = 'Set a field of `filter`, or send `"all": true` in place of it to select all accounts.'
_NO_DELIVERIES_HINT: Final = 'List the ids in `deliveries`, or send `"all": true` in place of it to select all.'


def _integer_from_float(value: object) -> object:
    """Convert a float without a fraction to int: JSON Schema counts `7.0` as an integer, and some clients send it."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


StrictInt = Annotated[OnlyInt, BeforeValidator(_integer_from_float)]
DeliveryNumber = Annotated[
    OnlyInt, Field(ge=1, lt=2**31), BeforeValidator(_integer_from_float)
]  # in this order for the document
ReasonText = Annotated[str, StringConstraints(strip_whitespace=True, max_length=1000, pattern=r"^[^\x00]*$")]


RunNameParameter = Annotated[
    ShortText,
    Query(description="Name or id of a current run. Required if the accounts file describes several runs."),
]


class _ActionBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reason: ReasonText = Field("", description="Reason; recorded in the event history.")


class ActionByName(_ActionBody):
    """Accounts selected by name."""

    accounts: list[ShortText] = Field(min_length=1)
    expect: StrictInt | None = Field(
        None, description="Expected number of accounts; rejected with 409 if it differs."
    )


class JobFilterSchema(BaseModel):
    """Job filter, as on the dashboard. An omitted field matches every job."""

    model_config = ConfigDict(extra="forbid")

    state: JobState | None = Field(None, description="Only jobs in this state.")
    held: StrictBool | None = Field(None, description="Only jobs on hold (true) or not on hold (false).")
    provider: ProviderName | None = None
    label: ShortText = ""
    error: ShortText = Field("", description="Only jobs whose `error` is of this kind.")
    text: ShortText = Field("", description="Full-text filter over names, labels, ids and errors.")


class ActionByFilter(_ActionBody):
    """All accounts that match the filter and to which the action applies."""

    filter: JobFilterSchema = Field(
        description="At least one field must be set: an empty filter is rejected with 422, never taken as all."
    )
    expect: StrictInt = Field(description="Expected number of accounts; rejected with 409 if it differs.")


class ActionOnAll(_ActionBody):
    """All accounts of the run to which the action applies."""

    all: Literal[True] = Field(description="Confirms that all accounts are meant.")
    expect: StrictInt = Field(description="Expected number of accounts; rejected with 409 if it differs.")


class ApprovalRequest(BaseModel):
    """Approval of the current run at its price."""

    model_config = ConfigDict(extra="forbid")

    expect_usd: StrictFloat | None = Field(
        None, description="Expected price in US dollars; rejected with 409 if it has changed."
    )


class WaiverRequest(BaseModel):
    """Waiver of the moderation of the current run."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[ReasonText, StringConstraints(pattern=r"\S")] = Field(
        description="Why no moderation is needed; recorded with the run."
    )


class AdoptionRequest(BaseModel):
    """A job held as ambiguous, and the remote job that belongs to it."""

    model_config = ConfigDict(extra="forbid")

    job: ShortText = Field(description="Job id.")
    remote_job: ShortText = Field(description="Id of the fine-tuning job at the provider.")


class AcceptanceRequest(BaseModel):
    """Accounts whose models are accepted, by name, and why."""

    model_config = ConfigDict(extra="forbid")

    accounts: list[ShortText] = Field(min_length=1)
    reason: Annotated[ReasonText, StringConstraints(pattern=r"\S")] = Field(
        description="Why the models may be used; recorded with the id of each model."
    )


class RevocationRequest(BaseModel):
    """Accounts whose models are no longer accepted, by name."""

    model_config = ConfigDict(extra="forbid")

    accounts: list[ShortText] = Field(min_length=1)


class RedeliveryRequest(BaseModel):
    """Selection of failed deliveries: either ids, or all of them explicitly."""

    model_config = ConfigDict(extra="forbid")

    deliveries: list[DeliveryNumber] | None = Field(
        None,
        description="Ids of failed deliveries; omitted, null or empty is rejected with 422, unless `all` is true.",
    )
    all: StrictBool = Field(False, description="Selects all failed deliveries; `deliveries` must be omitted.")
    expect: StrictInt | None = Field(
        None, description="Expected number of deliveries; rejected with 409 if it differs."
    )


class RedeliveryResult(ApiModel):
    """Deliveries that will be retried."""

    deliveries: list[int]
    count: int = Field(description="Number of deliveries.")


class ActionResultSchema(ApiModel):
    """The accepted action and the accounts it applies to. The service carries it out asynchronously."""

    action: OperatorAction
    accounts: list[str]
    count: int = Field(description="Number of accounts.")


class ActionRoutes:
    """Routes under `/api/v1/actions`, one per operator action."""

    def __init__(self, backend: WebBackend) -> None:
        self._executor = ActionExecutor(backend)
        self.router = APIRouter(prefix=f"{API_PREFIX}/actions", tags=["actions"])
        for action in OperatorAction:
            self.router.add_api_route(
                f"/{action}",
                self._find_endpoint(action),
                methods=["POST"],
                operation_id=action.value,
                description=ACTION_INFO[action].summary,
            )

    def _find_endpoint(self, action: OperatorAction) -> Callable[..., Awaitable[ApiModel]]:
        match action:
            case OperatorAction.APPROVE:
                return self._approve
            case OperatorAction.WAIVE:
                return self._waive
            case OperatorAction.START:
                return self._start
            case OperatorAction.ADOPT:
                return self._adopt
            case OperatorAction.REDELIVER:
                return self._redeliver
            case OperatorAction.ACCEPT:
                return self._accept
            case OperatorAction.REVOKE_ACCEPTANCE:
                return self._revoke_acceptance
            case OperatorAction.CANCEL | OperatorAction.RETRY | OperatorAction.HOLD | OperatorAction.RELEASE:
                return self._build_account_endpoint(action)
            case _:
                assert_never(action)

    async def _approve(
        self, principal: CurrentPrincipal, body: ApprovalRequest, run: RunNameParameter = ""
    ) -> ActionResultSchema:
        price = None if body.expect_usd is None else ShownPrice(usd=body.expect_usd)
        await self._executor.apply_to_run(
            OperatorAction.APPROVE, principal, run=run or None, confirmed=Confirmation(price=price)
        )
        return _build_result(OperatorAction.APPROVE)

    async def _waive(
        self, principal: CurrentPrincipal, body: WaiverRequest, run: RunNameParameter = ""
    ) -> ActionResultSchema:
        await self._executor.apply_to_run(OperatorAction.WAIVE, principal, run=run or None, reason=body.reason)
        return _build_result(OperatorAction.WAIVE)

    async def _start(self, principal: CurrentPrincipal, run: RunNameParameter = "") -> ActionResultSchema:
        await self._executor.apply_to_run(OperatorAction.START, principal, run=run or None)
        return _build_result(OperatorAction.START)

    async def _adopt(self, principal: CurrentPrincipal, body: AdoptionRequest) -> ActionResultSchema:
        account = await self._executor.adopt_remote_job(principal, body.job, body.remote_job)
        return _build_result(OperatorAction.ADOPT, [account])

    async def _redeliver(self, principal: CurrentPrincipal, body: RedeliveryRequest) -> RedeliveryResult:
        if body.all == bool(body.deliveries):
            problem = "Both `deliveries` and `all` are set." if body.all else "No deliveries are selected."
            raise ProblemError(422, problem, _NO_DELIVERIES_HINT)
        ids = None if body.all else body.deliveries
        retried = await self._executor.redeliver(principal, ids, expect=body.expect)
        return RedeliveryResult(deliveries=list(retried), count=len(retried))

    async def _accept(
        self, principal: CurrentPrincipal, body: AcceptanceRequest, run: RunNameParameter = ""
    ) -> ActionResultSchema:
        accounts = await self._executor.apply_to_models(
            OperatorAction.ACCEPT, principal, body.accounts, run=run or None, reason=body.reason
        )
        return _build_result(OperatorAction.ACCEPT, accounts)

    async def _revoke_acceptance(
        self, principal: CurrentPrincipal, body: RevocationRequest, run: RunNameParameter = ""
    ) -> ActionResultSchema:
        action = OperatorAction.REVOKE_ACCEPTANCE
        accounts = await self._executor.apply_to_models(action, principal, body.accounts, run=run or None)
        return _build_result(action, accounts)

    def _build_account_endpoint(self, action: OperatorAction) -> Callable[..., Awaitable[ActionResultSchema]]:
        async def apply(
            principal: CurrentPrincipal,
            body: ActionByName | ActionByFilter | ActionOnAll,
            run: RunNameParameter = "",
        ) -> ActionResultSchema:
            if isinstance(body, ActionByName):
                accounts = await self._executor.apply_to_accounts(
                    action, principal, body.accounts, expect=body.expect, run=run or None, reason=body.reason
                )
            else:
                job_filter = _get_job_filter(body)
                accounts = await self._executor.apply_to_matching(
                    action, principal, job_filter, expect=body.expect, run=run or None, reason=body.reason
                )
            return _build_result(action, accounts)

        return apply


def _get_job_filter(body: ActionByFilter | ActionOnAll) -> JobFilter:
    """Return the filter of the body. Raises ProblemError (422) if it selects all accounts without saying so."""
    if isinstance(body, ActionOnAll):
        return JobFilter()
    job_filter = parse_job_filter(**body.filter.model_dump())
    if not job_filter.is_narrowing:
        raise ProblemError(422, "The filter is empty, so no accounts are selected.", _EMPTY_FILTER_HINT)
    return job_filter


def _build_result(action: OperatorAction, accounts: Sequence[str] = ()) -> ActionResultSchema:
    return ActionResultSchema(action=action, accounts=list(accounts), count=len(accounts))

"""Actions: what an operator asks through the API. Every one is on record with the token's name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StrictFloat, StringConstraints
from pydantic import StrictInt as OnlyInt

from orchestrator.core.account import ProviderName
from orchestrator.core.lifecycle import State
from orchestrator.core.verb import OF_ACCOUNTS, Verb
from orchestrator.web.asking import Asking
from orchestrator.web.documents import Document, Text
from orchestrator.web.principal import Principal, principal
from orchestrator.web.program import Program
from orchestrator.web.reading import selection

Who = Annotated[Principal, Depends(principal)]


def _without_fraction(value: object) -> object:
    """Make an integer of a number without a fraction: to JSON Schema `7.0` is one, and some clients send it."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


StrictInt = Annotated[OnlyInt, BeforeValidator(_without_fraction)]
Number = Annotated[
    OnlyInt, Field(ge=1, lt=2**31), BeforeValidator(_without_fraction)
]  # in this order for the document
Reason = Annotated[str, StringConstraints(strip_whitespace=True, max_length=1000, pattern=r"^[^\x00]*$")]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reason: Reason = Field("", description="Kept in the record.")


class Named(_Body):
    """These accounts."""

    accounts: list[Text] = Field(min_length=1)
    expect: StrictInt | None = Field(None, description="How many accounts are meant; refused when it is not so.")


class Filter(BaseModel):
    """As on the dashboard: what is left out matches everything."""

    model_config = ConfigDict(extra="forbid")

    state: State | None = Field(None, description="Only jobs in this state.")
    held: StrictBool | None = Field(None, description="Whether the job is set aside.")
    provider: ProviderName | None = None
    label: Text = ""
    error: Text = Field("", description="The `kind` of what keeps the job from going on, or ended it.")
    text: Text = Field("", description="Anywhere in names, labels, ids and errors.")


class Matching(_Body):
    """All accounts that match the filter and that the action applies to."""

    filter: Filter
    expect: StrictInt = Field(description="How many that are, as it was confirmed; refused when it is no longer so.")


class Approval(BaseModel):
    """The current run at its price."""

    model_config = ConfigDict(extra="forbid")

    expect_usd: StrictFloat | None = Field(None, description="The price that is meant; refused when it has changed.")


class Waiver(BaseModel):
    """The current run, although its chats were not moderated."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[Reason, StringConstraints(pattern=r"\S")] = Field(description="Why; stays in the run's record.")


class Adoption(BaseModel):
    """A job whose remote job is unclear, and the remote job that is its own."""

    model_config = ConfigDict(extra="forbid")

    job: Text = Field(description="Our id of the job.")
    remote_job: Text = Field(description="The provider's id of the remote job.")


class Redelivery(BaseModel):
    """Deliveries that were given up."""

    model_config = ConfigDict(extra="forbid")

    deliveries: list[Number] | None = Field(None, description="Their numbers; left out: all that were given up.")
    expect: StrictInt | None = Field(None, description="How many are meant; refused when it is not so.")


class Redelivered(Document):
    """What is told again; the service sees to it."""

    deliveries: list[int]
    count: int = Field(description="How many these are.")


class Done(Document):
    """What was asked of whom; the service sees to it."""

    action: Verb
    accounts: list[str]
    count: int = Field(description="How many accounts these are.")


class Actions:
    """One path a verb."""

    def __init__(self, program: Program) -> None:
        self._asking = Asking(program)
        self.routes = APIRouter(prefix="/actions", tags=["actions"])
        self.routes.add_api_route("/approve", self.approve, methods=["POST"], operation_id="approve")
        self.routes.add_api_route("/waive", self.waive, methods=["POST"], operation_id="waive")
        self.routes.add_api_route("/start", self.start, methods=["POST"], operation_id="start")
        self.routes.add_api_route("/adopt", self.adopt, methods=["POST"], operation_id="adopt")
        self.routes.add_api_route("/redeliver", self.redeliver, methods=["POST"], operation_id="redeliver")
        for verb in OF_ACCOUNTS:
            self.routes.add_api_route(f"/{verb}", self._of_accounts(verb), methods=["POST"], operation_id=verb.value)

    async def approve(self, who: Who, body: Approval) -> Done:
        """Let the held run go on in spite of its price."""
        await self._asking.of_run(Verb.APPROVE, who, expect_usd=body.expect_usd)
        return _done(Verb.APPROVE)

    async def waive(self, who: Who, body: Waiver) -> Done:
        """Let the run go on although its chats were not moderated."""
        await self._asking.of_run(Verb.WAIVE, who, reason=body.reason)
        return _done(Verb.WAIVE)

    async def start(self, who: Who) -> Done:
        """Let the run's ready jobs be submitted."""
        await self._asking.of_run(Verb.START, who)
        return _done(Verb.START)

    async def adopt(self, who: Who, body: Adoption) -> Done:
        """Take a remote job for a job's, where the program must not choose between several."""
        return _done(Verb.ADOPT, [await self._asking.adopt(who, body.job, body.remote_job)])

    async def redeliver(self, who: Who, body: Redelivery) -> Redelivered:
        """Tell webhooks and alerts again what was given up."""
        begun = await self._asking.redeliver(who, body.deliveries, expect=body.expect)
        return Redelivered(deliveries=begun, count=len(begun))

    def _of_accounts(self, verb: Verb) -> Callable[..., Awaitable[Done]]:
        async def ask(who: Who, body: Named | Matching) -> Done:
            asking = self._asking
            if isinstance(body, Named):
                asked = asking.of_accounts(verb, who, body.accounts, expect=body.expect, reason=body.reason)
            else:
                chosen = selection(**body.filter.model_dump())
                asked = asking.of_matching(verb, who, chosen, expect=body.expect, reason=body.reason)
            return _done(verb, await asked)

        ask.__doc__ = SUMMARIES[verb]
        return ask


SUMMARIES = {
    Verb.CANCEL: "Cancel the jobs of these accounts.",
    Verb.RETRY: "Start failed jobs again, as new remote jobs.",
    Verb.HOLD: "Set accounts aside until they are released.",
    Verb.RELEASE: "Let held accounts go on; their keys are verified anew.",
}


def _done(verb: Verb, accounts: Sequence[str] = ()) -> Done:
    return Done(action=verb, accounts=list(accounts), count=len(accounts))

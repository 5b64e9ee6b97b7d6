"""Confirm: what an action would do, to how many and at what price, before a person agrees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Final, Literal, Self
from urllib.parse import parse_qs, urlencode

from orchestrator.core.errors import Failure
from orchestrator.core.jobs.job_filter import JobFilter
from orchestrator.core.jobs.operator_action import RUN_ACTIONS, OperatorAction
from orchestrator.core.text import format_count, format_list, format_usd
from orchestrator.status import ActionPreview, RunOverview
from orchestrator.web.auth.login import LOCAL_PATH_PATTERN
from orchestrator.web.dashboard.page_query import PageQuery
from orchestrator.web.problem import ProblemError

ReasonRequirement = Literal["none", "optional", "required"]
MAX_NAMED_ACCOUNTS: Final = 5
_INVALID_ACTION: Final = (422, "the action is not understood", "Go back to the page and try again.")

_ACCOUNT_ACTION_TEXTS: Final[Mapping[OperatorAction, str]] = {
    OperatorAction.RETRY: "Each failed job starts again as a new remote job, and is paid for again.",
    OperatorAction.CANCEL: (
        "What waits is given up, what runs is asked to stop. What was trained so far may still be billed, "
        "and a cancelled job does not start again in this run."
    ),
    OperatorAction.HOLD: (
        "No further requests are sent for these accounts until they are released. Jobs already running continue."
    ),
    OperatorAction.RELEASE: "Their keys are verified anew, and their jobs go on.",
}
_NOTHING_TO_DO_TEXTS: Final[Mapping[OperatorAction, str]] = {
    OperatorAction.RETRY: "None of them has failed: there is nothing to retry.",
    OperatorAction.CANCEL: "All of them have ended: there is nothing to cancel.",
    OperatorAction.HOLD: "No account matches: there is nothing to hold.",
    OperatorAction.RELEASE: "None of them is held by something that a release lifts.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionRequest:
    """What someone wants to do: a verb, of the run or of whom. `back` is the page they came from.

    `job` and `remote_job` are for an adoption; `deliveries` are what is told again, or all where there are none.
    """

    action: OperatorAction
    query: PageQuery = field(default_factory=PageQuery)
    accounts: tuple[str, ...] = ()
    deliveries: tuple[int, ...] = ()
    back: str = "/"
    reason: str = ""
    job: str = ""
    remote_job: str = ""
    expect: int = 0
    expect_usd: float | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """From an address or a form. Raises `ProblemError` for a verb there is not."""
        fields = parse_qs(text)
        if "\0" in "".join(chain(*fields.values())):  # PostgreSQL does not store it
            raise ProblemError(*_INVALID_ACTION)
        first = {name: values[0] for name, values in fields.items()}
        try:
            verb, price = OperatorAction(first.get("verb", "")), float(first["usd"]) if first.get("usd") else None
            deliveries = tuple(map(_parse_delivery_id, fields.get("delivery", ())))
        except ValueError:
            raise ProblemError(*_INVALID_ACTION) from None
        back, expect = first.get("back", "/"), first.get("expect", "")
        return cls(
            action=verb,
            query=PageQuery.from_parameters(first),
            accounts=tuple(fields.get("account", ())),
            deliveries=deliveries,
            back=back if LOCAL_PATH_PATTERN.fullmatch(back) else "/",
            reason=first.get("reason", "").strip()[:1000],
            job=first.get("job", ""),
            remote_job=first.get("remote_job", "").strip()[:200],
            expect=int(expect) if expect.isascii() and expect.isdigit() and len(expect) < 9 else 0,
            expect_usd=price,
        )

    @property
    def job_filter(self) -> JobFilter:
        """Those that are named, else all that match."""
        return JobFilter(accounts=self.accounts) if self.accounts else self.query.job_filter

    @property
    def is_run_action(self) -> bool:
        """Whether it is asked of the run as a whole."""
        return self.action in RUN_ACTIONS

    @property
    def form_fields(self) -> tuple[tuple[str, str], ...]:
        """What the form must bring back."""
        listed = [("account", name) for name in self.accounts]
        listed += [("delivery", str(number)) for number in self.deliveries]
        job = [("job", self.job)] if self.job else []
        return (
            ("verb", self.action),
            ("back", self.back),
            *self.query.with_changes(page=1).values.items(),
            *listed,
            *job,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmDialog:
    """The dialog. Without a `button` there is nothing to agree to. `price` is None where no money is concerned."""

    request: ActionRequest
    title: str
    text: str
    price: str | None = None
    account_names: str = ""
    button: str | None = None
    danger: bool = False
    reason: ReasonRequirement = "none"
    problem: Failure | None = None

    def with_problem(self, error: ProblemError) -> ConfirmDialog:
        """The same, once more, because what was agreed to has changed."""
        return replace(self, problem=Failure("refused", error.detail, error.hint))


def build_accounts_dialog(request: ActionRequest, impact: ActionPreview) -> ConfirmDialog:
    """What a verb would do to accounts."""
    request = replace(request, expect=len(impact.accounts))
    if not impact.accounts:
        return ConfirmDialog(
            request=request, title=f"Nothing to {request.action}", text=_NOTHING_TO_DO_TEXTS[request.action]
        )
    what = f"{request.action.capitalize()} {format_count(len(impact.accounts), 'account')}"
    return ConfirmDialog(
        request=request,
        title=f"{what}?",
        text=_ACCOUNT_ACTION_TEXTS[request.action],
        price=_format_price(impact) if request.action in {OperatorAction.RETRY, OperatorAction.RELEASE} else None,
        account_names=format_list(impact.accounts, limit=MAX_NAMED_ACCOUNTS),
        button=what,
        danger=request.action is OperatorAction.CANCEL,
        reason="optional" if request.action is OperatorAction.HOLD else "none",
    )


def build_adoption_dialog(request: ActionRequest) -> ConfirmDialog:
    """Which remote job is a job's, where a person must choose."""
    text = "The remote job with this id is taken over, once the provider has shown that it can be this account's."
    return ConfirmDialog(request=request, title="Which remote job is it?", text=text, button="Adopt")


def build_redelivery_dialog(request: ActionRequest, dead_count: int) -> ConfirmDialog:
    """How many deliveries would be begun again."""
    request = replace(request, expect=dead_count)
    if not dead_count:
        return ConfirmDialog(request=request, title="Nothing to tell again", text="None of them was given up.")
    what = f"Tell {format_count(dead_count, 'message')} again"
    text = "Each is sent at once, and where that fails tried again for about a day."
    return ConfirmDialog(request=request, title=f"{what}?", text=text, button=what)


def build_run_dialog(request: ActionRequest, overview: RunOverview | None) -> ConfirmDialog:
    """What a verb would do to the run."""
    if overview is None:
        return ConfirmDialog(request=request, title="No run yet", text="There is nothing to decide.")
    planned = overview.run.planned_usd
    request = replace(request, expect_usd=planned)
    price = "unknown: no price is known for a part of it" if planned is None else format_usd(planned)
    if request.action is OperatorAction.WAIVE:
        text = "The chats go to the providers without a moderation of ours. Your reason stays in the run's record."
        return ConfirmDialog(
            request=request, title="Go on without moderation?", text=text, button="Waive", reason="required"
        )
    if request.action is OperatorAction.START:
        text = "The jobs whose files are ready are submitted and paid for."
        return ConfirmDialog(request=request, title="Start the training?", text=text, price=price, button="Start")
    text = "The run goes on in spite of what holds it. The approval covers a price up to the one it has now."
    return ConfirmDialog(
        request=request, title=f"Approve {overview.run.name}?", text=text, price=price, button="Approve"
    )


def format_result(request: ActionRequest, names: Sequence[str]) -> str:
    """What is said when it was asked."""
    if request.is_run_action:
        return {OperatorAction.APPROVE: "The run is approved", OperatorAction.WAIVE: "Moderation is waived"}.get(
            request.action, "Started"
        )
    if request.action is OperatorAction.REDELIVER:
        return f"Telling {format_count(len(names), 'message')} again"
    past = {
        OperatorAction.ADOPT: "Adopting for",
        OperatorAction.RETRY: "Retrying",
        OperatorAction.CANCEL: "Cancelling",
        OperatorAction.HOLD: "Holding",
        OperatorAction.RELEASE: "Releasing",
    }
    return f"{past[request.action]} {format_count(len(names), 'account')}"


def build_confirm_href(
    action: OperatorAction,
    query: PageQuery | None,
    back: str,
    accounts: Sequence[str] = (),
    job: str = "",
    deliveries: Sequence[int] = (),
) -> str:
    """The address of the dialog."""
    whom = ActionRequest(
        action=action, query=query or PageQuery(), accounts=tuple(accounts), deliveries=tuple(deliveries)
    )
    ask = replace(whom, back=back, job=job)
    return "/confirm?" + urlencode(ask.form_fields)


def _parse_delivery_id(text: str) -> int:
    """Raises ValueError for what is no number of a delivery."""
    if not 0 < (number := int(text)) < 2**31:
        raise ValueError(text)
    return number


def _format_price(impact: ActionPreview) -> str:
    more = f", and {format_count(impact.unpriced, 'job')} without a known price" if impact.unpriced else ""
    return format_usd(impact.usd) + more

"""The confirmation dialog: what an action does, how many accounts it affects and what it costs."""

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
_INVALID_ACTION: Final = (422, "Unknown or incomplete action.", "Go back to the page and try again.")

_ACCOUNT_ACTION_TEXTS: Final[Mapping[OperatorAction, str]] = {
    OperatorAction.RETRY: "Each failed job starts again as a new remote job, which is charged again.",
    OperatorAction.CANCEL: (
        "Pending jobs are cancelled; running jobs are asked to stop. Training so far may still be billed. "
        "A cancelled job cannot be restarted in this run."
    ),
    OperatorAction.HOLD: (
        "No further requests are sent for these accounts until released. Jobs already running continue."
    ),
    OperatorAction.RELEASE: "Keys are verified again and jobs resume.",
}
_NOTHING_TO_DO_TEXTS: Final[Mapping[OperatorAction, str]] = {
    OperatorAction.RETRY: "No failed jobs selected.",
    OperatorAction.CANCEL: "All selected jobs have already ended.",
    OperatorAction.HOLD: "No account matches the selection.",
    OperatorAction.RELEASE: "None of the selected accounts can be released.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionRequest:
    """An action requested on a page: parsed from the link that opens the dialog and from the dialog's form."""

    action: OperatorAction
    query: PageQuery = field(default_factory=PageQuery)  # the filter of the page, for account actions
    accounts: tuple[str, ...] = ()  # selected accounts; empty: all that match the filter
    deliveries: tuple[int, ...] = ()  # failed deliveries to retry; empty: all
    back: str = "/"  # the page to return to; a path on this host
    reason: str = ""
    job: str = ""  # for an adoption
    remote_job: str = ""  # for an adoption
    expect: int = 0  # number of accounts or deliveries shown in the dialog
    expect_usd: float | None = None  # price shown in the dialog; None: unknown

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a query string or form body. Raises ProblemError (422) for an unknown action or malformed value."""
        fields = parse_qs(text)
        if "\0" in "".join(chain(*fields.values())):  # PostgreSQL cannot store NUL
            raise ProblemError(*_INVALID_ACTION)
        first = {name: values[0] for name, values in fields.items()}
        try:
            action = OperatorAction(first.get("verb", ""))
            price = float(first["usd"]) if first.get("usd") else None
            deliveries = tuple(map(_parse_delivery_id, fields.get("delivery", ())))
        except ValueError:
            raise ProblemError(*_INVALID_ACTION) from None
        back, expect = first.get("back", "/"), first.get("expect", "")
        return cls(
            action=action,
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
        """The selected accounts, else all that match the filter of the page."""
        return JobFilter(accounts=self.accounts) if self.accounts else self.query.job_filter

    @property
    def is_run_action(self) -> bool:
        """Whether the action applies to the run as a whole."""
        return self.action in RUN_ACTIONS

    @property
    def form_fields(self) -> tuple[tuple[str, str], ...]:
        """Hidden fields of the form, from which `parse` restores this request."""
        selected = [("account", name) for name in self.accounts]
        selected += [("delivery", str(number)) for number in self.deliveries]
        job = [("job", self.job)] if self.job else []
        return (
            ("verb", self.action),
            ("back", self.back),
            *self.query.with_changes(page=1).values.items(),
            *selected,
            *job,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmDialog:
    """View of the dialog."""

    request: ActionRequest
    title: str
    text: str
    price: str | None = None  # None: the action costs nothing
    account_names: str = ""
    button: str | None = None  # None: there is nothing to confirm
    danger: bool = False  # red button
    reason: ReasonRequirement = "none"
    problem: Failure | None = None  # why the previous attempt was rejected

    def with_problem(self, error: ProblemError) -> ConfirmDialog:
        """Return this dialog with the error of an attempt, e.g. because the selection has changed since."""
        return replace(self, problem=Failure("refused", error.detail, error.hint))


def build_accounts_dialog(request: ActionRequest, impact: ActionPreview) -> ConfirmDialog:
    """Build the dialog of an account action for the accounts of its preview."""
    request = replace(request, expect=len(impact.accounts))
    if not impact.accounts:
        return ConfirmDialog(
            request=request, title=f"Nothing to {request.action}", text=_NOTHING_TO_DO_TEXTS[request.action]
        )
    label = f"{request.action.capitalize()} {format_count(len(impact.accounts), 'account')}"
    return ConfirmDialog(
        request=request,
        title=f"{label}?",
        text=_ACCOUNT_ACTION_TEXTS[request.action],
        price=_format_price(impact) if request.action in {OperatorAction.RETRY, OperatorAction.RELEASE} else None,
        account_names=format_list(impact.accounts, limit=MAX_NAMED_ACCOUNTS),
        button=label,
        danger=request.action is OperatorAction.CANCEL,
        reason="optional" if request.action is OperatorAction.HOLD else "none",
    )


def build_adoption_dialog(request: ActionRequest) -> ConfirmDialog:
    """Build the dialog in which the operator selects the remote job of a job held as ambiguous."""
    text = "The service verifies the remote job with the provider before the account's job adopts it."
    return ConfirmDialog(request=request, title="Select the remote job", text=text, button="Adopt")


def build_redelivery_dialog(request: ActionRequest, dead_count: int) -> ConfirmDialog:
    """Build the dialog to retry failed deliveries."""
    request = replace(request, expect=dead_count)
    if not dead_count:
        return ConfirmDialog(request=request, title="Nothing to retry", text="No failed deliveries.")
    label = f"Retry {format_count(dead_count, 'delivery', 'deliveries')}"
    text = "Each is sent again now. If that fails, it is retried for about a day."
    return ConfirmDialog(request=request, title=f"{label}?", text=text, button=label)


def build_run_dialog(request: ActionRequest, overview: RunOverview | None) -> ConfirmDialog:
    """Build the dialog of a run action."""
    if overview is None:
        return ConfirmDialog(request=request, title="No run yet", text="There is nothing to confirm.")
    planned = overview.run.planned_usd
    request = replace(request, expect_usd=planned)
    price = "unknown (some accounts have no price)" if planned is None else format_usd(planned)
    if request.action is OperatorAction.WAIVE:
        text = "Chats are sent to the providers without prior moderation. Your reason is recorded with the run."
        return ConfirmDialog(
            request=request,
            title="Continue without moderation?",
            text=text,
            button="Waive moderation",
            reason="required",
        )
    if request.action is OperatorAction.START:
        text = "All jobs whose files are ready are submitted to the providers, which charge for them."
        return ConfirmDialog(request=request, title="Start training?", text=text, price=price, button="Start")
    text = "The run continues despite its price. The approval covers the current price and any lower one."
    return ConfirmDialog(
        request=request, title=f"Approve {overview.run.name}?", text=text, price=price, button="Approve"
    )


def format_result(request: ActionRequest, names: Sequence[str]) -> str:
    """Return the message that confirms an accepted action."""
    if request.is_run_action:
        return {OperatorAction.APPROVE: "Run approved", OperatorAction.WAIVE: "Moderation waived"}.get(
            request.action, "Training started"
        )
    if request.action is OperatorAction.REDELIVER:
        return f"Retrying {format_count(len(names), 'delivery', 'deliveries')}"
    participles = {
        OperatorAction.ADOPT: "Adopting a remote job for",
        OperatorAction.RETRY: "Retrying",
        OperatorAction.CANCEL: "Cancelling",
        OperatorAction.HOLD: "Holding",
        OperatorAction.RELEASE: "Releasing",
    }
    return f"{participles[request.action]} {format_count(len(names), 'account')}"


def build_confirm_href(
    action: OperatorAction,
    query: PageQuery | None,
    back: str,
    accounts: Sequence[str] = (),
    job: str = "",
    deliveries: Sequence[int] = (),
) -> str:
    """Return the URL of the dialog for this action and selection."""
    request = ActionRequest(
        action=action, query=query or PageQuery(), accounts=tuple(accounts), deliveries=tuple(deliveries)
    )
    return "/confirm?" + urlencode(replace(request, back=back, job=job).form_fields)


def _parse_delivery_id(text: str) -> int:
    """Parse a delivery id. Raises ValueError if it is none."""
    if not 0 < (number := int(text)) < 2**31:
        raise ValueError(text)
    return number


def _format_price(impact: ActionPreview) -> str:
    unpriced = f", and {format_count(impact.unpriced, 'job')} without a known price" if impact.unpriced else ""
    return format_usd(impact.usd) + unpriced

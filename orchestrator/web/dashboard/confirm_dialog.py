"""The confirmation dialog: what an action does, how many accounts it affects and what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Self
from urllib.parse import urlencode

from orchestrator.control.runs import Confirmation, ShownPrice
from orchestrator.core.errors import Failure
from orchestrator.core.jobs.job_filter import JobFilter
from orchestrator.core.jobs.operator_action import ACTION_INFO, ActionScope, OperatorAction, ReasonRequirement
from orchestrator.core.structs import Struct, field, replace
from orchestrator.core.text import format_count, format_list, format_usd
from orchestrator.status import ActionPreview, RunOverview
from orchestrator.web.dashboard.action_form import INVALID_ACTION, ActionForm
from orchestrator.web.dashboard.page_query import PageQuery
from orchestrator.web.problem import ProblemError

MAX_NAMED_ACCOUNTS: Final = 5
_SELECTABLE_SCOPES: Final = {ActionScope.ACCOUNTS: "accounts", ActionScope.DELIVERIES: "deliveries"}


class ActionRequest(Struct, frozen=True, kw_only=True):
    """An action requested on a page: parsed from the link that opens the dialog and from the dialog's form."""

    action: OperatorAction
    query: PageQuery = field(default_factory=PageQuery)  # the filter of the page, for account actions
    accounts: tuple[str, ...] = ()  # selected accounts
    deliveries: tuple[int, ...] = ()  # selected failed deliveries
    selects_all: bool = False  # all accounts that match the filter, or all failed deliveries
    back: str = "/"  # the page to return to; a path on this host
    reason: str = ""
    job: str = ""  # for an adoption
    remote_job: str = ""  # for an adoption
    expect: int = 0  # number of accounts or deliveries shown in the dialog
    expect_run: str = ""  # id of the run shown in the dialog; empty: the dialog concerns no single run
    expect_usd: float | None = None  # price shown in the dialog; None: unknown
    expect_unpriced: int = 0  # number of jobs without a known price shown in the dialog

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a query string or form body. Raises ProblemError (422) for an unknown action or malformed value."""
        form = ActionForm.parse(text)
        return cls(
            action=form.get_action(OperatorAction),
            query=PageQuery.from_parameters(form.first_values),
            accounts=form.get_all("account"),
            deliveries=tuple(map(_parse_delivery_id, form.get_all("delivery"))),
            selects_all=form.get("all") == "1",
            back=form.get_back("/"),
            reason=form.get("reason").strip()[:1000],
            job=form.get("job"),
            remote_job=form.get("remote_job").strip()[:200],
            expect=form.expected_count,
            expect_run=form.get("expect_run"),
            expect_usd=form.expected_usd,
            expect_unpriced=form.parse_count("unpriced", 0),
        )

    @property
    def run(self) -> str | None:
        """Name or id of the run of the page; None if there is only one, or the page shows all runs."""
        return self.query.run or None

    @property
    def job_filter(self) -> JobFilter:
        """All accounts that match the filter of the page, or the selected ones."""
        return self.query.job_filter if self.selects_all else JobFilter(accounts=self.accounts)

    @property
    def confirmation(self) -> Confirmation:
        """What the dialog has shown, apart from the number of accounts."""
        info, price = ACTION_INFO[self.action], ShownPrice(usd=self.expect_usd, unpriced=self.expect_unpriced)
        # The price of a run may be unknown, and its dialog says so. That of a selection is a sum, never unknown.
        is_shown = info.shows_price and (info.scope is ActionScope.RUN or self.expect_usd is not None)
        return Confirmation(run_id=self.expect_run, price=price if is_shown else None)

    @property
    def selected_deliveries(self) -> tuple[int, ...] | None:
        """The selected deliveries; None means all failed ones."""
        return None if self.selects_all else self.deliveries

    @property
    def lacks_selection(self) -> bool:
        """Whether the action needs a selection and has none. An empty selection never means everything."""
        match ACTION_INFO[self.action].scope:
            case ActionScope.MODELS:
                return not self.accounts
            case ActionScope.ACCOUNTS:  # deliveries select no account: without this, they would select all of them
                return not (self.selects_all or self.accounts)
            case ActionScope.DELIVERIES:
                return not (self.selects_all or self.deliveries)
            case _:
                return False

    def require_selection(self) -> None:
        """Raise ProblemError (422) if the action needs a selection and has none."""
        if self.lacks_selection:
            noun = _get_noun(self.action)
            raise ProblemError(422, f"No {noun} are selected.", f"Select {noun}, or select all of them explicitly.")

    @property
    def form_fields(self) -> tuple[tuple[str, str], ...]:
        """Hidden fields of the form, from which `parse` restores this request."""
        selected = [("all", "1")] if self.selects_all else [("account", name) for name in self.accounts]
        selected += [("delivery", str(number)) for number in self.deliveries]
        job = [("job", self.job)] if self.job else []
        return (
            ("verb", self.action),
            ("back", self.back),
            *self.query.with_changes(page=1).values.items(),
            *selected,
            *job,
        )


class ConfirmDialog(Struct, frozen=True, kw_only=True):
    """View of the dialog."""

    request: ActionRequest
    title: str
    text: str
    price: str | None = None  # None: the action costs nothing
    account_names: str = ""
    button: str | None = None  # None: there is nothing to confirm
    is_destructive: bool = False  # red button
    reason: ReasonRequirement = "none"
    problem: Failure | None = None  # why the previous attempt was rejected

    def with_problem(self, error: ProblemError) -> ConfirmDialog:
        """Return this dialog with the error of an attempt, e.g. because the selection has changed since."""
        return replace(self, problem=Failure("refused", error.detail, error.hint))


def build_accounts_dialog(request: ActionRequest, preview: ActionPreview) -> ConfirmDialog:
    """Build the dialog of an account action for the accounts of its preview."""
    count = len(preview.accounts)
    request = replace(request, expect=count, expect_run=preview.run_id, expect_usd=None, expect_unpriced=0)
    if not count:
        return _build_empty_dialog(request)
    price = None
    if ACTION_INFO[request.action].shows_price:
        price = _format_price(preview)
        request = replace(request, expect_usd=preview.usd, expect_unpriced=preview.unpriced)
    dialog = _build_dialog(request, format_count(count, "account"))
    return replace(dialog, price=price, account_names=format_list(preview.accounts, limit=MAX_NAMED_ACCOUNTS))


def build_unselected_dialog(request: ActionRequest) -> ConfirmDialog:
    """Build the dialog of an action without a selection; it has no button to confirm."""
    noun = _get_noun(request.action)
    text = f"Go back and select the {noun} first, or select all of them explicitly."
    return ConfirmDialog(request=request, title=f"No {noun} are selected", text=text)


def build_models_dialog(request: ActionRequest) -> ConfirmDialog:
    """Build the dialog in which the operator accepts the models of named accounts, or revokes that."""
    names = request.accounts
    target = names[0] if len(names) == 1 else format_count(len(names), "account")
    return replace(_build_dialog(request, target), account_names=format_list(names, limit=MAX_NAMED_ACCOUNTS))


def build_adoption_dialog(request: ActionRequest) -> ConfirmDialog:
    """Build the dialog in which the operator selects the remote job of a job held as ambiguous."""
    return _build_dialog(request, request.job)


def build_redelivery_dialog(request: ActionRequest, failed_count: int) -> ConfirmDialog:
    """Build the dialog to retry failed deliveries."""
    request = replace(request, expect=failed_count)
    if not failed_count:
        return _build_empty_dialog(request)
    return _build_dialog(request, format_count(failed_count, "delivery", "deliveries"))


def build_run_dialog(request: ActionRequest, overview: RunOverview | None) -> ConfirmDialog:
    """Build the dialog of a run action."""
    if overview is None:
        return _build_empty_dialog(request)
    planned = overview.run.planned_usd
    dialog = _build_dialog(replace(request, expect_run=overview.run.id, expect_usd=planned), overview.run.name)
    if not ACTION_INFO[request.action].shows_price:
        return dialog
    return replace(dialog, price="unknown (some accounts have no price)" if planned is None else format_usd(planned))


def _build_dialog(request: ActionRequest, target: str) -> ConfirmDialog:
    info = ACTION_INFO[request.action]
    return ConfirmDialog(
        request=request,
        title=info.title.format(target=target),
        text=info.confirmation,
        button=info.button.format(target=target),
        is_destructive=info.is_destructive,
        reason=info.reason,
    )


def _build_empty_dialog(request: ActionRequest) -> ConfirmDialog:
    """Build the dialog of an action that applies to nothing; it has no button to confirm."""
    title, _, text = ACTION_INFO[request.action].nothing_to_do.rstrip(".").partition(": ")
    return ConfirmDialog(request=request, title=title, text=f"{text[:1].upper()}{text[1:]}." if text else "")


def format_result(request: ActionRequest, changed_count: int) -> str:
    """Return the message that confirms an accepted action on this number of accounts or deliveries."""
    is_redelivery = ACTION_INFO[request.action].scope is ActionScope.DELIVERIES
    nouns = ("delivery", "deliveries") if is_redelivery else ("account", "accounts")
    return ACTION_INFO[request.action].accepted.format(target=format_count(changed_count, *nouns))


def build_confirm_href(
    action: OperatorAction,
    query: PageQuery | None,
    back: str,
    accounts: Sequence[str] = (),
    job: str = "",
    deliveries: Sequence[int] = (),
) -> str:
    """Return the URL of the dialog for this action and selection; without one it is for all that match `query`."""
    request = ActionRequest(
        action=action,
        query=query or PageQuery(),
        accounts=tuple(accounts),
        deliveries=tuple(deliveries),
        selects_all=ACTION_INFO[action].scope in _SELECTABLE_SCOPES and not (accounts or deliveries),
    )
    return "/confirm?" + urlencode(replace(request, back=back, job=job).form_fields)


def _get_noun(action: OperatorAction) -> str:
    return _SELECTABLE_SCOPES.get(ACTION_INFO[action].scope, "accounts")


def _parse_delivery_id(text: str) -> int:
    """Parse a delivery id. Raises ProblemError (422) if it is none."""
    if not (text.isascii() and text.isdigit() and len(text) < 11 and 0 < int(text) < 2**31):
        raise ProblemError(*INVALID_ACTION)
    return int(text)


def _format_price(preview: ActionPreview) -> str:
    unpriced = f", and {format_count(preview.unpriced, 'job')} without a known price" if preview.unpriced else ""
    return format_usd(preview.usd) + unpriced

"""The confirmation dialog of deployments: which models, in which way, and for how many dollars."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Final, Self
from urllib.parse import urlencode

from orchestrator.control import DeploymentPlan, DeploymentSelection, DeploymentTarget
from orchestrator.control.deployments import APPROVABLE_HOLD_KINDS
from orchestrator.core.deployment.deployment import Deployment
from orchestrator.core.deployment.deployment_spec import DeploymentKind, DeploymentSpec
from orchestrator.core.errors import Failure
from orchestrator.core.structs import Struct, field, replace
from orchestrator.core.text import format_count, format_list, format_usd
from orchestrator.status.deployments import sum_deployments
from orchestrator.web.dashboard.action_form import INVALID_ACTION, ActionForm, parse_number, parse_whole_number
from orchestrator.web.dashboard.confirm_dialog import MAX_NAMED_ACCOUNTS
from orchestrator.web.dashboard.deployments.deployments_page import DEPLOYMENTS_PATH
from orchestrator.web.dashboard.page_query import PageQuery
from orchestrator.web.problem import ProblemError

CONFIRM_PATH: Final = f"{DEPLOYMENTS_PATH}/confirm"
_FIX: Final = "Correct it, then calculate again."
_TEXT_OPTIONS: Final = ("hardware", "shape", "config", "precision")
_NUMBER_OPTIONS: Final = ("capacity", "min_replicas", "max_replicas", "idle_stop_minutes")


class DeploymentAction(StrEnum):
    """What an operator does with deployments. The values are form values."""

    DEPLOY = "deploy"
    UNDEPLOY = "undeploy"
    APPROVE = "approve"


class DeploymentActionRequest(Struct, frozen=True, kw_only=True):
    """An action requested on a page: parsed from the link that opens the dialog and from the dialog's form."""

    action: DeploymentAction
    query: PageQuery = field(default_factory=PageQuery)  # the filter of the page, for a selection of all accounts
    accounts: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    selects_all: bool = False
    options: dict[str, str] = field(default_factory=dict)  # as typed; empty ones are left out
    back: str = DEPLOYMENTS_PATH
    expect: int = 0  # number of deployments shown in the dialog
    expect_usd: float | None = None  # price shown in the dialog
    shown_reasons: tuple[str, ...] = ()  # of the holds that the dialog approves; they name the prices

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a query string or form body. Raises ProblemError (422) for an unknown action or malformed value."""
        form = ActionForm.parse(text)
        first = form.first_values
        names = {*DeploymentSpec.__struct_fields__, "usd_per_hour", "checkpoint"}
        return cls(
            action=form.get_action(DeploymentAction),
            query=PageQuery.from_parameters(first),
            accounts=form.get_all("account"),
            ids=form.get_all("deployment"),
            selects_all=form.get("all") == "1",
            options={name: value.strip()[:200] for name, value in first.items() if name in names and value.strip()},
            back=form.get_back(DEPLOYMENTS_PATH),
            expect=form.expected_count,
            expect_usd=form.expected_usd,
            shown_reasons=form.get_all("shown_reason"),
        )

    @property
    def lacks_selection(self) -> bool:
        """Whether nothing is selected. An empty selection never means everything."""
        return not (self.selects_all or self.accounts or self.ids)

    def build_selection(self, accounts: Sequence[str] | None) -> DeploymentSelection:
        """Build what the plan takes. Raises ProblemError (422) for a number that is none."""
        options = dict(self.options)
        usd, checkpoint = options.pop("usd_per_hour", None), options.pop("checkpoint", None)
        values: dict[str, Any] = {name: options[name] for name in _TEXT_OPTIONS if name in options}
        if kind := options.get("kind"):
            if kind not in set(DeploymentKind):
                raise ProblemError(*INVALID_ACTION)
            values["kind"] = DeploymentKind(kind)
        if hours := options.get("keep_hours"):
            values["keep_hours"] = parse_number(hours, "The number of hours must be a number", _FIX)
        for name in _NUMBER_OPTIONS:
            if name in options:
                what = name.replace("_", " ").capitalize()
                values[name] = parse_whole_number(options[name], f"{what} must be a whole number", _FIX)
        return DeploymentSelection(
            accounts=accounts,
            run=self.query.run or None,
            checkpoint=checkpoint,
            options=values,
            usd_per_hour=parse_number(usd, "The price per hour must be a number", _FIX) if usd else None,
        )

    @property
    def target(self) -> DeploymentTarget:
        """The selected deployments."""
        if self.selects_all:
            return DeploymentTarget(accounts=None)
        return DeploymentTarget(accounts=self.accounts or None, ids=self.ids or None)

    @property
    def form_fields(self) -> tuple[tuple[str, str], ...]:
        """Hidden fields of the form, from which `parse` restores this request. The options have visible fields."""
        selected = [("all", "1")] if self.selects_all else [("account", name) for name in self.accounts]
        selected += [("deployment", each) for each in self.ids]
        return (
            ("verb", self.action),
            ("back", self.back),
            *self.query.with_changes(page=1).values.items(),
            *selected,
        )


class DeploymentDialog(Struct, frozen=True, kw_only=True):
    """View of the dialog."""

    request: DeploymentActionRequest
    title: str
    text: str
    names: str = ""
    price: str = ""  # what it costs, or stops costing
    price_note: str = ""
    obstacles: tuple[tuple[str, str], ...] = ()  # accounts, and why they are left out
    button: str | None = None  # None: there is nothing to confirm
    is_destructive: bool = False
    has_options: bool = False  # whether the form shows the options of a deployment
    problem: Failure | None = None

    def with_problem(self, error: ProblemError) -> DeploymentDialog:
        """Return this dialog with the error of an attempt."""
        return replace(self, problem=Failure("refused", error.detail, error.hint))


def build_unselected_dialog(request: DeploymentActionRequest) -> DeploymentDialog:
    """Build the dialog of an action without a selection; it has no button to confirm."""
    text = "Go back and select accounts or deployments first, or select all of them explicitly."
    return DeploymentDialog(request=request, title="Nothing is selected", text=text)


def build_deploy_dialog(request: DeploymentActionRequest, plan: DeploymentPlan) -> DeploymentDialog:
    """Build the dialog that names the price of the plan."""
    count, names = len(plan.accepted), [line.job.account for line in plan.accepted]
    dialog = DeploymentDialog(
        request=replace(request, expect_usd=plan.total_usd),
        title="Nothing to deploy",
        text="No selected model needs a deployment that it does not have.",
        obstacles=_group_obstacles(plan),
        has_options=bool(count),
    )
    if not count:
        return dialog
    total = format_usd(plan.total_usd)
    return replace(
        dialog,
        title=f"Deploy {format_count(count, 'model')}?",
        text="Each model becomes callable until its deployment is stopped at the end, whatever happens before.",
        names=format_list(names, limit=MAX_NAMED_ACCOUNTS),
        price=_format_plan_price(plan),
        price_note="Calls are billed in addition." if plan.unpriced < count else "",
        button=f"Deploy for {total}" if plan.unpriced < count else "Deploy after approval",
    )


def build_options_dialog(request: DeploymentActionRequest, error: ProblemError) -> DeploymentDialog:
    """Build the dialog in which an operator fills in what the run's table leaves open."""
    dialog = DeploymentDialog(
        request=request,
        title="Deploy models",
        text="Choose how long the models stay callable, then calculate the price.",
        has_options=True,
    )
    if not request.options:  # nothing was chosen yet, so nothing is wrong
        return replace(dialog, names=f"{error.detail[:1].upper()}{error.detail[1:]}.")
    return dialog.with_problem(error)


def build_undeploy_dialog(
    request: DeploymentActionRequest, deployments: Sequence[Deployment], now: float
) -> DeploymentDialog:
    """Build the dialog that names what the deployments have cost and no longer will."""
    open_ones = [each for each in deployments if each.needs_stop_request]
    request = replace(request, expect=len(deployments))
    if not open_ones:
        return DeploymentDialog(
            request=request, title="Nothing to stop", text="Every selected deployment is stopped."
        )
    totals, what = sum_deployments(open_ones, now), format_count(len(open_ones), "deployment")
    return DeploymentDialog(
        request=request,
        title=f"Stop {what}?",
        text="Calls fail once a deployment is stopped. The fine-tuned models are kept and can be deployed again.",
        names=format_list([each.account for each in open_ones], limit=MAX_NAMED_ACCOUNTS),
        price=f"{format_usd(totals.usd_per_hour)} an hour until now, at most {format_usd(totals.so_far_usd)} so far",
        price_note=f"Without {format_count(totals.unpriced, 'deployment')} of unknown price."
        if totals.unpriced
        else "",
        button=f"Stop {what}",
        is_destructive=True,
    )


def build_approval_dialog(request: DeploymentActionRequest, deployments: Sequence[Deployment]) -> DeploymentDialog:
    """Build the dialog that repeats why each deployment is held: the message names the dollars."""
    held = [each for each in deployments if each.hold and each.hold.kind in APPROVABLE_HOLD_KINDS]
    if not held:
        text = "No selected deployment is held because of its price."
        return DeploymentDialog(request=request, title="Nothing to approve", text=text)
    reasons = dict.fromkeys(each.hold.reason for each in held if each.hold)
    # The form names what the dialog shows: a deployment that is held meanwhile needs an approval of its own.
    request = replace(
        request,
        selects_all=False,
        accounts=(),
        ids=tuple(each.id for each in held),
        expect=len(held),
        shown_reasons=tuple(reasons),
    )
    return DeploymentDialog(
        request=request,
        title=f"Approve {format_count(len(held), 'deployment')}?",
        text="The deployments are created, and billed until they are stopped.",
        names=format_list([each.account for each in held], limit=MAX_NAMED_ACCOUNTS),
        price=format_list(list(reasons), limit=3, separator="; "),
        button="Approve",
    )


def build_deployment_href(
    action: str, back: str, accounts: Sequence[str] = (), ids: Sequence[str] = (), run: str = ""
) -> str:
    """Return the URL of the dialog for this action and selection; without one it is for all."""
    request = DeploymentActionRequest(
        action=DeploymentAction(action),
        query=PageQuery(run=run),
        accounts=tuple(accounts),
        ids=tuple(ids),
        selects_all=not (accounts or ids),
        back=back,
    )
    return f"{CONFIRM_PATH}?{urlencode(request.form_fields)}"


def _format_plan_price(plan: DeploymentPlan) -> str:
    known = [line for line in plan.accepted if line.usd is not None]
    parts = []
    if known:
        hourly = format_usd(sum(line.usd_per_hour or 0.0 for line in known))
        parts.append(f"at most {format_usd(plan.total_usd)} until the end, {hourly} an hour")
    if plan.unpriced:
        parts.append(f"unknown for {format_count(plan.unpriced, 'model')}, held until you approve it")
    return "; ".join(parts)


def _group_obstacles(plan: DeploymentPlan) -> tuple[tuple[str, str], ...]:
    names: dict[str, list[str]] = {}
    for line in plan.lines:
        if line.obstacle:
            names.setdefault(line.obstacle, []).append(line.job.account)
    return tuple((format_list(accounts, limit=MAX_NAMED_ACCOUNTS), reason) for reason, accounts in names.items())

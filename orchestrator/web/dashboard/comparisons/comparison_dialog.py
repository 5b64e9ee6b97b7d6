"""The confirmation dialog that starts or stops a comparison, with its highest possible price."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final, Self
from urllib.parse import urlencode

from orchestrator.control.comparisons import PlannedComparison
from orchestrator.core.comparison.comparison import Comparison
from orchestrator.core.comparison.quality import ScoringMethod
from orchestrator.core.errors import Failure
from orchestrator.core.structs import Struct, field, replace
from orchestrator.core.text import format_count, format_list, format_usd
from orchestrator.web.dashboard.action_form import INVALID_ACTION, ActionForm, parse_number, parse_whole_number
from orchestrator.web.dashboard.comparisons.result_view import COMPARISON_PATH
from orchestrator.web.problem import ProblemError

CONFIRM_PATH: Final = f"{COMPARISON_PATH}/confirm"
MAX_PROBES: Final = 2000
_OPTIONS: Final = ("probes", "max_usd", "scoring", "behaviour_probes", "store_answers", "deploy")
_FIX: Final = "Correct it, then try again."
_CHOICES: Final = {"": None, "1": True, "0": False}


class ComparisonAction(StrEnum):
    """What an operator does with comparisons. The values are form values."""

    START = "start"
    STOP = "stop"


class ComparisonActionRequest(Struct, frozen=True, kw_only=True):
    """An action requested on the page: parsed from the link that opens the dialog and from the dialog's form."""

    action: ComparisonAction
    run: str = ""
    comparison_id: str = ""  # that is stopped
    options: dict[str, str] = field(default_factory=dict)  # as typed; empty ones are left out
    back: str = COMPARISON_PATH
    expect_usd: float | None = None  # price shown in the dialog
    accepts_unknown_price: bool = False  # the dialog has shown that the price is unknown

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a query string or form body. Raises ProblemError (422) for an unknown action or malformed value."""
        form = ActionForm.parse(text)
        return cls(
            action=form.get_action(ComparisonAction),
            run=form.get("run"),
            comparison_id=form.get("comparison"),
            options={name: typed[:100] for name in _OPTIONS if (typed := form.get(name).strip())},
            back=form.get_back(COMPARISON_PATH),
            expect_usd=form.expected_usd,
            accepts_unknown_price=form.get("unknown_price") == "1",
        )

    @property
    def form_fields(self) -> tuple[tuple[str, str], ...]:
        """Hidden fields of the form, from which `parse` restores this request. The options have visible fields."""
        values = {"verb": self.action, "run": self.run, "comparison": self.comparison_id, "back": self.back}
        return tuple((name, value) for name, value in values.items() if value)

    def build_options(self) -> dict[str, Any]:
        """Build the settings of the comparison. Raises ProblemError (422) for a value that is none."""
        options: dict[str, Any] = {}
        if text := self.options.get("probes"):
            problem = f"The number of examples must be from 2 to {MAX_PROBES}"
            options["probes"] = parse_whole_number(text, problem, _FIX, limits=range(2, MAX_PROBES + 1))
        if text := self.options.get("max_usd"):
            options["max_usd"] = parse_usd(text)
        if text := self.options.get("scoring"):
            if text not in set(ScoringMethod):
                raise ProblemError(*INVALID_ACTION)
            options["scoring"] = ScoringMethod(text)
        for name in ("behaviour_probes", "store_answers", "deploy"):
            choice = self.options.get(name, "")
            if choice not in _CHOICES:
                raise ProblemError(*INVALID_ACTION)
            if (value := _CHOICES[choice]) is not None:
                options[name] = value
        return options


class ComparisonDialog(Struct, frozen=True, kw_only=True):
    """View of the dialog."""

    request: ComparisonActionRequest
    title: str
    text: str
    price: str = ""
    price_note: str = ""
    left_out: tuple[tuple[str, str], ...] = ()  # accounts, and why they are not compared
    button: str | None = None  # None: there is nothing to confirm
    is_destructive: bool = False
    has_options: bool = False
    is_price_unknown: bool = False
    problem: Failure | None = None

    def with_problem(self, error: ProblemError) -> ComparisonDialog:
        """Return this dialog with the error of an attempt."""
        return replace(self, problem=Failure("refused", error.detail, error.hint))


def build_start_dialog(request: ComparisonActionRequest, planned: PlannedComparison) -> ComparisonDialog:
    """Build the dialog that names the highest price of the comparison."""
    probes = format_count(len(planned.comparison.probe_ids), "probe")
    is_unknown = planned.usd is None
    price = "unknown" if is_unknown else f"at most {format_usd(planned.usd)}"
    return ComparisonDialog(
        request=replace(request, expect_usd=planned.usd),
        title=f"Compare {format_count(planned.models, 'model')}?",
        text=f"Each model receives {probes} in two rounds with a pause between: "
        f"{format_count(planned.requests, 'request')}. The models may be used meanwhile.",
        price=price,
        price_note=_format_price_note(planned),
        left_out=_group_left_out(planned),
        button="Compare at an unknown price" if is_unknown else f"Compare for {price}",
        has_options=True,
        is_price_unknown=is_unknown,
    )


def build_unplanned_dialog(request: ComparisonActionRequest, error: ProblemError) -> ComparisonDialog:
    """Build the dialog of a comparison that cannot be planned with these options."""
    dialog = ComparisonDialog(
        request=request,
        title="Compare the models",
        text="The models cannot be compared with these options.",
        has_options=True,
    )
    return dialog.with_problem(error)


def build_stop_dialog(request: ComparisonActionRequest, comparison: Comparison | None) -> ComparisonDialog:
    """Build the dialog that stops a comparison."""
    if comparison is None or comparison.finished_at is not None:
        return ComparisonDialog(request=request, title="Nothing to stop", text="The comparison has ended.")
    return ComparisonDialog(
        request=request,
        title="Stop the comparison?",
        text="No further request is sent. The answers so far are kept, but there are no verdicts.",
        price=f"{format_usd(comparison.total_usd)} so far",
        button="Stop the comparison",
        is_destructive=True,
    )


def build_comparison_href(action: str, run: str, back: str, comparison_id: str = "") -> str:
    """Return the URL of the dialog for this action."""
    request = ComparisonActionRequest(
        action=ComparisonAction(action), run=run, comparison_id=comparison_id, back=back
    )
    return f"{CONFIRM_PATH}?{urlencode(request.form_fields)}"


def _format_price_note(planned: PlannedComparison) -> str:
    deployed = [model.account for model in planned.comparison.models if model.starts_deployment]
    text = "Every answer is counted with its maximum length."
    if not deployed:
        return text
    names, hosting = format_list(deployed, limit=5), format_usd(planned.hosting_usd)
    return f"{text} {hosting} of it are for deployments of {names}, which end with the comparison."


def _group_left_out(planned: PlannedComparison) -> tuple[tuple[str, str], ...]:
    names: dict[str, list[str]] = {}
    for each in planned.left_out:
        names.setdefault(each.reason, []).append(each.account)
    return tuple((format_list(accounts, limit=5), reason) for reason, accounts in names.items())


def parse_usd(text: str) -> float:
    """Parse a limit in US dollars. Raises ProblemError (422)."""
    return parse_number(text, "The limit must be a number of US dollars", _FIX)

"""The topics of the help page: states, phases, holds, errors, prices and findings, from the tables of the docs.

The page is part of the service, so it needs no internet connection and always describes the running version.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from orchestrator.core.comparison.verdict import VERDICT_DESCRIPTIONS
from orchestrator.core.deployment.lifecycle import DEPLOYMENT_STATE_DESCRIPTIONS
from orchestrator.core.errors import list_error_kinds
from orchestrator.core.hold import HOLD_DESCRIPTIONS
from orchestrator.core.jobs.lifecycle import STATE_DESCRIPTIONS
from orchestrator.core.jobs.stall import WAIT_DESCRIPTIONS
from orchestrator.core.jobs.timeline import PHASE_DESCRIPTIONS
from orchestrator.core.structs import Struct
from orchestrator.dataset.finding_codes import FindingCode

HELP_PATH: Final = "/help"


class HelpEntry(Struct, frozen=True, kw_only=True):
    """The explanation of one term."""

    anchor: str
    term: str  # as the dashboard shows it
    meaning: str
    next_step: str = ""


class HelpSection(Struct, frozen=True, kw_only=True):
    """The terms of one concept, and the page of the documentation with more about them."""

    anchor: str
    title: str
    intro: str
    document: str
    entries: tuple[HelpEntry, ...]


_PRICE_ENTRIES: Final = (
    HelpEntry(
        anchor="budget",
        term="budget",
        meaning="The limit of what the jobs of one account may cost: its `budget_usd`, per `budget_period`.",
        next_step="A job above it is on hold before anything is sent. Raise the budget, or make the dataset smaller.",
    ),
    HelpEntry(
        anchor="run-limit",
        term="limit of the run",
        meaning="The limit of what the whole run may cost without approval: `max_total_usd` of the run.",
        next_step="A run above it is on hold until an operator approves its price.",
    ),
    HelpEntry(
        anchor="estimated-price",
        term="estimated price",
        meaning="The tokens of the dataset, times the epochs, times the price of the price file. The provider's bill "
        "may differ. Jobs without a known price are counted, not guessed.",
    ),
    HelpEntry(
        anchor="submitted-price",
        term="submitted",
        meaning="The estimated price of the remote jobs that were created, retries included.",
    ),
    HelpEntry(
        anchor="quoted-price",
        term="quoted",
        meaning="The price that the provider itself quotes for a job, where it does.",
    ),
    HelpEntry(
        anchor="trained-price",
        term="trained",
        meaning="The tokens that the provider reports as trained, priced by the price file.",
    ),
)


def _list_states() -> Iterator[HelpEntry]:
    for state, meaning in STATE_DESCRIPTIONS.items():
        wait = WAIT_DESCRIPTIONS.get(state)
        ended_by = f"Ends with: {wait.ended_by}" if wait else ""
        yield HelpEntry(anchor=f"state-{state}", term=state, meaning=meaning, next_step=ended_by)


HELP_SECTIONS: Final = (
    HelpSection(
        anchor="states",
        title="States",
        intro="The state of a job. A job on hold keeps its state and is counted as held.",
        document="docs/states.md",
        entries=tuple(_list_states()),
    ),
    HelpSection(
        anchor="deployment-states",
        title="States of a deployment",
        intro="A deployment makes a model callable at a provider whose models are not callable by themselves. It is "
        "billed until it is stopped, and the service stops it at its end.",
        document="docs/how-to/deploy-models.md",
        entries=tuple(
            HelpEntry(anchor=f"deployment-{state}", term=state, meaning=meaning)
            for state, meaning in DEPLOYMENT_STATE_DESCRIPTIONS.items()
        ),
    ),
    HelpSection(
        anchor="verdicts",
        title="Verdicts of a comparison",
        intro="A comparison sends the same questions to all models of a run, twice, and decides on each account. The "
        "weights of two fine-tuned models are never equal; alike means that no measured difference matters.",
        document="docs/explanation/alike.md",
        entries=tuple(
            HelpEntry(
                anchor=f"verdict-{verdict}",
                term=verdict.replace("_", " "),
                meaning=meaning,
                next_step=next_step,
            )
            for verdict, (meaning, next_step) in VERDICT_DESCRIPTIONS.items()
        ),
    ),
    HelpSection(
        anchor="holds",
        title="Holds",
        intro="An account, a job or a run on hold does not proceed. The hold ends when an operator releases it, "
        "when its cause is removed, or at a set time. What is already at the provider continues there.",
        document="docs/reference/errors.md",
        entries=tuple(
            HelpEntry(anchor=kind, term=kind, meaning=meaning, next_step=next_step)
            for kind, (meaning, next_step) in HOLD_DESCRIPTIONS.items()
        ),
    ),
    HelpSection(
        anchor="errors",
        title="Errors",
        intro="Why a job has failed, is on hold or is tried again.",
        document="docs/reference/errors.md",
        entries=tuple(
            HelpEntry(anchor=kind, term=kind, meaning=f"{meaning}.", next_step=next_step)
            for kind, meaning, next_step in list_error_kinds()
        ),
    ),
    HelpSection(
        anchor="prices",
        title="Budgets and prices",
        intro="Prices are US dollars. A budget stops a job before anything is spent.",
        document="docs/how-to/dashboard.md",
        entries=_PRICE_ENTRIES,
    ),
    HelpSection(
        anchor="phases",
        title="Phases of the timeline",
        intro="What the time of a job is spent on.",
        document="docs/how-to/dashboard.md",
        entries=tuple(
            HelpEntry(anchor=f"phase-{phase}", term=phase.replace("_", " "), meaning=meaning)
            for phase, meaning in PHASE_DESCRIPTIONS.items()
        ),
    ),
    HelpSection(
        anchor="findings",
        title="Findings",
        intro="A dataset with an error is not used; a warning is advice.",
        document="docs/findings.md",
        entries=tuple(
            HelpEntry(
                anchor=f"finding-{code.slug}",
                term=code.slug,
                meaning=f"{code.severity.value.capitalize()}. {code.meaning}",
                next_step=code.hint,
            )
            for code in FindingCode
        ),
    ),
)

_ANCHORS: Final = frozenset(entry.anchor for section in HELP_SECTIONS for entry in section.entries)


def find_help_href(anchor: str) -> str:
    """Return the URL of a term's explanation; empty for a term that has none, such as a provider's own error."""
    return f"{HELP_PATH}#{anchor}" if anchor in _ANCHORS else ""

"""The options that select jobs, and the job filter that they build."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from orchestrator.cli.commands.name_completion import complete_accounts, complete_runs
from orchestrator.core.account import ProviderName
from orchestrator.core.jobs.job_filter import JobFilter
from orchestrator.core.jobs.lifecycle import JobState

AccountOption = Annotated[
    list[str] | None,
    typer.Option(
        "--account",
        help="Only this account; can be repeated.",
        metavar="NAME",
        autocompletion=complete_accounts,
    ),
]
RunOption = Annotated[
    str | None,
    typer.Option(
        "--run",
        metavar="NAME",
        help="Only this run, if the accounts file describes several.",
        autocompletion=complete_runs,
    ),
]
ActionRunOption = Annotated[
    str | None,
    typer.Option(
        "--run",
        metavar="NAME",
        help="The run; required if the accounts file describes several.",
        autocompletion=complete_runs,
    ),
]
# As a metavar the choices would be one word of 110 characters, which no terminal can wrap.
STATE_CHOICES: Final = ", ".join(JobState)
PROVIDER_CHOICES: Final = ", ".join(ProviderName)
PROVIDER_METAVAR: Final = "PROVIDER"
StateOption = Annotated[
    JobState | None, typer.Option("--state", metavar="STATE", help=f"Only jobs in this state: {STATE_CHOICES}.")
]
ProviderOption = Annotated[
    ProviderName | None,
    typer.Option("--provider", metavar=PROVIDER_METAVAR, help=f"Only accounts at this provider: {PROVIDER_CHOICES}."),
]
ProvidersOption = Annotated[
    list[ProviderName] | None,
    typer.Option("--provider", metavar=PROVIDER_METAVAR, help=f"Only accounts at this provider: {PROVIDER_CHOICES}."),
]
LabelOption = Annotated[str | None, typer.Option("--label", help="Only accounts with this label.")]
HeldOption = Annotated[bool, typer.Option("--held", help="Only jobs on hold.")]
FailedOption = Annotated[bool, typer.Option("--failed", help="Only failed jobs; short for --state failed.")]


def build_job_filter(
    *,
    accounts: list[str] | None = None,
    state: JobState | None,
    provider: ProviderName | None,
    label: str | None,
    held: bool,
    failed: bool,
) -> JobFilter:
    """Build the filter of these options. Raises BadParameter if no job can match all of them."""
    if failed and state not in (None, JobState.FAILED):
        raise typer.BadParameter(f"pass either --failed or --state {state}.", param_hint="--failed")
    if held and failed:
        raise typer.BadParameter("a failed job is never on hold; pass one of them.", param_hint="--held, --failed")
    return JobFilter(
        accounts=tuple(accounts or ()),
        state=JobState.FAILED if failed else state or "",
        provider=provider or "",
        label=label or "",
        held=True if held else None,
    )

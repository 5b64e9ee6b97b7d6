"""Read-only commands: status, models, history, logs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.commands.filters import (
    AccountOption,
    FailedOption,
    HeldOption,
    LabelOption,
    ProviderOption,
    ProvidersOption,
    RunOption,
    StateOption,
    build_job_filter,
)
from orchestrator.cli.commands.help_layout import Panel
from orchestrator.cli.commands.name_completion import complete_accounts, complete_runs
from orchestrator.cli.commands.root import JsonOption, WideOption, command, refuse_ignored
from orchestrator.cli.session import run_with_app
from orchestrator.exports import ExportFormat

if TYPE_CHECKING:
    from orchestrator.app import App

AccountArgument = Annotated[
    str, typer.Argument(help="Account name, for example acme-eu.", autocompletion=complete_accounts)
]


CheckpointOption = Annotated[
    str | None,
    typer.Option(help='Instead of the final model a checkpoint: its number, or "best" for the lowest loss.'),
]
CheckpointsOption = Annotated[
    bool, typer.Option("--checkpoints", help="List the checkpoints with their losses instead.")
]
FormatOption = Annotated[ExportFormat, typer.Option("--format", "-f", help="Output format.")]
OutputOption = Annotated[Path | None, typer.Option("--output", "-o", help="Output file; default: standard output.")]
UnservableOption = Annotated[
    bool, typer.Option("--all", help="Include models that must be deployed before they can be called.")
]


@command(
    panel=Panel.RESULTS,
    examples="""
        orchestrator status
        orchestrator status --watch
        orchestrator status --failed --label eu
        orchestrator status --json | jq .counts
    """,
)
def status(
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Refresh until Ctrl-C; in a pipe, print each change.")
    ] = False,
    account: AccountOption = None,
    state: StateOption = None,
    provider: ProviderOption = None,
    label: LabelOption = None,
    held: HeldOption = False,
    failed: FailedOption = False,
    run: RunOption = None,
    wide: WideOption = False,
    json: JsonOption = False,
) -> None:
    """Show the state, errors and model id of each account."""
    job_filter = build_job_filter(
        accounts=account, state=state, provider=provider, label=label, held=held, failed=failed
    )

    async def work(app: App) -> int:
        from orchestrator.cli.handlers import status as handler

        return await handler.print_run_status(app, job_filter, as_json=json, watch=watch, wide=wide, run=run)

    run_with_app(work, for_reading=True)


@command(
    panel=Panel.RESULTS,
    examples="""
        orchestrator models
        orchestrator models --format csv -o models.csv
        orchestrator models --checkpoints
        orchestrator models --format litellm --name support-tone -o router.yaml
    """,
)
def models(
    output_format: FormatOption = ExportFormat.TABLE,
    json: Annotated[bool, typer.Option("--json", help="Short for --format json.")] = False,
    output: OutputOption = None,
    label: Annotated[list[str] | None, typer.Option(help="Only accounts with this label.")] = None,
    provider: ProvidersOption = None,
    run: RunOption = None,
    wide: WideOption = False,
    name: Annotated[
        str | None, typer.Option(help="Model group in LiteLLM's configuration; default: the name of the run.")
    ] = None,
    everything: UnservableOption = False,
    checkpoint: CheckpointOption = None,
    checkpoints: CheckpointsOption = False,
) -> None:
    """Print each account's fine-tuned model id. Exits 1 if any is missing."""
    if checkpoints:
        has_format = output_format is not ExportFormat.TABLE
        options = {"--format": has_format, "--json": json, "--output": output, "--checkpoint": checkpoint}
        refuse_ignored(options | {"--name": name, "--all": everything}, "--checkpoints")

    async def work(app: App) -> int:
        from orchestrator.cli.handlers import models as handler

        if checkpoints:
            return await handler.print_checkpoints(
                app, labels=label or (), providers=provider or (), wide=wide, run=run
            )
        return await handler.print_models(
            app,
            ExportFormat.JSON if json else output_format,
            output=output,
            labels=label or (),
            providers=provider or (),
            everything=everything,
            name=name,
            wide=wide,
            run=run,
            checkpoint=checkpoint,
        )

    run_with_app(work, for_reading=True)


@command(
    panel=Panel.RESULTS,
    examples="""
        orchestrator history acme-eu
        orchestrator history acme-eu --json | jq '.[].note'
    """,
)
def history(
    account: AccountArgument,
    wide: WideOption = False,
    json: JsonOption = False,
) -> None:
    """Show all events of an account with the cause of each."""

    async def work(app: App) -> int:
        from orchestrator.cli.handlers import status as handler

        return await handler.print_events(app, account, as_json=json, wide=wide)

    run_with_app(work, for_reading=True)


@command(
    panel=Panel.RESULTS,
    examples="""
        orchestrator logs acme-eu
        orchestrator logs acme-eu --follow --lines 20
        orchestrator logs acme-eu --run support-tone
        orchestrator logs acme-eu --json | jq 'select(.message)'
    """,
)
def logs(
    account: AccountArgument,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Print new events as well, until Ctrl-C.")] = False,
    run: Annotated[
        str | None,
        typer.Option(
            help="Only events of this run (name or id) and of the account itself.",
            metavar="NAME",
            autocompletion=complete_runs,
        ),
    ] = None,
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=1, max=2**31 - 1, help="Begin with this number of newest events.")
    ] = 1000,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
) -> None:
    """Print what happened in an account, as lines. Each event has its state, ids of jobs and requests, and reason."""

    async def work(app: App) -> int:
        from orchestrator.cli.handlers.logs import print_account_events

        return await print_account_events(app, account, follow=follow, run=run or "", limit=lines, as_json=json)

    run_with_app(work, for_reading=True)

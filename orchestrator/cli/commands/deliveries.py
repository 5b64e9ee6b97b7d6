"""Commands for webhooks and alerts: notify-test, deliveries list, deliveries retry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.commands.help_layout import Panel
from orchestrator.cli.commands.name_completion import complete_targets
from orchestrator.cli.commands.root import (
    AccountsFileOption,
    JsonOption,
    WideOption,
    check_selection,
    command,
    create_group,
)
from orchestrator.cli.session import command_session, run_with_app

if TYPE_CHECKING:
    from orchestrator.app import App

deliveries_app = create_group(
    "deliveries",
    panel=Panel.NOTIFICATIONS,
    summary="List webhook and alert deliveries and retry failed ones.",
    examples="""
        orchestrator deliveries list --dead
        orchestrator deliveries retry --all
    """,
)


@command(
    "notify-test",
    panel=Panel.NOTIFICATIONS,
    examples="""
        orchestrator notify-test
        orchestrator notify-test https://example.com/fine-tuning
        orchestrator notify-test env:TEAM_CHAT --json
    """,
)
def notify_test(
    target: Annotated[
        str | None,
        typer.Argument(
            help="Only this address or reference, as the accounts file has it; default: all of them.",
            autocompletion=complete_targets,
        ),
    ] = None,
    accounts: AccountsFileOption = None,
    wide: WideOption = False,
    json: JsonOption = False,
) -> None:
    """Send a test message to the webhooks and alerts. Exits 1 if any of them did not accept it."""
    with command_session(log_level="warning", accounts_file=accounts) as session:
        from orchestrator.cli.handlers.notify_test import send_test_messages

        code = send_test_messages(session, target, as_json=json, wide=wide)
    raise typer.Exit(code)


@command(
    "list",
    group=deliveries_app,
    examples="""
        orchestrator deliveries list
        orchestrator deliveries list --dead       # failed after all retries
    """,
)
def list_(
    dead: Annotated[bool, typer.Option("--dead", help="Show only failed deliveries.")] = False,
    wide: WideOption = False,
    json: JsonOption = False,
) -> None:
    """List the newest deliveries. Exits 1 if any of them failed after all retries."""

    async def work(app: App) -> int:
        from orchestrator.cli.handlers import deliveries

        return await deliveries.print_deliveries(app, dead=dead, as_json=json, wide=wide)

    run_with_app(work, for_reading=True)


@command(
    group=deliveries_app,
    examples="""
        orchestrator deliveries retry 7 12
        orchestrator deliveries retry --all
    """,
)
def retry(
    ids: Annotated[
        list[int] | None,
        typer.Argument(min=1, max=2**31 - 1, help="Delivery ids, as `deliveries list` shows them, for example 7 12."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Retry all failed deliveries.")] = False,
) -> None:
    """Retry failed deliveries."""
    check_selection(ids, all_selected=everything, choice="name at least one delivery id, or pass --all.", hint="ids")

    async def work(app: App) -> int:
        from orchestrator.cli.handlers import deliveries

        return await deliveries.retry_deliveries(app, None if everything else ids)

    run_with_app(work)

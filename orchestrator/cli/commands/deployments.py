"""Commands that make models callable: deploy, undeploy, deployments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.commands.filters import AccountOption, ActionRunOption, ProviderOption, RunOption
from orchestrator.cli.commands.help_layout import Panel
from orchestrator.cli.commands.root import (
    AccountsArgument,
    AllAccountsOption,
    JsonOption,
    WideOption,
    check_selection,
    command,
    refuse_ignored,
)
from orchestrator.cli.session import run_with_app
from orchestrator.core.deployment.deployment_filter import DeploymentFilter
from orchestrator.core.deployment.deployment_spec import DeploymentKind, DeploymentSpec
from orchestrator.core.deployment.lifecycle import DeploymentState

if TYPE_CHECKING:
    from orchestrator.app import App

SPEC_OPTIONS = DeploymentSpec.__struct_fields__  # each is an option of `deploy`
TABLE_HINT = "default: the run's table [run.PROVIDER.deployment]"
IdOption = Annotated[
    list[str] | None, typer.Option("--id", metavar="ID", help="Only the deployment with this id; can be repeated.")
]


KindOption = Annotated[DeploymentKind | None, typer.Option("--kind", help=f"How it is billed; {TABLE_HINT}.")]
KeepHoursOption = Annotated[float | None, typer.Option(help="Stop it after this time, whatever happens.")]
HardwareOption = Annotated[str | None, typer.Option(help="Hardware, in the provider's word.")]
ShapeOption = Annotated[str | None, typer.Option(help="Fireworks: deployment shape.")]
ConfigOption = Annotated[str | None, typer.Option(help="Together: id of a configuration. Azure: SKU.")]
CapacityOption = Annotated[int | None, typer.Option(min=1, help="Azure: thousands of tokens a minute.")]
MinReplicasOption = Annotated[int | None, typer.Option(min=0, help="Smallest number of replicas.")]
MaxReplicasOption = Annotated[int | None, typer.Option(min=1, help="Largest number of replicas; all are billed.")]
IdleStopOption = Annotated[int | None, typer.Option(min=1, help="Stop it after this time without calls.")]
PrecisionOption = Annotated[str | None, typer.Option(help="Precision, for example FP8.")]
CheckpointOption = Annotated[str | None, typer.Option(help='Deploy a checkpoint: its number, "best", or its id.')]
UsdPerHourOption = Annotated[
    float | None, typer.Option(min=0, help="Price of a replica, if the provider does not report it.")
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Confirm the price, whatever it is.")]
ExpectUsdOption = Annotated[
    float | None, typer.Option(min=0, help="Confirm this total price; another one is refused.")
]


@command(
    panel=Panel.OPERATE,
    examples="""
        orchestrator deploy acme-eu acme-us --keep-hours 4
        orchestrator deploy acme-eu --kind hour --keep-hours 2 --max-replicas 1
        orchestrator deploy --all --expect-usd 46.40
    """,
)
def deploy(
    ctx: typer.Context,
    accounts: AccountsArgument = None,
    all_accounts: AllAccountsOption = False,
    kind: KindOption = None,
    keep_hours: KeepHoursOption = None,
    hardware: HardwareOption = None,
    shape: ShapeOption = None,
    config: ConfigOption = None,
    capacity: CapacityOption = None,
    min_replicas: MinReplicasOption = None,
    max_replicas: MaxReplicasOption = None,
    idle_stop_minutes: IdleStopOption = None,
    precision: PrecisionOption = None,
    checkpoint: CheckpointOption = None,
    usd_per_hour: UsdPerHourOption = None,
    yes: YesOption = False,
    expect_usd: ExpectUsdOption = None,
    run: ActionRunOption = None,
    wide: WideOption = False,
) -> None:
    """Deploy finished models, so that they can be called. Shows the price and asks before anything is billed."""
    check_selection(accounts, all_selected=all_accounts, choice="name at least one account, or pass --all.")
    options = {name: ctx.params[name] for name in SPEC_OPTIONS}

    async def work(app: App) -> int:
        from orchestrator.cli.handlers import deployments as handler
        from orchestrator.control import DeploymentSelection

        selection = DeploymentSelection(
            accounts=accounts or None, run=run, checkpoint=checkpoint, options=options, usd_per_hour=usd_per_hour
        )
        return await handler.deploy_models(app, selection, yes=yes, expect_usd=expect_usd, wide=wide)

    run_with_app(work)


@command(
    panel=Panel.OPERATE,
    examples="""
        orchestrator undeploy acme-eu
        orchestrator undeploy --all
    """,
)
def undeploy(
    accounts: AccountsArgument = None,
    all_accounts: Annotated[bool, typer.Option("--all", help="Stop every deployment.")] = False,
    ids: IdOption = None,
) -> None:
    """Stop deployments, so that they are no longer billed. The fine-tuned models are kept."""
    _check_selection(accounts, ids, all_accounts=all_accounts)

    async def work(app: App) -> int:
        from orchestrator.cli.handlers import deployments as handler
        from orchestrator.control import DeploymentTarget

        return await handler.undeploy_models(app, DeploymentTarget(accounts=accounts or None, ids=ids or None))

    run_with_app(work)


@command(
    panel=Panel.RESULTS,
    examples="""
        orchestrator deployments
        orchestrator deployments --account acme-eu --ended
        orchestrator deployments --approve --id 0123456789abcdef
        orchestrator deployments --json | jq .totals.usd_per_hour
        orchestrator deployments --live
    """,
)
def deployments(
    account: AccountOption = None,
    state: Annotated[DeploymentState | None, typer.Option("--state", help="Only deployments in this state.")] = None,
    provider: ProviderOption = None,
    run: RunOption = None,
    ended: Annotated[bool, typer.Option("--ended", help="Include deployments that have ended.")] = False,
    live: Annotated[
        bool, typer.Option("--live", help="List what the providers have now, recorded here or not.")
    ] = False,
    approve: Annotated[
        bool, typer.Option("--approve", help="Approve the held prices of these accounts or ids, as displayed.")
    ] = False,
    ids: IdOption = None,
    wide: WideOption = False,
    json: JsonOption = False,
) -> None:
    """List deployments with their cost and their end. With --approve it approves prices that are held."""
    filters = {"--state": state, "--provider": provider, "--run": run, "--ended": ended}
    if approve:
        _check_selection(account, ids, all_accounts=False)
        refuse_ignored(filters | {"--live": live}, "--approve")
    elif ids:
        raise typer.BadParameter("is only used together with --approve.", param_hint="--id")
    elif live:
        refuse_ignored(filters, "--live")
    wanted = DeploymentFilter(
        accounts=tuple(account or ()), state=state or "", provider=provider or "", run=run or "", with_ended=ended
    )

    async def work(app: App) -> int:
        from orchestrator.cli.handlers import deployments as handler
        from orchestrator.control import DeploymentTarget

        if live:
            return await handler.print_live_deployments(app, account or [], as_json=json, wide=wide)
        if approve:
            return await handler.approve_prices(app, DeploymentTarget(accounts=account or None, ids=ids or None))
        return await handler.print_deployments(app, wanted, as_json=json, wide=wide)

    run_with_app(work, for_reading=not approve)


def _check_selection(accounts: list[str] | None, ids: list[str] | None, *, all_accounts: bool) -> None:
    choice = "name at least one account, or pass --id or --all."
    check_selection([*(accounts or ()), *(ids or ())], all_selected=all_accounts, choice=choice)

"""Bodies of the commands about deployments. They work whether or not the service runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from orchestrator import control, status
from orchestrator.app.live_deployments import LiveDeployment, list_live_deployments
from orchestrator.cli.deployments_table import (
    build_deployments_table,
    build_live_table,
    build_plan_table,
    format_totals,
)
from orchestrator.cli.exit_code import ExitCode
from orchestrator.cli.handlers.operate import RECORDED, get_operator_name
from orchestrator.cli.output import print_json
from orchestrator.cli.tables import get_table_width, print_output
from orchestrator.control import DeploymentPlan, DeploymentSelection, DeploymentTarget
from orchestrator.core.deployment.deployment import Deployment
from orchestrator.core.deployment.deployment_filter import DeploymentFilter
from orchestrator.core.structs import asdict
from orchestrator.core.text import format_count, format_usd
from orchestrator.core.text_sanitizer import sanitize_line

if TYPE_CHECKING:
    from orchestrator.app import App

CENT = 0.01
_RECORDED = "Recorded. The running service (`orchestrator serve`) creates it, and stops it at its end."


async def deploy_models(
    app: App, selection: DeploymentSelection, *, yes: bool, expect_usd: float | None, wide: bool = False
) -> ExitCode:
    """Print what would be deployed and its price, and request it once the price is confirmed."""
    plan = await _plan(app, selection)
    print_output(build_plan_table(plan, get_table_width(wide=wide), borders=sys.stdout.isatty()))
    if not plan.accepted:
        return ExitCode.FAILED
    if not _confirm_price(plan, yes=yes, expect_usd=expect_usd):
        return ExitCode.FAILED
    requested = await control.deploy(app.database, plan, by=get_operator_name(), now=app.clock.now())
    sys.stdout.write(f"Deploying {_format_accounts(requested)}.\n{_RECORDED}\n")
    if any(deployment.hold for deployment in requested):
        sys.stdout.write("Those with an unknown price are held until you approve them.\n")
    return ExitCode.DONE


async def undeploy_models(app: App, target: DeploymentTarget) -> ExitCode:
    """Request that deployments are stopped, and print their accounts."""
    stopped = await control.undeploy(app.database, target, by=get_operator_name(), now=app.clock.now())
    if not stopped:
        sys.stdout.write("Nothing to stop: no selected deployment is open, or all are being stopped.\n")
        return ExitCode.FAILED
    sys.stdout.write(f"Stopping the deployments of {_format_accounts(stopped)}.\n{RECORDED}\n")
    return ExitCode.DONE


async def approve_prices(app: App, target: DeploymentTarget) -> ExitCode:
    """Approve the held prices of deployments, and print what was approved."""
    approved = await control.approve_deployments(app.database, target, by=get_operator_name(), now=app.clock.now())
    sys.stdout.write(f"Approved the deployments of {_format_accounts(approved)}.\n{RECORDED}\n")
    return ExitCode.DONE


async def print_live_deployments(app: App, names: Sequence[str], *, as_json: bool, wide: bool) -> ExitCode:
    """Print what the providers list now. Returns FAILED if an account could not be read. Changes nothing."""
    listing, now = await list_live_deployments(app, names), app.clock.now()
    if as_json:
        print_json(
            {"deployments": [_live_to_dict(each, now) for each in listing.deployments], "failures": listing.failures}
        )
    elif listing.deployments:
        print_output(build_live_table(listing, now, get_table_width(wide=wide), borders=sys.stdout.isatty()))
    else:
        sys.stdout.write("The providers list no deployments of this program.\n")
    for account, reason in sorted(listing.failures.items()):
        sys.stderr.write(sanitize_line(f"Not read: {account}: {reason}") + "\n")
    return ExitCode.FAILED if listing.failures else ExitCode.DONE


def _live_to_dict(each: LiveDeployment, now: float) -> dict[str, Any]:
    return {
        "account": each.account,
        "provider": each.provider.value,
        "remote_id": each.remote.id,
        "status": each.remote.status.value,
        "model": each.remote.model,
        "usd_per_hour": each.usd_per_hour,
        "usd": each.calculate_usd(now),
        "created_at": status.format_iso(each.remote.created_at),
        "ends_at": status.format_iso(each.ends_at),
        "id": each.record.id if each.record is not None else None,
        "state": each.record.state.value if each.record is not None else None,
    }


async def print_deployments(app: App, wanted: DeploymentFilter, *, as_json: bool, wide: bool) -> ExitCode:
    """Print the matching deployments, and what all deployments cost together."""
    now = app.clock.now()
    listing = await status.list_deployments(app.database, wanted, now)
    if as_json:
        print_json(
            {
                "deployments": [status.deployment_to_dict(view) for view in listing.deployments],
                "totals": asdict(listing.totals),
            }
        )
    elif not listing.deployments:
        no_match = "No deployments. `orchestrator deploy` makes finished models callable."
        sys.stdout.write(
            "\n".join([no_match, *(format_totals(listing.totals) if listing.totals.count else ())]) + "\n"
        )
    else:
        table = build_deployments_table(listing, now, get_table_width(wide=wide), borders=sys.stdout.isatty())
        print_output(table)
    return ExitCode.DONE


async def _plan(app: App, selection: DeploymentSelection) -> DeploymentPlan:
    await app.loader.load_accounts()
    return await control.plan_deployments(
        app.database,
        selection,
        get_tables=app.loader.get_deployment_tables,
        find_price=app.deployment_prices.find_price,
    )


def _confirm_price(plan: DeploymentPlan, *, yes: bool, expect_usd: float | None) -> bool:
    """Return whether the price is confirmed: by an option, or by the amount that a person types."""
    total = plan.total_usd
    if expect_usd is not None:
        if abs(expect_usd - total) < CENT / 2:
            return True
        sys.stdout.write(f"Nothing was deployed: the price is {format_usd(total)}, not {format_usd(expect_usd)}.\n")
        return False
    if yes:
        return True
    if not sys.stdin.isatty():
        sys.stdout.write(f"Nothing was deployed. Confirm the price with --expect-usd {total:.2f}, or with --yes.\n")
        return False
    sys.stdout.write(f"Type {total:.2f} to confirm the price in US dollars; anything else stops: ")
    sys.stdout.flush()
    if sys.stdin.readline().strip().removeprefix("$") == f"{total:.2f}":
        return True
    sys.stdout.write("Nothing was deployed.\n")
    return False


def _format_accounts(deployments: Sequence[Deployment]) -> str:
    names = list(dict.fromkeys(deployment.account for deployment in deployments))
    return ", ".join(names) if len(names) == len(deployments) else format_count(len(deployments), "deployment")

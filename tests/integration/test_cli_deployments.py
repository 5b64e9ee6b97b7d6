"""The commands deploy, undeploy and deployments: prices are confirmed, and the list names them."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest
from deployment_actions import HOURS, TABLES, USD_PER_HOUR, deploy, fill_finished, find_no_price, list_all, record
from store_values import NOW, RUN

from orchestrator.app.deployment_prices import DeploymentPriceFinder
from orchestrator.cli.exit_code import ExitCode
from orchestrator.cli.handlers import deployments as handler
from orchestrator.control import DeploymentSelection, DeploymentTarget
from orchestrator.core.account import Account, ProviderName
from orchestrator.core.deployment.cost import DeploymentOption, DeploymentPrice
from orchestrator.core.deployment.deployment import StopReason
from orchestrator.core.deployment.deployment_filter import DeploymentFilter
from orchestrator.core.deployment.deployment_spec import DeploymentKind
from orchestrator.core.deployment.remote_deployment import RemoteDeployment, RemoteDeploymentStatus
from orchestrator.core.deployment.transitions import start_create
from orchestrator.core.errors import ConfigError, ProviderUnavailable
from orchestrator.providers.base import ProviderConnection
from orchestrator.store.db.database import Database


class PricedProvider:
    """A provider that lists one way to deploy a model."""

    def __init__(self, usd: float | None = USD_PER_HOUR, error: Exception | None = None) -> None:
        self.usd, self.error, self.asked = usd, error, 0

    async def list_deployment_options(self, base_model: str) -> list[DeploymentOption]:
        self.asked += 1
        if self.error:
            raise self.error
        price = DeploymentPrice(kind=DeploymentKind.HOUR, usd_per_hour=self.usd, source="price page")
        return [DeploymentOption(price=price)]


def app_with(database: Database, provider: Any, *accounts: str) -> Any:
    listed = [Account(name=name, provider=ProviderName.FIREWORKS, api_key="env:KEY") for name in accounts]
    by_name = {account.name: ProviderConnection(account, "12345678", provider) for account in listed}

    async def load_accounts() -> None:
        pass

    def get_tables(run_name: str) -> Any:
        return {RUN.name: TABLES}[run_name]

    return cast(
        Any,
        SimpleNamespace(
            database=database,
            clock=SimpleNamespace(now=lambda: NOW, boottime=lambda: NOW),
            loader=SimpleNamespace(load_accounts=load_accounts, get_deployment_tables=get_tables),
            deployment_prices=DeploymentPriceFinder(by_name, lambda: NOW),
        ),
    )


def select(*accounts: str, **values: Any) -> DeploymentSelection:
    return DeploymentSelection(accounts=accounts, options=HOURS, **values)


async def test_the_price_is_shown_and_nothing_happens_without_a_confirmation(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    await fill_finished(database, "acme", "globex")
    app = app_with(database, provider := PricedProvider(), "acme", "globex")
    code = await handler.deploy_models(app, select("acme", "globex"), yes=False, expect_usd=None)
    shown = capsys.readouterr().out
    assert code is ExitCode.FAILED
    assert "2 deployments, at most $46.40 until the end, without the calls." in shown  # 2 x 4 h x 2 replicas x 2.90
    assert "Nothing was deployed. Confirm the price with --expect-usd 46.40, or with --yes." in shown
    assert await list_all(database) == {}
    assert provider.asked == 1  # one question for all accounts of a server


@pytest.mark.parametrize(
    ("confirmed", "code"),
    [
        ({"yes": True, "expect_usd": None}, ExitCode.DONE),
        ({"yes": False, "expect_usd": 23.2}, ExitCode.DONE),
        ({"yes": True, "expect_usd": 23.21}, ExitCode.FAILED),
        ({"yes": False, "expect_usd": float("nan")}, ExitCode.FAILED),
    ],
)
async def test_a_confirmed_price_must_be_the_price(
    database: Database, capsys: pytest.CaptureFixture[str], confirmed: dict[str, Any], code: ExitCode
) -> None:
    await fill_finished(database, "acme")
    app = app_with(database, PricedProvider(), "acme")
    assert await handler.deploy_models(app, select("acme"), **confirmed) is code
    assert sorted(await list_all(database)) == (["acme"] if code is ExitCode.DONE else [])
    assert ("the price is $23.20" if code is ExitCode.FAILED else "Deploying acme.") in capsys.readouterr().out


@pytest.mark.parametrize(
    ("typed", "code"), [("23.20\n", ExitCode.DONE), ("y\n", ExitCode.FAILED), ("", ExitCode.FAILED)]
)
async def test_a_person_confirms_by_typing_the_amount(
    database: Database, monkeypatch: pytest.MonkeyPatch, typed: str, code: ExitCode
) -> None:
    terminal = io.StringIO(typed)
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr("sys.stdin", terminal)
    await fill_finished(database, "acme")
    app = app_with(database, PricedProvider(), "acme")
    assert await handler.deploy_models(app, select("acme"), yes=False, expect_usd=None) is code


@pytest.mark.parametrize(
    "provider", [PricedProvider(None), PricedProvider(error=ProviderUnavailable("503")), object()]
)
async def test_a_price_that_the_provider_does_not_report_is_held(
    database: Database, capsys: pytest.CaptureFixture[str], provider: Any
) -> None:
    await fill_finished(database, "acme")
    app = app_with(database, provider, "acme")
    assert await handler.deploy_models(app, select("acme"), yes=True, expect_usd=None) is ExitCode.DONE
    assert "The price of 1 deployment is unknown: held until" in capsys.readouterr().out
    assert (await list_all(database))["acme"].hold is not None
    target = DeploymentTarget(accounts=["acme"])
    assert await handler.approve_prices(app, target) is ExitCode.DONE
    assert (await list_all(database))["acme"].hold is None


async def test_the_table_of_the_run_is_used_without_options(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    await fill_finished(database, "acme")
    app = app_with(database, PricedProvider(), "acme")
    await handler.deploy_models(app, DeploymentSelection(accounts=None), yes=True, expect_usd=None)
    assert "at most $46.40" in capsys.readouterr().out  # 8 h x 2 replicas
    assert (await list_all(database))["acme"].spec == TABLES[ProviderName.FIREWORKS]


async def test_undeploy_says_what_it_stopped_and_fails_if_that_is_nothing(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    await fill_finished(database, "acme", "globex")
    await deploy(database, "acme", "globex")
    app = app_with(database, PricedProvider())
    assert await handler.undeploy_models(app, DeploymentTarget(accounts=["acme"])) is ExitCode.DONE
    assert "Stopping the deployments of acme." in capsys.readouterr().out
    assert await handler.undeploy_models(app, DeploymentTarget(accounts=["acme"])) is ExitCode.FAILED
    assert "Nothing to stop" in capsys.readouterr().out
    assert (await list_all(database))["acme"].stop_reason is StopReason.REQUESTED


async def test_the_list_names_costs_and_ends(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    await fill_finished(database, "acme", "globex")
    first, _ = await deploy(database, "acme", "globex", options={"keep_hours": 4.0, "max_replicas": 2})
    await record(database, start_create(first, now=NOW - 3600, intent_until=NOW))
    app = app_with(database, PricedProvider())
    assert await handler.print_deployments(app, DeploymentFilter(), as_json=False, wide=False) is ExitCode.DONE
    shown = capsys.readouterr().out
    assert "$5.80     $5.80" in shown
    assert "in 3 h" in shown
    assert "1 deployment costs $5.80 an hour: at most $5.80 so far, $23.20 until the end, without the calls." in shown

    await handler.print_deployments(app, DeploymentFilter(state="creating"), as_json=True, wide=False)
    document = json.loads(capsys.readouterr().out)
    [entry] = document["deployments"]
    assert (entry["account"], entry["state"], entry["usd_per_hour"]) == ("acme", "creating", pytest.approx(5.8))
    assert entry["so_far_usd"] == pytest.approx(5.8)
    assert entry["expires_at"].startswith("1970-01-12T")
    assert document["totals"]["count"] == 1

    await handler.print_deployments(app, DeploymentFilter(accounts=("nobody",)), as_json=False, wide=False)
    shown = capsys.readouterr().out
    assert shown.startswith("No deployments.")
    assert "1 deployment costs $5.80 an hour" in shown  # what a filter hides costs money, too


async def test_a_deployment_of_an_unknown_price_is_not_summed_as_free(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    await fill_finished(database, "acme")
    [held] = await deploy(database, "acme", price=find_no_price)
    await record(database, start_create(held, now=NOW - 60, intent_until=NOW))
    await handler.print_deployments(app_with(database, object()), DeploymentFilter(), as_json=False, wide=False)
    assert "The price of 1 deployment is unknown and not in these sums." in capsys.readouterr().out


class ListingProvider:
    """A provider whose list is given; it can deploy."""

    def __init__(self, *listed: RemoteDeployment, error: Exception | None = None) -> None:
        self.listed, self.error = list(listed), error

    async def create_deployment(self, order: Any, deadline: Any) -> RemoteDeployment:
        raise AssertionError("a list creates nothing")

    async def list_own_deployments(self) -> list[RemoteDeployment]:
        if self.error is not None:
            raise self.error
        return self.listed


def remote(remote_id: str, **changes: Any) -> RemoteDeployment:
    values: dict[str, Any] = {
        "id": remote_id,
        "status": RemoteDeploymentStatus.RUNNING,
        "raw_status": "READY",
        "model": "m",
        "created_at": NOW - 1800,
    }
    return RemoteDeployment(**(values | changes))


def live_app(database: Database, providers: Mapping[str, ListingProvider]) -> Any:
    app = app_with(database, None)
    listed = {name: Account(name=name, provider=ProviderName.FIREWORKS, api_key="env:KEY") for name in providers}

    async def load_accounts() -> Any:
        return None, SimpleNamespace(missing={})

    app.loader.load_accounts = load_accounts
    app.connections = SimpleNamespace(
        by_name={
            name: ProviderConnection(account, "12345678", cast(Any, providers[name]))
            for name, account in listed.items()
        },
        get_listed_accounts=lambda: listed,
    )
    return app


async def test_live_list_has_what_no_record_knows(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    await fill_finished(database, "fw-1")
    [wanted] = await deploy(database, "fw-1")
    started = start_create(wanted, now=NOW, intent_until=NOW + 60)
    await record(database, started)
    known = remote("known", tag=started.deployment.tag, ready_replicas=2)
    foreign = remote("surplus", tag="0123456789abcdef.0", usd_per_hour=4.0, stop_at=NOW + 600)
    app = live_app(
        database,
        {
            "fw-1": ListingProvider(known, foreign),
            "fw-2": ListingProvider(error=ProviderUnavailable("503: busy")),
        },
    )
    assert await handler.print_live_deployments(app, [], as_json=True, wide=False) is ExitCode.FAILED
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    assert document["failures"] == {"fw-2": "503: busy"}
    assert "Not read: fw-2: 503: busy" in printed.err
    first, second = document["deployments"]
    assert (first["remote_id"], first["id"], first["state"]) == ("known", wanted.id, "creating")
    assert first["usd_per_hour"] == 2 * USD_PER_HOUR
    assert first["usd"] == pytest.approx(USD_PER_HOUR)
    assert (second["remote_id"], second["id"], second["usd"]) == ("surplus", None, 2.0)

    assert await handler.print_live_deployments(app, ["fw-1"], as_json=False, wide=False) is ExitCode.DONE
    text = capsys.readouterr().out
    assert "not recorded" in text
    assert "in 10 min" in text


async def test_live_list_of_an_unknown_account_is_refused(database: Database) -> None:
    with pytest.raises(ConfigError, match="no account is named fw-9"):
        await handler.print_live_deployments(live_app(database, {}), ["fw-9"], as_json=False, wide=False)

"""What the comparison desk prepares and refuses: planned deployments, and questions to accounts without a model."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from deployment_actions import TABLES, a_finished_job, deploy, fill_finished, find_no_price, find_price, record
from store_values import NOW, RUN, a_job, a_standing, fill, save_standing

from orchestrator.app.comparisons import ComparisonDesk
from orchestrator.control import DeploymentTarget, hold_accounts, undeploy
from orchestrator.core.account import Account, ProviderName
from orchestrator.core.comparison.answer import AnswerOutcome
from orchestrator.core.comparison.comparison import ComparisonSettings
from orchestrator.core.comparison.probe import Probe, ProbeKind
from orchestrator.core.comparison.request_plan import InferencePrice
from orchestrator.core.deployment.remote_deployment import RemoteDeployment, RemoteDeploymentStatus
from orchestrator.core.deployment.transitions import record_answer, record_created, start_create
from orchestrator.core.errors import ConfigError
from orchestrator.core.hold import Hold
from orchestrator.core.inference import ChatQuestion, ChatReply
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.structs import replace
from orchestrator.store.db.database import Database

LISTED = InferencePrice(usd_per_million_input_tokens=1.0, usd_per_million_output_tokens=2.0, usd_per_hour=7.5)
HOURS = 1.25
ACCOUNTS = {
    name: Account(name=name, provider=ProviderName.FIREWORKS, api_key="env:KEY") for name in ("fw-1", "fw-2", "fw-3")
}
PROBE = Probe(
    probe_id="p1", prompt_id="p1", kind=ProbeKind.HELD_OUT, messages="[]", reference="a", stratum=(False, 1, 0)
)


def create_desk(database: Database, find_deployment_price: Any, *, is_service: bool) -> ComparisonDesk:
    app = SimpleNamespace(
        database=database,
        clock=SimpleNamespace(now=lambda: NOW),
        loader=SimpleNamespace(get_deployment_tables=lambda _run: TABLES),
        deployment_prices=SimpleNamespace(find_price=find_deployment_price),
        settings=SimpleNamespace(prices_file=None),
        connections=SimpleNamespace(get_listed_accounts=lambda: ACCOUNTS),
    )
    return ComparisonDesk(cast(Any, app), reads_file=not is_service)


async def test_command_needs_a_running_service_to_deploy(database: Database) -> None:
    await fill_finished(database, "fw-1")
    desk = create_desk(database, find_price, is_service=False)
    with pytest.raises(ConfigError, match="no service runs") as refused:
        await desk._plan_deployments(RUN, [a_finished_job("fw-1")], HOURS, lambda *_: LISTED)
    assert "orchestrator serve" in refused.value.hint


@pytest.mark.parametrize(
    ("find_deployment_price", "listed", "usd_per_hour"),
    [(find_price, LISTED, 2.9), (find_no_price, LISTED, 7.5), (find_no_price, None, None)],
    ids=["of the provider", "of the price file", "unknown"],
)
async def test_price_of_the_provider_comes_before_that_of_the_price_file(
    database: Database, find_deployment_price: Any, listed: InferencePrice | None, usd_per_hour: float | None
) -> None:
    await fill_finished(database, "fw-1")
    desk = create_desk(database, find_deployment_price, is_service=True)
    plan = await desk._plan_deployments(RUN, [a_finished_job("fw-1")], HOURS, lambda *_: listed)
    [line] = plan.accepted
    assert line.spec is not None
    assert (line.spec.keep_hours, line.spec.max_replicas) == (HOURS, 2)  # the run's table has 8 hours
    assert line.price is not None
    assert line.price.usd_per_hour == usd_per_hour
    assert line.usd == (None if usd_per_hour is None else pytest.approx(usd_per_hour * HOURS * 2))


async def test_question_to_an_account_without_a_model_says_why(database: Database) -> None:
    await fill(database, [a_job("acme"), replace(a_job("blue", state=JobState.SUCCEEDED), fine_tuned_model="ft:m")])
    app = SimpleNamespace(
        database=database,
        clock=SimpleNamespace(now=lambda: NOW),
        settings=SimpleNamespace(prices_file=None),
        connections=SimpleNamespace(get_listed_accounts=lambda: dict.fromkeys(("acme", "blue", "cyan"))),
    )
    desk = ComparisonDesk(cast(Any, app), reads_file=False)

    async def explain(*accounts: str) -> tuple[str, str]:
        with pytest.raises(ConfigError) as refused:
            await desk.ask(None, accounts, ChatQuestion(messages=[], max_output_tokens=1), None, "operator")
        return refused.value.message, refused.value.hint

    message, hint = await explain("acne", "blue")
    assert message == 'no account is named acne; did you mean "acme"?'
    assert hint == "Known accounts: acme, blue, cyan."
    message, _ = await explain("acme", "blue", "cyan")
    assert message == (
        f"run {RUN.name} has no model that can be called in acme: it has no model: its job is planned; "
        "blue: its model must be deployed before it can be called; cyan: the run has no job in this account"
    )


class AnsweringProvider:
    """Counts the questions that it answers."""

    def __init__(self) -> None:
        self.asked = 0

    async def ask(self, *_: object) -> ChatReply:
        self.asked += 1
        return ChatReply(text="yes", outcome=AnswerOutcome.ANSWERED)


async def test_nothing_is_sent_for_an_account_on_hold(database: Database) -> None:
    """A hold promises it to the account's owner. The key may even belong to another organisation."""
    names = ("acme", "globex", "initech")
    done = {"state": JobState.SUCCEEDED, "fine_tuned_model": "ft:x", "servable": True, "wake_at": None}
    await fill(database, [a_job(name, **done) for name in names])
    wrong_key = Hold("wrong_organization", "the key belongs to org-2", "Correct the key.")
    await save_standing(database, a_standing("globex", hold=wrong_key))
    no_training = Hold("training_not_allowed", "the organisation may not train", "Ask for permission.")
    await save_standing(database, a_standing("initech", hold=no_training))  # its finished models still work
    listed = {name: Account(name=name, provider=ProviderName.OPENAI, api_key="env:KEY") for name in names}
    providers = {name: AnsweringProvider() for name in names}
    desk = create_desk(database, find_no_price, is_service=True)
    app = cast(Any, desk._app)
    app.settings = SimpleNamespace(prices_file=None)
    app.clock.boottime = lambda: NOW
    app.connections = SimpleNamespace(
        get_listed_accounts=lambda: listed,
        by_name={name: SimpleNamespace(provider=provider) for name, provider in providers.items()},
    )
    app.loader.get_comparison_settings = lambda _run: ComparisonSettings()
    question = ChatQuestion(messages=[{"role": "user", "content": "well?"}], max_output_tokens=9)
    replies = await desk.ask(None, None, question, None, "me")
    assert [reply.model.account for reply in replies] == ["acme", "initech"]
    with pytest.raises(ConfigError, match="account globex is on hold: the key belongs to org-2"):
        await desk.ask(None, ["acme", "globex"], question, None, "me")
    assert [providers[name].asked for name in names] == [1, 0, 1]

    comparison, _ = await desk._plan(RUN, (), ComparisonSettings(max_output_tokens=9), "me")
    assert [model.account for model in comparison.models if not model.is_base] == ["acme", "initech"]
    [left_out] = await desk._find_left_out(RUN, comparison, None)
    assert (left_out.account, left_out.reason) == ("globex", "the account is on hold: the key belongs to org-2")


async def test_model_of_a_held_account_is_left_out_and_not_deployed(database: Database) -> None:
    await fill_finished(database, *ACCOUNTS)
    await hold_accounts(database, ["fw-2"], reason="do not use it", by="operator:ann", now=NOW)
    desk = create_desk(database, find_price, is_service=True)
    comparison, deployments = await desk._plan(RUN, (PROBE,), ComparisonSettings(deploy=True), "schedule")
    assert [model.name for model in comparison.models] == ["fw-1", "fw-3"]
    assert deployments is not None
    assert [line.job.account for line in deployments.accepted] == ["fw-1", "fw-3"]
    [left_out] = await desk._find_left_out(RUN, comparison, deployments)
    assert (left_out.account, left_out.reason) == ("fw-2", "the account is on hold: do not use it")


async def test_model_whose_deployment_is_being_stopped_is_not_called(database: Database) -> None:
    await fill_finished(database, "fw-1", "fw-2")
    desk = create_desk(database, find_price, is_service=True)
    for requested in await deploy(database, "fw-1", "fw-2"):
        started = await record(database, start_create(requested, now=NOW, intent_until=NOW))
        remote = RemoteDeployment(
            id=f"dep-{requested.account}",
            status=RemoteDeploymentStatus.RUNNING,
            raw_status="READY",
            model=requested.model,
            model_string=f"m#{requested.account}",
            base_url="https://call.example/v1",
        )
        created = await record(database, record_created(started, remote, now=NOW))
        await record(database, record_answer(created, now=NOW, wake_at=NOW + 60))
    assert [model.name for model in await desk._list_models(RUN, desk._app.connections.get_listed_accounts())] == [
        "fw-1",
        "fw-2",
    ]
    await undeploy(database, DeploymentTarget(accounts=["fw-2"]), by="operator:ann", now=NOW)
    assert [model.name for model in await desk._list_models(RUN, desk._app.connections.get_listed_accounts())] == [
        "fw-1"
    ]

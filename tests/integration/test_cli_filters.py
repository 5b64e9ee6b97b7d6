"""The filters of `status` and `retry` select jobs; a filter that matches nothing changes nothing."""

from __future__ import annotations

import json
import sys
from functools import partial
from io import BytesIO, TextIOWrapper
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml
from run_values import a_plan, apply
from store_values import NOW, a_job, a_standing, fill, read_job, save_standing

from orchestrator.app import App
from orchestrator.cli.exit_code import ExitCode
from orchestrator.cli.handlers.models import print_checkpoints, print_models
from orchestrator.cli.handlers.operate import run_account_action
from orchestrator.cli.handlers.status import (
    NO_MATCH_IN_RUNS_MESSAGE,
    NO_MATCH_MESSAGE,
    NO_RUN_MESSAGE,
    print_run_status,
    read_matching_status,
)
from orchestrator.core.account import ProviderName
from orchestrator.core.errors import ConfigError
from orchestrator.core.jobs.job_filter import JobFilter
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.jobs.operator_action import OperatorAction
from orchestrator.core.structs import replace
from orchestrator.exports import ExportFormat
from orchestrator.store.db.database import Database


def app_with(database: Database) -> Any:
    app = cast(Any, SimpleNamespace(database=database, clock=SimpleNamespace(now=lambda: NOW), is_empty=False))
    app.read_status = partial(App.read_status, app)
    app.loader = SimpleNamespace(read_gates=read_no_gates, load_listed_accounts=list_no_accounts)
    return app


async def read_no_gates() -> dict[str, bool]:
    return {}


async def list_no_accounts() -> dict[str, Any]:
    return {}


async def fill_three_jobs(database: Database) -> Any:
    await fill(
        database,
        [
            a_job("acme", state=JobState.FAILED),
            replace(a_job("blue", state=JobState.FAILED), provider=ProviderName.NEBIUS),
            a_job("cyan"),
        ],
    )
    await save_standing(database, a_standing("acme", labels=("eu",)))
    return app_with(database)


@pytest.mark.parametrize(
    ("job_filter", "accounts"),
    [
        (JobFilter(), ["acme", "blue", "cyan"]),
        (JobFilter(state="failed"), ["acme", "blue"]),
        (JobFilter(state="failed", provider="nebius"), ["blue"]),
        (JobFilter(label="eu"), ["acme"]),
        (JobFilter(accounts=("cyan", "acme")), ["acme", "cyan"]),
        (JobFilter(held=True), []),
    ],
)
async def test_status_has_the_matching_jobs_and_counts_only_them(
    database: Database, job_filter: JobFilter, accounts: list[str]
) -> None:
    snapshot = await read_matching_status(await fill_three_jobs(database), job_filter)
    assert sorted(job.account for job in snapshot.jobs) == accounts
    assert sum(snapshot.counts.values()) == len(accounts)


async def test_status_reports_that_no_job_matches(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    app = await fill_three_jobs(database)
    await print_run_status(app, JobFilter(label="moon"), as_json=False, watch=False)
    assert NO_MATCH_MESSAGE in capsys.readouterr().out


async def test_retry_with_a_filter_reaches_only_the_matching_jobs(database: Database) -> None:
    app = await fill_three_jobs(database)
    result = await run_account_action(app, OperatorAction.RETRY, None, job_filter=JobFilter(provider="nebius"))
    assert result is ExitCode.DONE
    states = [(await read_job(database, name)).state for name in ("acme", "blue")]
    assert states == [JobState.FAILED, JobState.PLANNED]


@pytest.mark.parametrize("names", [None, ["acme", "blue"]])
async def test_retry_with_a_filter_that_matches_nothing_changes_nothing(
    database: Database, names: list[str] | None
) -> None:
    app = await fill_three_jobs(database)
    result = await run_account_action(app, OperatorAction.RETRY, names, job_filter=JobFilter(label="moon"))
    assert result is ExitCode.FAILED
    states = {(await read_job(database, name)).state for name in ("acme", "blue")}
    assert states == {JobState.FAILED}


async def apply_two_runs(database: Database) -> Any:
    await apply(database, a_plan("tone", 1), a_plan("facts", 2, priority=5))
    return app_with(database)


async def test_status_has_a_table_for_each_run_or_for_the_selected_one(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    app = await apply_two_runs(database)
    await print_run_status(app, JobFilter(), as_json=False, watch=False)
    text = capsys.readouterr().out
    assert text.index("facts · run") < text.index("tone · run"), "the run with the higher priority is first"
    assert text.rstrip().endswith("2 runs: 4 planned")
    await print_run_status(app, JobFilter(), as_json=False, watch=False, run="tone")
    text = capsys.readouterr().out
    assert ("tone · run" in text, "facts" in text, "runs:" in text) == (True, False, False)
    with pytest.raises(ConfigError, match='no current run "fact"; did you mean "facts"'):
        await print_run_status(app, JobFilter(), as_json=False, watch=False, run="fact")


async def test_status_of_runs_with_a_filter_has_the_matching_jobs_of_each(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    app = await apply_two_runs(database)
    snapshot = await read_matching_status(app, JobFilter(accounts=("b",)))
    assert [(part.run and part.run.name, len(part.jobs)) for part in snapshot.split_by_run()] == [
        ("facts", 1),
        ("tone", 1),
    ]
    assert snapshot.counts == {"planned": 2}
    await print_run_status(app, JobFilter(label="moon"), as_json=False, watch=False)
    assert NO_MATCH_IN_RUNS_MESSAGE in capsys.readouterr().out


async def test_json_of_several_runs_is_the_document_of_the_service(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    app = await apply_two_runs(database)
    await print_run_status(app, JobFilter(), as_json=True, watch=False)
    document = json.loads(capsys.readouterr().out)
    assert (document["schema"], [each["run"]["name"] for each in document["runs"]]) == (2, ["facts", "tone"])
    await print_run_status(app, JobFilter(), as_json=True, watch=False, run="tone")
    document = json.loads(capsys.readouterr().out)
    assert (document["schema"], document["run"]["name"]) == (1, "tone")


@pytest.mark.parametrize(
    ("output_format", "printed"), [(ExportFormat.TABLE, ""), (ExportFormat.JSON, "{}"), (ExportFormat.ENV, None)]
)
async def test_models_report_that_no_account_matches(
    database: Database, capsys: pytest.CaptureFixture[str], output_format: ExportFormat, printed: str | None
) -> None:
    app = await fill_three_jobs(database)
    filters: dict[str, Any] = {"labels": ["moon"], "providers": [ProviderName.OPENAI]}
    assert await print_models_of(app, output_format, **filters) is ExitCode.FAILED
    out, err = capsys.readouterr()
    assert err == "No account matches --label moon --provider openai.\n"
    assert printed in (None, out.strip())
    assert await print_checkpoints(app, **filters) is ExitCode.FAILED
    assert capsys.readouterr() == ("", err)


@pytest.mark.parametrize("output_format", [each for each in ExportFormat if not each.has_model_group])
async def test_name_is_refused_where_nothing_has_it(database: Database, output_format: ExportFormat) -> None:
    app = await fill_three_jobs(database)
    with pytest.raises(ConfigError, match=f"--name is not used with --format {output_format}"):
        await print_models_of(app, output_format, name="my-group")


@pytest.mark.parametrize("output_format", [ExportFormat.LITELLM, ExportFormat.SILLYTAVERN])
async def test_name_is_applied_elsewhere(
    database: Database, capsys: pytest.CaptureFixture[str], output_format: ExportFormat
) -> None:
    await fill(database, [replace(a_job("acme", state=JobState.SUCCEEDED), fine_tuned_model="ft:m")])
    await print_models_of(app_with(database), output_format, name="my-group", everything=True)
    assert "my-group" in capsys.readouterr().out


async def test_document_on_a_stdout_that_is_not_utf8_is_valid(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(database, [replace(a_job("acme", state=JobState.SUCCEEDED), fine_tuned_model="ft:m")])
    written = BytesIO()
    monkeypatch.setattr(sys, "stdout", TextIOWrapper(written, "latin-1", write_through=True))
    await print_models_of(app_with(database), ExportFormat.LITELLM, name="Ümläut", everything=True)
    [listed] = yaml.safe_load(written.getvalue())["model_list"]
    assert listed["model_name"] == "Ümläut"


@pytest.mark.parametrize("choice", ["foo", "0", "-1", "01", ""])
async def test_models_refuse_a_checkpoint_that_no_model_can_have(database: Database, choice: str) -> None:
    app = await fill_three_jobs(database)
    with pytest.raises(ConfigError, match=f"--checkpoint {choice}: no model has a checkpoint") as refused:
        await print_models_of(app, checkpoint=choice)
    assert 'a number from 1, "best" or the id' in refused.value.hint


@pytest.mark.parametrize("choice", ["best", "1", "99"])
async def test_models_in_training_may_get_the_checkpoint_later(database: Database, choice: str) -> None:
    assert await print_models_of(await fill_three_jobs(database), checkpoint=choice) is ExitCode.FAILED


@pytest.mark.parametrize("output_format", [ExportFormat.TABLE, ExportFormat.JSON, ExportFormat.CSV])
async def test_list_without_a_checkpoint_says_why(
    database: Database, capsys: pytest.CaptureFixture[str], output_format: ExportFormat
) -> None:
    await fill(
        database,
        [
            replace(a_job("acme", state=JobState.SUCCEEDED), fine_tuned_model="ft:m"),
            a_job("blue", state=JobState.FAILED),
        ],
    )
    assert await print_models_of(app_with(database), output_format, checkpoint="99") is ExitCode.FAILED
    assert capsys.readouterr().err.splitlines() == [
        "No checkpoint: acme: has no checkpoint 99; no checkpoint of it is known",
        "No checkpoint: blue: has no model yet",
    ]


async def test_every_format_says_that_there_is_no_run(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    for output_format in ExportFormat:
        assert await print_models_of(app_with(database), output_format) is ExitCode.FAILED
        out, err = capsys.readouterr()
        assert (out if output_format is ExportFormat.TABLE else err) == f"{NO_RUN_MESSAGE}\n"


async def print_models_of(app: Any, output_format: ExportFormat = ExportFormat.TABLE, **options: Any) -> ExitCode:
    arguments: dict[str, Any] = {"output": None, "labels": (), "providers": (), "everything": False, "name": None}
    return await print_models(app, output_format, **arguments | options)


async def test_models_of_several_runs_name_the_run(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    app = await apply_two_runs(database)

    async def get_models(output_format: ExportFormat, name: str | None = None, run_name: str | None = None) -> str:
        await print_models(
            app,
            output_format,
            output=None,
            labels=(),
            providers=(),
            everything=False,
            name=name,
            run=run_name,
        )
        return capsys.readouterr().out

    missing = {"a": None, "b": None}
    assert json.loads(await get_models(ExportFormat.JSON)) == {"facts": missing, "tone": missing}
    assert json.loads(await get_models(ExportFormat.JSON, run_name="tone")) == missing
    lines = (await get_models(ExportFormat.TABLE)).splitlines()
    assert [line.split()[0] for line in lines if line] == ["Run", "account", "a", "b"] * 2
    with pytest.raises(ConfigError, match="--name sets the name of one model group"):
        await get_models(ExportFormat.LITELLM, name="group")

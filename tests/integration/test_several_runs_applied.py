"""A file with several runs is applied: what concerns one run never touches another."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Collection
from pathlib import Path

import pytest

from orchestrator.app import App, open_app
from orchestrator.core.errors import ConfigError, DatasetError
from orchestrator.core.jobs.job import Job
from orchestrator.core.jobs.run import Run
from orchestrator.core.secret import Redactor
from orchestrator.daemon.service import AppliedFile
from orchestrator.dataset import build_process
from orchestrator.dataset.build_process import BuildProcess
from orchestrator.dataset.summary import BuildResult
from orchestrator.planning import base_models, input_loader
from orchestrator.settings import load_settings
from orchestrator.store.queries import jobs, runs


class Folder:
    """An accounts file and its chats."""

    def __init__(self, path: Path) -> None:
        self.path = path
        for name in ("own", "shared"):
            self.write_chats(name, text=name)

    def write_chats(self, folder: str, *, text: str = "", examples: int = 12) -> None:
        chats = [
            {"messages": [{"role": "user", "content": f"{number}? {text}"}, {"role": "assistant", "content": "Yes."}]}
            for number in range(examples)
        ]
        (self.path / folder).mkdir(exist_ok=True)
        (self.path / folder / "chats.jsonl").write_text("".join(json.dumps(chat) + "\n" for chat in chats))

    def write_accounts(self, *entries: str, accounts: Collection[str] = ("a", "b")) -> None:
        for name in accounts:
            (self.path / f"{name}.key").write_text(f"key-of-{name}")
        listed = [
            f'[[accounts]]\nname = "{name}"\nprovider = "openai-compatible"\napi_key = "file:{name}.key"\n'
            'base_url = "http://127.0.0.1:9/v1"\n'
            for name in accounts
        ]
        (self.path / "accounts.toml").write_text("\n".join([*entries, *listed]))


def an_entry(name: str, dataset: str = "shared", *, epochs: int = 1, more: str = "") -> str:
    return (
        f'[[runs]]\nname = "{name}"\ndataset = "{dataset}"\nmoderation_waived = "test"\n{more}\n'
        f'allow_unknown_price = true\n[runs.openai-compatible]\nbase_model = "m"\nn_epochs = {epochs}\n'
    )


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.fixture(autouse=True)
def no_provider_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_models, "MODEL_LOOKUP_TIMEOUT_SECONDS", 0.05)


@pytest.fixture(autouse=True)
def build_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process takes 0.6 s of CPU for its start; test_dataset_build_process.py starts them."""

    def build(process: BuildProcess) -> BuildResult:
        outcome = build_process._build(process._request)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(BuildProcess, "start", lambda _process: None)
    monkeypatch.setattr(BuildProcess, "result", build)


@pytest.fixture
async def app(folder: Folder, database_url: str) -> AsyncIterator[App]:
    settings = {
        "ORCHESTRATOR_ACCOUNTS_FILE": str(folder.path / "accounts.toml"),
        "ORCHESTRATOR_DATA_DIR": str(folder.path / "data"),
        "ORCHESTRATOR_DATABASE_URL": database_url,
    }
    async with open_app(load_settings(settings), Redactor()) as app:
        yield app


async def apply(app: App, only: Collection[str] | None = None) -> AppliedFile:
    return await app.accounts_file_applier.apply(start=True, cause="service", only=only)


async def list_current(app: App) -> dict[str, Run]:
    async with app.database.read() as connection:
        return {run.name: run for run in await runs.list_current(connection)}


async def list_jobs(app: App, run: Run) -> list[Job]:
    async with app.database.read() as connection:
        return await jobs.list_by_run(connection, run.id)


async def test_all_runs_of_the_file_become_current(app: App, folder: Folder) -> None:
    folder.write_accounts(
        an_entry("tone", "own", more="priority = 7"),
        an_entry("facts", more='schedule = "0 3 * * *"'),
        an_entry("style", epochs=2, more='accounts = ["b"]'),
    )
    applied = await apply(app)
    assert applied.refusals == {}
    assert applied.schedules == {"tone": None, "facts": "0 3 * * *", "style": None}
    current = await list_current(app)
    assert next(iter(current)) == "tone", "the highest priority"
    assert {name: [job.account for job in await list_jobs(app, run)] for name, run in current.items()} == {
        "tone": ["a", "b"],
        "facts": ["a", "b"],
        "style": ["b"],
    }


async def test_refused_chats_of_one_run_do_not_touch_the_others(app: App, folder: Folder) -> None:
    folder.write_accounts(an_entry("tone", "own"), an_entry("facts"))
    await apply(app)
    before = await list_current(app)
    folder.write_chats("own", examples=2)
    folder.write_chats("shared", text="new")
    applied = await apply(app)
    assert list(applied.refusals) == ["tone"]
    assert isinstance(applied.refusals["tone"], DatasetError)
    after = await list_current(app)
    assert after["tone"] == before["tone"]
    assert after["facts"].dataset_sha256 != before["facts"].dataset_sha256
    assert len(await list_jobs(app, after["tone"])) == len(await list_jobs(app, after["facts"])) == 2


async def test_gate_applies_although_the_only_run_has_refused_chats(app: App, folder: Folder) -> None:
    """The models of the earlier version exist, and nothing may show them that the accounts file forbids."""
    folder.write_accounts(an_entry("tone", "own"))
    await apply(app)
    folder.write_chats("own", examples=2)
    for gate in (True, False):
        folder.write_accounts(an_entry("tone", "own"), f"[runs.comparison]\ngate = {str(gate).lower()}\n")
        with pytest.raises(DatasetError):
            await apply(app)
        assert {name: run.gate for name, run in (await list_current(app)).items()} == {"tone": gate}


async def test_reload_of_one_run_leaves_changed_chats_of_the_others_alone(app: App, folder: Folder) -> None:
    folder.write_accounts(an_entry("tone", "own"), an_entry("facts"))
    await apply(app)
    before = await list_current(app)
    jobs_before = await list_jobs(app, before["facts"])
    folder.write_chats("own", text="new")
    folder.write_chats("shared", text="new")
    await apply(app, ["tone"])
    after = await list_current(app)
    assert after["tone"].id != before["tone"].id
    assert after["facts"] == before["facts"]
    assert await list_jobs(app, after["facts"]) == jobs_before


async def test_chats_that_become_those_of_another_run_are_refused(app: App, folder: Folder) -> None:
    folder.write_accounts(an_entry("tone", "shared"), an_entry("facts", "own"))
    await apply(app)
    before = await list_current(app)
    folder.write_chats("own", text="shared")
    applied = await apply(app)
    assert list(applied.refusals) == ["facts"], "the first of the two stays"
    assert "the runs tone and facts describe the same work" in applied.refusals["facts"].message
    assert (await list_current(app)).keys() == {"tone", "facts"}
    with pytest.raises(ConfigError, match="the runs tone and facts describe the same work"):
        await apply(app, ["facts"])
    assert (await list_current(app))["facts"].id == before["facts"].id


async def test_error_of_the_only_run_is_raised(app: App, folder: Folder) -> None:
    folder.write_chats("own", examples=2)
    folder.write_accounts(an_entry("tone", "own"))
    with pytest.raises(DatasetError):
        await apply(app)
    assert await list_current(app) == {}


async def test_runs_with_the_same_chats_and_rules_share_a_build(
    app: App, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[Path] = []

    class CountedBuild(BuildProcess):
        def start(self) -> None:
            built.append(self._request.path)
            super().start()

    monkeypatch.setattr(input_loader, "BuildProcess", CountedBuild)
    folder.write_accounts(an_entry("tone", "own"), an_entry("facts"), an_entry("style", epochs=2))
    await apply(app)
    assert [path.name for path in built] == ["own", "shared"]
    current = await list_current(app)
    assert current["facts"].dataset_sha256 == current["style"].dataset_sha256


async def test_plan_of_one_run_and_of_all(app: App, folder: Folder) -> None:
    folder.write_accounts(an_entry("tone", "own"), an_entry("facts"))
    assert [each.plan.name for each in (await app.build_plans()).runs] == ["tone", "facts"]
    assert [each.plan.name for each in (await app.build_plans("facts")).runs] == ["facts"]
    with pytest.raises(ConfigError, match=r'there is no run "fact" in .*; did you mean "facts"'):
        await app.build_plans("fact")
    assert await list_current(app) == {}

"""What the program makes is for its owner only, whatever the umask; `doctor` reports what is not."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.app import exclusive_database_lock, open_app
from orchestrator.app.doctor import DiagnosisStatus, machine_checks
from orchestrator.core.secret import Redactor
from orchestrator.dataset.builder import build_dataset
from orchestrator.dataset.rules import DatasetRules
from orchestrator.settings import load_settings

CHAT = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Ahoj."}]


@pytest.fixture(params=[0o000, 0o022, 0o077])
def any_umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.mark.usefixtures("any_umask")
async def test_everything_in_the_data_folder_is_private(tmp_path: Path) -> None:
    data = tmp_path / "deep" / "data"
    settings = load_settings({"ORCHESTRATOR_DATA_DIR": str(data)})
    (tmp_path / "chats.jsonl").write_text("\n".join([json.dumps({"messages": CHAT})] * 4))

    async with open_app(settings, Redactor()) as app:
        with exclusive_database_lock(settings):
            build_dataset(
                tmp_path / "chats.jsonl",
                app.dataset_folder,
                DatasetRules(minimum_examples=1, validation_fraction=0.5),
            )
            assert {path.name for path in data.iterdir()} >= {"orchestrator.db", "orchestrator.db-wal", "datasets"}
            modes = {path: stat.S_IMODE(path.stat().st_mode) for path in [data, *data.rglob("*")]}

    expected = {path: 0o700 if path.is_dir() else 0o600 for path in modes if path.exists()}
    assert {path: oct(modes[path]) for path in expected} == {path: oct(mode) for path, mode in expected.items()}


def test_doctor_reports_what_others_may_read(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "datasets").mkdir(parents=True)
    for path in (data / "orchestrator.db", data / "datasets" / "a.jsonl"):
        path.touch()
        path.chmod(0o644)
    data.chmod(0o755)

    (found,) = [one for one in machine_checks.check_data_folder(data) if one.verdict is DiagnosisStatus.WARNING]
    assert "orchestrator.db" in found.message
    assert found.fix == f"chmod -R go= {data}"

    data.chmod(0o700)  # nobody gets further than that
    assert [one for one in machine_checks.check_data_folder(data) if one.verdict is DiagnosisStatus.WARNING] == []

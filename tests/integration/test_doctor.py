"""Each problem is reported with a fix, and no check changes anything."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from orchestrator.app.clock import SystemClock
from orchestrator.app.doctor import Diagnosis, DiagnosisStatus, database_checks, machine_checks, run_checks
from orchestrator.core.secret import Redactor
from orchestrator.settings import load_settings
from orchestrator.store.db.database import Database

FILE = """\
[run]
name = "x"
dataset = "chats"
[run.openai]
base_model = "sandbox-small"
[[accounts]]
name = "acme"
provider = "openai"
api_key = "file:keys/acme"
"""
KEY = "canary-key-77123"


class FastClock(SystemClock):
    """A clock that is 100 s ahead."""

    def now(self) -> float:
        return super().now() + 100


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Create a deployment without any problem, and return its environment."""
    for folder in ("chats", "keys"):
        (tmp_path / folder).mkdir(mode=0o700)
    (tmp_path / "chats" / "a.json").write_text("[]")
    (tmp_path / "keys" / "acme").write_text(KEY)
    (tmp_path / "keys" / "acme").chmod(0o600)
    (tmp_path / "prices.toml").write_text(
        '[[price]]\nprovider = "openai"\nbase_model = "sandbox-small"\nusd_per_million_tokens = 5\n'
        'as_of = 2126-01-01\nsource = "x"\n'
    )
    (tmp_path / "accounts.toml").write_text(FILE)
    return {
        "ORCHESTRATOR_ACCOUNTS_FILE": str(tmp_path / "accounts.toml"),
        "ORCHESTRATOR_DATA_DIR": str(tmp_path / "data"),
        "ORCHESTRATOR_PRICES_FILE": str(tmp_path / "prices.toml"),
    }


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def run_doctor(environ: dict[str, str]) -> list[Diagnosis]:
    diagnoses = [diagnosis async for diagnosis in run_checks(environ, Redactor(), online=False)]
    assert KEY not in repr(diagnoses)
    for diagnosis in diagnoses:
        assert bool(diagnosis.fix) == (diagnosis.verdict is not DiagnosisStatus.OK), diagnosis
    return diagnoses


async def find_problems(environ: dict[str, str]) -> list[tuple[str, str, str]]:
    problems = [d for d in await run_doctor(environ) if d.verdict is not DiagnosisStatus.OK]
    return [(d.verdict.value, d.thing, d.message) for d in problems]


async def test_doctor_finds_no_problem_and_changes_nothing(environ: dict[str, str], tmp_path: Path) -> None:
    assert await find_problems(environ) == []
    assert {diagnosis.thing for diagnosis in await run_doctor(environ)} == {
        "program", "settings", "data folder", "database", "accounts file", "keys", "network", "dataset", "prices",
        "retirements",
    }  # fmt: skip
    assert sorted(names_in(tmp_path)) == ["accounts.toml", "chats", "keys", "prices.toml"]


async def test_doctor_reports_every_wrong_setting(environ: dict[str, str]) -> None:
    problems = await find_problems(environ | {"ORCHESTRATOR_PORT": "x", "ORCHESTRATOR_PROT": "1"})
    assert [(verdict, thing) for verdict, thing, _ in problems] == [("error", "settings")] * 2


async def test_doctor_reports_a_wrong_accounts_file(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "accounts.toml").write_text(FILE.replace("name", "nmae"))
    assert {(verdict, thing) for verdict, thing, _ in await find_problems(environ)} == {("error", "accounts file")}


async def test_doctor_checks_every_file_of_the_accounts_file(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "accounts.toml").chmod(0o666)
    (tmp_path / "chats" / "a.json").unlink()
    (tmp_path / "keys" / "acme").unlink()
    (tmp_path / "prices.toml").write_text("")
    assert [(verdict, thing) for verdict, thing, _ in await find_problems(environ)] == [
        ("warning", "accounts file"),
        ("error", "keys"),
        ("error", "dataset"),
        ("warning", "prices"),
    ]


async def test_doctor_reports_a_missing_validation_set(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "accounts.toml").write_text(FILE.replace("[run]\n", '[run]\nvalidation = "own.jsonl"\n', 1))
    assert [(verdict, thing) for verdict, thing, _ in await find_problems(environ)] == [("error", "validation")]
    (tmp_path / "own.jsonl").write_text("{}")
    assert await find_problems(environ) == []


async def test_doctor_reports_a_world_readable_key(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "keys" / "acme").chmod(0o644)
    assert await find_problems(environ) == []  # its folder keeps others out
    (tmp_path / "keys").chmod(0o755)
    assert await find_problems(environ) == [
        ("warning", "keys", f"every user of this machine can read {tmp_path / 'keys' / 'acme'}")
    ]


async def test_doctor_quotes_the_paths_of_its_commands(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "keys").rename(tmp_path / "my keys")
    (tmp_path / "my keys").chmod(0o755)
    (tmp_path / "my keys" / "acme").chmod(0o644)
    (tmp_path / "accounts.toml").write_text(FILE.replace("file:keys/", "file:my keys/"))
    fixes = [each.fix for each in await run_doctor(environ) if each.verdict is not DiagnosisStatus.OK]
    assert fixes == [f"chmod 600 '{tmp_path / 'my keys' / 'acme'}'"]


async def test_doctor_reports_every_kind_of_world_readable_secret_file(
    environ: dict[str, str], tmp_path: Path
) -> None:
    keys = tmp_path / "keys"
    text = FILE.replace(
        "[[accounts]]\n", '[[accounts]]\nwebhook_secret = "file:keys/hook"\nproxy = "file:keys/proxy"\n', 1
    )
    text += '[[webhooks]]\nurl = "file:keys/target"\nsecret = "file:keys/signing"\n'
    (tmp_path / "accounts.toml").write_text(text)
    for name, content in {
        "hook": "whsec_" + "QUFB" * 8,
        "proxy": "http://user:password-of-it@127.0.0.1:3128",
        "target": "http://127.0.0.1:1/hook-0123456789",
        "signing": "whsec_" + "QkJC" * 8,
    }.items():
        (keys / name).write_text(content)
        (keys / name).chmod(0o600)
    keys.chmod(0o755)
    for name in ("hook", "proxy", "target", "signing"):
        (keys / name).chmod(0o644)
        assert ("warning", "keys", f"every user of this machine can read {keys / name}") in await find_problems(
            environ
        )
        (keys / name).chmod(0o600)


async def test_doctor_checks_webhooks_and_alerts(
    environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alerts = '[[alerts]]\nurl = "env:TEAM_CHAT"\n'
    (tmp_path / "accounts.toml").write_text(FILE + alerts)
    assert [(verdict, thing) for verdict, thing, _ in await find_problems(environ)] == [("error", "webhooks")]
    monkeypatch.setenv("TEAM_CHAT", "json://127.0.0.1:1/")
    assert await find_problems(environ) == []
    monkeypatch.setattr(machine_checks, "_installed", lambda package: package != "apprise")
    ((verdict, thing, message),) = await find_problems(environ)
    assert (verdict, thing, "apprise" in message) == ("error", "program", True)


async def test_doctor_checks_the_management_key(environ: dict[str, str], tmp_path: Path) -> None:
    azure = """
[run.azure]
base_model = "m"
[[accounts]]
name = "sweden"
provider = "azure"
api_key = "file:keys/acme"
base_url = "https://res.example/openai/v1"
management_key = "file:keys/token"
subscription_id = "00000000-0000-4000-8000-000000000001"
resource_group = "rg"
resource = "res"
"""
    (tmp_path / "accounts.toml").write_text(FILE + azure)
    found = [each for each in await find_problems(environ) if each[1] == "management keys"]
    assert [(verdict, "sweden" in message) for verdict, _, message in found] == [("error", True)]
    (tmp_path / "keys" / "token").write_text(f"{KEY}-token")
    (token,) = [each for each in await run_doctor(environ) if each.thing == "management keys"]
    assert (token.verdict, token.message) == (DiagnosisStatus.OK, "the token of sweden was found")


async def test_doctor_reports_old_prices(environ: dict[str, str], tmp_path: Path) -> None:
    prices = (tmp_path / "prices.toml").read_text()
    (tmp_path / "prices.toml").write_text(prices.replace("2126-01-01", "2025-01-01"))
    ((verdict, thing, message),) = await find_problems(environ)
    assert (verdict, thing) == ("warning", "prices")
    assert "2025-01-01" in message


async def test_doctor_reports_a_published_retirement_date(environ: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "retirements.toml"
    row = '[[retirement]]\nprovider = "openai"\nbase_model = "sandbox-small"\nas_of = 2025-01-01\nsource = "a page"\n'
    path.write_text(f"{row}training_ends = 2025-02-01\n")
    ((verdict, thing, message),) = await find_problems(environ | {"ORCHESTRATOR_RETIREMENTS_FILE": str(path)})
    assert (verdict, thing) == ("warning", "retirements")
    assert message == "openai accepts no new jobs on sandbox-small since 2025-02-01 (a page; as of 2025-01-01)"
    path.write_text(f"{row}training_ends = 7\n")
    ((verdict, thing, message),) = await find_problems(environ | {"ORCHESTRATOR_RETIREMENTS_FILE": str(path)})
    assert (verdict, thing) == ("error", "retirements")
    assert "training_ends has the wrong type" in message


async def test_doctor_reports_a_damaged_or_newer_database(environ: dict[str, str], tmp_path: Path) -> None:
    database = Database(load_settings(environ).database_url)
    await database.migrate()
    await database.close()
    assert await find_problems(environ) == []
    path = tmp_path / "data" / "orchestrator.db"
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    assert "newer version" in (await find_problems(environ))[0][2]
    path.write_bytes(b"no database at all" * 1000)
    assert "not a database" in (await find_problems(environ))[0][2]


async def test_doctor_reports_a_full_disk(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _path: type("Usage", (), {"free": 1000})())
    assert [(verdict, thing) for verdict, thing, _ in await find_problems(environ)] == [("error", "data folder")]


async def test_doctor_checks_postgresql(environ: dict[str, str], postgres_url: str) -> None:
    async def check(clock: SystemClock) -> list[tuple[str, str]]:
        settings = load_settings(environ | {"ORCHESTRATOR_DATABASE_URL": postgres_url})
        return [(d.verdict.value, d.message) async for d in database_checks.check_database(settings, clock)]

    (verdict, message), clock = await check(SystemClock())
    assert (verdict, "the first start creates the tables" in message, clock[0]) == ("ok", True, "ok")
    database = Database(load_settings(environ | {"ORCHESTRATOR_DATABASE_URL": postgres_url}).database_url)
    await database.migrate()
    await database.close()
    _, (verdict, message) = await check(FastClock())
    assert (verdict, "100.0 s ahead of" in message) == ("error", True)
    nowhere = environ | {"ORCHESTRATOR_DATABASE_URL": "postgresql://me:canary-key-77123@127.0.0.1:1/x"}
    assert [(verdict, thing) for verdict, thing, _ in await find_problems(nowhere)] == [("error", "database")]


async def test_doctor_reports_an_unreadable_chats_folder(
    environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "chats" / "closed").mkdir()
    scandir = os.scandir

    def refuse(path: str) -> object:  # root, as whom the tests may run, is stopped by no permission
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    message = f"{tmp_path}/chats/closed cannot be read: Permission denied"
    assert await find_problems(environ) == [("error", "dataset", message)]

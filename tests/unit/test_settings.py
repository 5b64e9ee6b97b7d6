from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.core.errors import ConfigError
from orchestrator.settings import Settings, format_database_label, list_effective_settings, load_settings

TOKEN = "canary-token-5512"


def problems(**environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_settings({f"ORCHESTRATOR_{name}": value for name, value in environ.items()})
    told = repr((str(caught.value), caught.value.hint, caught.value.problems))
    assert "canary" not in told
    assert caught.value.hint
    return list(caught.value.problems)


def test_every_setting_has_a_default() -> None:
    settings = load_settings({"PATH": "/bin"})
    assert settings.accounts_file == Path("accounts.toml")
    assert settings.data_dir == Path("data")
    assert settings.database_url == "sqlite:///data/orchestrator.db"
    assert (settings.host, settings.port) == ("127.0.0.1", 8080)
    assert settings.token is None
    assert settings.read_token is None
    assert (settings.poll_min_seconds, settings.poll_max_seconds, settings.intent_seconds) == (2, 60, 30)
    assert settings.max_in_flight == 50
    assert (settings.max_connections, settings.request_seconds) == (None, 30)
    assert (settings.log_format, settings.log_level) == ("auto", "info")
    assert settings.prices_file is None


def test_every_setting_is_read() -> None:
    given = {
        "ACCOUNTS_FILE": "/etc/a.toml",
        "DATABASE_URL": "sqlite:////var/x.db",
        "DATA_DIR": "/var/data",
        "HOST": "0.0.0.0",
        "PORT": "0",
        "TOKEN": TOKEN,
        "READ_TOKEN": "reader-token",
        "POLL_MIN_SECONDS": "0.05",
        "POLL_MAX_SECONDS": "0.5",
        "INTENT_SECONDS": "1.5",
        "MAX_IN_FLIGHT": "7",
        "MAX_CONNECTIONS": "90",
        "REQUEST_SECONDS": "12.5",
        "LOG_FORMAT": "JSON",
        "LOG_LEVEL": "Debug",
        "MODERATION_TOKENS_PER_MINUTE": "500",
        "STALLED_AFTER_HOURS": "2.5",
        "EVENTS_KEEP_DAYS": "30",
        "DATASET_MEMORY_MB": "512",
        "CHECK_CACHE_MB": "64",
        "DATASET_WATCH_SECONDS": "0",
        "CA_FILE": "/etc/ca.pem",
        "PRICES_FILE": "prices.toml",
        "RETIREMENTS_FILE": "retirements.toml",
    }
    assert set(given) == {name.upper() for name in Settings.model_fields}
    settings = load_settings({f"ORCHESTRATOR_{name}": value for name, value in given.items()})
    assert settings.token is not None
    assert settings.token.get_secret_value() == TOKEN
    assert settings.model_dump(mode="json", exclude={"token", "read_token"}) == {
        "accounts_file": "/etc/a.toml",
        "data_dir": "/var/data",
        "database_url": "sqlite:////var/x.db",
        "host": "0.0.0.0",
        "port": 0,
        "poll_min_seconds": 0.05,
        "poll_max_seconds": 0.5,
        "intent_seconds": 1.5,
        "max_in_flight": 7,
        "max_connections": 90,
        "request_seconds": 12.5,
        "log_format": "json",
        "log_level": "debug",
        "moderation_tokens_per_minute": 500,
        "stalled_after_hours": 2.5,
        "events_keep_days": 30.0,
        "dataset_memory_mb": 512,
        "check_cache_mb": 64,
        "dataset_watch_seconds": 0.0,
        "ca_file": "/etc/ca.pem",
        "prices_file": "prices.toml",
        "retirements_file": "retirements.toml",
    }


def test_the_environment_of_the_process_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_PORT", "9999")
    assert load_settings({}).port == 8080
    assert Settings().port == 8080


def test_empty_variable_counts_as_unset() -> None:
    settings = load_settings({"ORCHESTRATOR_TOKEN": "", "ORCHESTRATOR_PORT": ""})
    assert settings.token is None
    assert settings.port == 8080


def test_the_database_lies_in_the_data_folder() -> None:
    settings = load_settings({"ORCHESTRATOR_DATA_DIR": "/srv/data"})
    assert settings.database_url == "sqlite:////srv/data/orchestrator.db"


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("postgresql://u:p@h/d", "postgresql+asyncpg://u:p@h/d"),
        ("postgres://u:p@h/d", "postgresql+asyncpg://u:p@h/d"),
        ("postgresql+asyncpg://h/d", "postgresql+asyncpg://h/d"),
        ("postgresql://h/d?sslmode=require&x=1", "postgresql+asyncpg://h/d?ssl=require&x=1"),
        ("sqlite:///x.db", "sqlite:///x.db"),
    ],
)
def test_the_database_gets_an_asynchronous_driver(given: str, used: str) -> None:
    assert load_settings({"ORCHESTRATOR_DATABASE_URL": given}).database_url == used


def test_nothing_secret_is_in_the_repr() -> None:
    settings = load_settings(
        {
            "ORCHESTRATOR_TOKEN": TOKEN,
            "ORCHESTRATOR_READ_TOKEN": "canary-reader",
            "ORCHESTRATOR_DATABASE_URL": "postgresql://u:canary@h/d",
        }
    )
    assert "canary" not in repr(settings) + str(settings)


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("PORT", "http", "ORCHESTRATOR_PORT: must be a valid integer"),
        ("PORT", "65536", "ORCHESTRATOR_PORT: must be less than or equal to 65535"),
        (
            "PORT",
            "tcp://10.0.0.1:80",
            "ORCHESTRATOR_PORT: comes from a Kubernetes service",
        ),
        ("POLL_MIN_SECONDS", "0", "ORCHESTRATOR_POLL_MIN_SECONDS: must be greater than 0"),
        ("POLL_MIN_SECONDS", "nan", "ORCHESTRATOR_POLL_MIN_SECONDS: must be a finite number"),
        (
            "POLL_MAX_SECONDS",
            "1",
            "ORCHESTRATOR_POLL_MAX_SECONDS: must not be less than ORCHESTRATOR_POLL_MIN",
        ),
        ("INTENT_SECONDS", "-1", "ORCHESTRATOR_INTENT_SECONDS: must be greater than 0"),
        ("MAX_CONNECTIONS", "7", "ORCHESTRATOR_MAX_CONNECTIONS: must be greater than or equal to 8"),
        ("REQUEST_SECONDS", "0", "ORCHESTRATOR_REQUEST_SECONDS: must be greater than 0"),
        ("MAX_IN_FLIGHT", "0", "ORCHESTRATOR_MAX_IN_FLIGHT: must be greater than or equal to 1"),
        ("LOG_FORMAT", "xml", "ORCHESTRATOR_LOG_FORMAT: must be 'auto', 'json' or 'console'"),
        ("LOG_LEVEL", "loud", "ORCHESTRATOR_LOG_LEVEL: must be 'debug', 'info', 'warning' or 'error'"),
        ("DATABASE_URL", "mysql://u:canary@h/d", "ORCHESTRATOR_DATABASE_URL: must begin with"),
        ("DATABASE_URL", "canary.db", "ORCHESTRATOR_DATABASE_URL: must begin with"),
        ("HOST", "0.0.0.0", "ORCHESTRATOR_TOKEN: is missing"),
        ("HOST", "::", "ORCHESTRATOR_TOKEN: is missing"),
        ("HOST", "example.com", "ORCHESTRATOR_TOKEN: is missing"),
        ("TOKN", TOKEN, "ORCHESTRATOR_TOKN: is not a known setting; did you mean ORCHESTRATOR_TOKEN?"),
        ("XYZZY", "1", "ORCHESTRATOR_XYZZY: is not a known setting; known are ACCOUNTS_FILE, DATA_DIR"),
        ("SERVICE_HOST", "10.0.0.1", "ORCHESTRATOR_SERVICE_HOST: comes from a Kubernetes service"),
        ("PORT_8080_TCP_ADDR", "10.0.0.1", "ORCHESTRATOR_PORT_8080_TCP_ADDR: comes from a Kubernetes service"),
    ],
)
def test_invalid_setting_is_named(name: str, value: str, problem: str) -> None:
    found = problems(**{name: value})
    assert len(found) == 1
    assert found[0].startswith(problem)


def test_all_invalid_settings_are_reported_at_once() -> None:
    found = problems(PROT="1", HOST="0.0.0.0", PORT="x", POLL_MIN_SECONDS="9", POLL_MAX_SECONDS="8")
    assert [problem.split(":")[0].removeprefix("ORCHESTRATOR_") for problem in found] == [
        "PROT",
        "PORT",
        "TOKEN",
        "POLL_MAX_SECONDS",
    ]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "localhost"])
def test_loopback_needs_no_token(host: str) -> None:
    assert load_settings({"ORCHESTRATOR_HOST": host}).host == host


def test_a_reader_must_not_have_the_operators_token() -> None:
    assert problems(TOKEN=TOKEN, READ_TOKEN=TOKEN)[0].startswith("ORCHESTRATOR_READ_TOKEN: is the same as")


@pytest.mark.parametrize(
    ("url", "label"),
    [
        ("sqlite:///data/x.db", "sqlite:///data/x.db"),
        ("sqlite:////var/x.db", "sqlite:////var/x.db"),
        ("postgresql+asyncpg://u:canary@h:5432/d", "postgresql+asyncpg://u@h:5432/d"),
        ("postgresql+asyncpg://u:can@ary@h/d?password=canary", "postgresql+asyncpg://u@h/d"),
        ("postgresql+asyncpg://h/d", "postgresql+asyncpg://h/d"),
    ],
)
def test_the_label_of_a_database_has_no_password(url: str, label: str) -> None:
    assert format_database_label(url) == label


@pytest.mark.parametrize(
    ("name", "content", "used"),
    [
        ("TOKEN", f"{TOKEN}\n", TOKEN),
        ("READ_TOKEN", f"  {TOKEN}  ", TOKEN),
        ("DATABASE_URL", "postgresql://u:p@h/d\n", "postgresql+asyncpg://u:p@h/d"),
    ],
)
def test_a_secret_comes_from_a_file(tmp_path: Path, name: str, content: str, used: str) -> None:
    file = tmp_path / "secret"
    file.write_text(content)
    value = getattr(load_settings({f"ORCHESTRATOR_{name}_FILE": str(file)}), name.lower())
    assert (value if isinstance(value, str) else value.get_secret_value()) == used


def test_token_from_a_file_authenticates(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    settings = load_settings({"ORCHESTRATOR_HOST": "0.0.0.0", "ORCHESTRATOR_TOKEN_FILE": str(file)})
    assert settings.token is not None


def test_a_secret_has_one_source(tmp_path: Path) -> None:
    assert problems(TOKEN=TOKEN, TOKEN_FILE=str(tmp_path / "token")) == [
        "ORCHESTRATOR_TOKEN_FILE: ORCHESTRATOR_TOKEN is set as well; unset one of them"
    ]


def test_a_bad_file_is_named(tmp_path: Path) -> None:
    empty, binary, none = (tmp_path / name for name in ("empty", "binary", "none"))
    empty.write_text(" \n")
    binary.write_bytes(b"\xff\xfe")
    assert problems(TOKEN_FILE=str(empty), READ_TOKEN_FILE=str(binary), DATABASE_URL_FILE=str(none)) == [
        f"ORCHESTRATOR_TOKEN_FILE: {empty} is empty",
        f"ORCHESTRATOR_READ_TOKEN_FILE: {binary} is not a text file",
        f"ORCHESTRATOR_DATABASE_URL_FILE: {none} cannot be read: No such file or directory",
    ]


def test_only_secrets_are_read_from_files() -> None:
    assert problems(PORT_FILE="/run/port")[0].startswith("ORCHESTRATOR_PORT_FILE: is not a known setting")


@pytest.mark.parametrize("name", ["TOKEN", "READ_TOKEN"])
def test_a_token_that_could_be_guessed_is_refused(name: str) -> None:
    (problem,) = problems(**{name: "short"})
    assert problem.startswith(f"ORCHESTRATOR_{name}: is shorter than 8 characters")
    assert "short" not in problem.removeprefix(f"ORCHESTRATOR_{name}: is shorter")


def test_unknown_setting_is_reported_even_when_empty() -> None:
    assert problems(TOKN="")[0].startswith("ORCHESTRATOR_TOKN: is not a known setting")


def settings_file(folder: Path, text: str) -> str:
    path = folder / "settings.env"
    path.write_text(text)
    return str(path)


def test_environment_overrides_the_settings_file(tmp_path: Path) -> None:
    text = "# ours\n\nORCHESTRATOR_PORT = 9000\norchestrator_host='::1'\nORCHESTRATOR_TOKEN=" + TOKEN
    environ = {"ORCHESTRATOR_SETTINGS_FILE": settings_file(tmp_path, text), "ORCHESTRATOR_PORT": "9001"}
    settings = load_settings(environ)
    assert (settings.port, settings.host) == (9001, "::1")
    assert settings.token is not None


def test_secret_file_overrides_the_settings_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    file = settings_file(tmp_path, "ORCHESTRATOR_TOKEN=of-the-settings-file\n")
    environ = {"ORCHESTRATOR_SETTINGS_FILE": file, "ORCHESTRATOR_TOKEN_FILE": str(tmp_path / "token")}
    token = load_settings(environ).token
    assert token is not None
    assert token.get_secret_value() == TOKEN


def test_faulty_settings_file_is_reported_with_its_lines(tmp_path: Path) -> None:
    lines = ["PORT=1", "ORCHESTRATOR_PORT=x", "ORCHESTRATOR_PORT=2", "canary", "ORCHESTRATOR_PROT=3"]
    file = settings_file(tmp_path, "\n".join(lines))
    assert problems(SETTINGS_FILE=file) == [
        f"{file}:1: is not a setting; a line is ORCHESTRATOR_NAME=value, or begins with #",
        f"{file}:3: ORCHESTRATOR_PORT occurs twice; remove one of the lines",
        f"{file}:4: is not a setting; a line is ORCHESTRATOR_NAME=value, or begins with #",
        f"ORCHESTRATOR_PROT (in {file}): is not a known setting; did you mean ORCHESTRATOR_PORT?",
        f"ORCHESTRATOR_PORT (in {file}): must be a valid integer, unable to parse string as an integer",
    ]
    assert problems(SETTINGS_FILE="/nowhere.env")[0].startswith("ORCHESTRATOR_SETTINGS_FILE: /nowhere.env cannot be")


def test_effective_settings_name_their_source_without_secrets(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    file = settings_file(tmp_path, "ORCHESTRATOR_PORT=9000\n")
    environ = {
        "ORCHESTRATOR_SETTINGS_FILE": file,
        "ORCHESTRATOR_TOKEN_FILE": str(tmp_path / "token"),
        "ORCHESTRATOR_DATABASE_URL": "postgresql://u:canary@h/d",
    }
    found = {setting.name: (setting.value, setting.source) for setting in list_effective_settings(environ)}
    assert len(found) == len(Settings.model_fields)
    assert found["ORCHESTRATOR_PORT"] == ("9000", file)
    assert found["ORCHESTRATOR_TOKEN"] == ("set", str(tmp_path / "token"))
    assert found["ORCHESTRATOR_READ_TOKEN"] == (None, "default")
    assert found["ORCHESTRATOR_DATABASE_URL"] == ("postgresql+asyncpg://u@h/d", "environment")
    assert found["ORCHESTRATOR_HOST"] == ("127.0.0.1", "default")
    assert "canary" not in str(found)

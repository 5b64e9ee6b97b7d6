"""Settings: what one process is told by its environment. The names are `ORCHESTRATOR_` and the field in capitals.

A secret can also come from a file, as containers hand them in: `ORCHESTRATOR_TOKEN_FILE` names the token's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from orchestrator.core.errors import ConfigError
from orchestrator.core.loopback import is_loopback

PREFIX = "ORCHESTRATOR_"
LEAST_TOKEN = 8
FROM_FILE = ("TOKEN", "READ_TOKEN", "DATABASE_URL")
_DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}
_SERVICE_LINK = re.compile(r"SERVICE_(HOST|PORT)|PORT_\d+_(TCP|UDP)")

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Settings(BaseSettings):
    """The environment, checked. Nothing is read by making one: `load_settings` hands the environment in."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid", validate_default=True
    )

    accounts_file: Path = Field(default=Path("accounts.toml"), description="the accounts file")
    data_dir: Path = Field(default=Path("data"), description="folder for the database and the canonical datasets")
    database_url: str = Field(
        default="", description="SQLite or PostgreSQL; default orchestrator.db in DATA_DIR", repr=False
    )
    host: str = Field(default="127.0.0.1", description="address to listen on; any but loopback needs TOKEN")
    port: int = Field(default=8080, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    token: SecretStr | None = Field(default=None, description="bearer token of the operator")
    read_token: SecretStr | None = Field(default=None, description="bearer token of those who may only look")
    poll_min_seconds: Seconds = Field(default=2, description="shortest wait between two looks at a remote job")
    poll_max_seconds: Seconds = Field(default=60, description="longest wait between two looks at a remote job")
    intent_seconds: Seconds = Field(
        default=30, description="deadline of an intent; a replica silent for longer counts as dead"
    )
    max_in_flight: int = Field(default=50, ge=1, description="provider calls under way at once")
    log_format: Literal["auto", "json", "console"] = Field(default="auto", description="auto: console on a terminal")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="least level that is logged"
    )
    moderation_tokens_per_minute: int = Field(
        default=10_000, ge=1, description="the moderation account's limit; the default is that of the lowest tier"
    )
    prices_file: Path | None = Field(default=None, description="training prices, instead of those that come along")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)

    @field_validator("log_format", "log_level", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator("database_url")
    @classmethod
    def _database(cls, value: str, info: ValidationInfo) -> str:
        if not value:
            return f"sqlite:///{info.data.get('data_dir', Path('data')) / 'orchestrator.db'}"
        scheme, separator, rest = value.partition("://")
        driver = _DRIVERS.get(scheme, scheme)
        if not separator or driver not in _DRIVERS.values():
            raise ValueError('must begin with "sqlite:///" or "postgresql://"')
        if driver == "postgresql+asyncpg":
            rest = re.sub(r"(?<=[?&])sslmode=", "ssl=", rest)  # asyncpg's own word for libpq's option
        return f"{driver}://{rest}"

    @field_validator("port", mode="before")
    @classmethod
    def _port(cls, value: object) -> object:
        if isinstance(value, str) and "://" in value:
            raise ValueError(_service_link())
        return value

    @field_validator("token")
    @classmethod
    def _token(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        host = info.data.get("host", "127.0.0.1")
        if value is None and not is_loopback(host):
            raise ValueError(
                f"is missing: whoever reaches {host} could do anything; set it, or {PREFIX}TOKEN_FILE, "
                f"or {PREFIX}HOST=127.0.0.1"
            )
        return _long_enough(value)

    @field_validator("read_token")
    @classmethod
    def _read_token(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is not None and value == info.data.get("token"):
            raise ValueError(f"is the same as {PREFIX}TOKEN: readers could act; choose another")
        return _long_enough(value)

    @field_validator("poll_max_seconds")
    @classmethod
    def _poll(cls, value: float, info: ValidationInfo) -> float:
        if value < info.data.get("poll_min_seconds", 0):
            raise ValueError(f"must not be less than {PREFIX}POLL_MIN_SECONDS")
        return value


def _long_enough(token: SecretStr | None) -> SecretStr | None:
    """A short token can be guessed, and wherever it occurs by chance the log would show a key instead."""
    if token is not None and len(token.get_secret_value()) < LEAST_TOKEN:
        raise ValueError(f"is shorter than {LEAST_TOKEN} characters; make one with: openssl rand -hex 16")
    return token


def load_settings(environ: Mapping[str, str]) -> Settings:
    """The settings in this environment; one ConfigError with everything that is wrong. Empty is as good as unset."""
    environ, problems = _with_files(environ)
    problems += _unknown(environ)
    source = EnvSettingsSource(Settings)
    source.env_vars = {name.lower(): value for name, value in environ.items() if value}
    try:
        settings = Settings(**source())
    except ValidationError as error:
        problems += [_explain(str(found["loc"][0]), found["msg"]) for found in error.errors(include_input=False)]
    else:
        if not problems:
            return settings
    raise ConfigError(
        "the environment has " + ("a fault" if len(problems) == 1 else f"{len(problems)} faults"),
        hint="Correct or unset the variables that are listed and start again.",
        problems=problems,
    )


def _with_files(environ: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Every `NAME_FILE` replaced by NAME with what the file holds, and what is wrong with them."""
    found, problems = dict(environ), []
    for name in (f"{PREFIX}{option}" for option in FROM_FILE):
        path = found.pop(f"{name}_FILE", "")
        if path and found.get(name):
            problems.append(f"{name}_FILE: {name} is set as well; unset one of them")
        elif path:
            try:
                found[name] = _content(Path(path))
            except ValueError as fault:
                problems.append(f"{name}_FILE: {path} {fault}")
    return found, problems


def _content(path: Path) -> str:
    try:
        content = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError("is not a text file") from None
    if not content:
        raise ValueError("is empty")
    return content


def database_label(url: str) -> str:
    """The database's address for people: without password and without options, which may hold one."""
    scheme, _, rest = url.partition("?")[0].partition("://")
    user, at, place = rest.rpartition("@")
    return f"{scheme}://{user.partition(':')[0]}{at}{place}"


def _explain(field: str, text: str) -> str:
    text = text.removeprefix("Value error, ").replace("Input should be", "must be")
    return f"{PREFIX}{field.upper()}: {text}"


def _unknown(environ: Mapping[str, str]) -> Iterator[str]:
    known = [*(name.upper() for name in Settings.model_fields), *(f"{option}_FILE" for option in FROM_FILE)]
    for name in environ:
        option = name.upper().removeprefix(PREFIX)
        if option == name.upper() or option in known:
            continue
        close = get_close_matches(option, known, n=1)
        if _SERVICE_LINK.search(option):
            yield f"{name}: {_service_link()}"
        elif close:
            yield f"{name}: is not a known setting; did you mean {PREFIX}{close[0]}?"
        else:
            yield f"{name}: is not a known setting; known are {', '.join(known)}"


def _service_link() -> str:
    return "comes from a Kubernetes service of this name; set enableServiceLinks: false in the pod"

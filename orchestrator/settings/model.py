"""The settings of one process: their types, limits, defaults and descriptions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from orchestrator.core.loopback import is_loopback

PREFIX = "ORCHESTRATOR_"
MIN_TOKEN_LENGTH = 8
_DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Hours = Seconds
Days = Seconds


class Settings(BaseSettings):
    """All settings. Constructing it reads nothing: `load_settings` passes the values in.

    The descriptions are printed by `orchestrator settings` and in docs/reference/settings.md.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid", validate_default=True
    )

    accounts_file: Path = Field(default=Path("accounts.toml"), description="path of the accounts file")
    data_dir: Path = Field(default=Path("data"), description="folder for the database and the canonical datasets")
    database_url: str = Field(
        default="",
        description="URL of the SQLite or PostgreSQL database; default: orchestrator.db in DATA_DIR",
        repr=False,
    )
    host: str = Field(
        default="127.0.0.1", description="address to listen on; any address but loopback requires TOKEN"
    )
    port: int = Field(default=8080, ge=0, le=65535, description="port to listen on; 0 picks a free port")
    token: SecretStr | None = Field(
        default=None,
        description="bearer token with full access, at least 8 characters; from 32 characters on, failed logins of "
        "others never lock it out",
    )
    read_token: SecretStr | None = Field(
        default=None, description="bearer token with read-only access; the same lengths apply as for TOKEN"
    )
    poll_min_seconds: Seconds = Field(default=2, description="minimum polling interval of a remote job, in seconds")
    poll_max_seconds: Seconds = Field(default=60, description="maximum polling interval of a remote job, in seconds")
    intent_seconds: Seconds = Field(
        default=30, description="lifetime of an intent, and heartbeat timeout of a replica, in seconds"
    )
    max_in_flight: int = Field(default=50, ge=1, description="maximum number of concurrent provider calls")
    max_connections: int | None = Field(
        default=None,
        ge=8,
        description="maximum number of open HTTP connections to this service; –: as many as the open-files "
        "limit allows, "
        "at most 1000",
    )
    request_seconds: Seconds = Field(
        default=30,
        description="time limit for sending a request, in seconds; a slower client is disconnected",
    )
    log_format: Literal["auto", "json", "console"] = Field(
        default="auto", description="format of log lines; auto: console on a terminal, else json"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="minimum level of log lines"
    )
    moderation_tokens_per_minute: int = Field(
        default=10_000,
        ge=1,
        description="token limit of the moderation account, per minute; the default is that of the lowest tier",
    )
    stalled_after_hours: Hours = Field(
        default=6, description="hours without any change after which an unfinished job is reported as stalled"
    )
    events_keep_days: Days | None = Field(
        default=None,
        description="days to keep the events of ended jobs; each job's last event stays; –: forever",
    )
    dataset_memory_mb: int | None = Field(
        default=None,
        ge=256,
        description="memory limit of the process that reads the chats, in MB; –: three quarters of all memory",
    )
    check_cache_mb: int = Field(
        default=256,
        ge=0,
        description="maximum size of the results of earlier checks that `check` keeps, in MB; 0: none",
    )
    dataset_watch_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        default=30,
        description="interval, in seconds, at which `serve` compares the dataset's file names, sizes and times; a "
        "change takes effect after two successive comparisons with the same result; 0: never",
    )
    ca_file: Path | None = Field(
        default=None, description="PEM file of certificate authorities to trust besides the system's"
    )
    prices_file: Path | None = Field(
        default=None, description="path of a file of training prices, instead of the built-in one"
    )
    retirements_file: Path | None = Field(
        default=None, description="path of a file of model retirement dates, instead of the built-in one"
    )

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
    def _lowercase(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator("database_url")
    @classmethod
    def _validate_database_url(cls, value: str, info: ValidationInfo) -> str:
        if not value:
            return f"sqlite:///{info.data.get('data_dir', Path('data')) / 'orchestrator.db'}"
        scheme, separator, rest = value.partition("://")
        driver = _DRIVERS.get(scheme, scheme)
        if not separator or driver not in _DRIVERS.values():
            raise ValueError('must begin with "sqlite:///" or "postgresql://"')
        if driver == "sqlite" and rest.strip("/") in ("", ":memory:"):
            raise ValueError(
                'must name a file: "sqlite:///orchestrator.db", or "sqlite:////var/lib/…" with a full path'
            )
        if driver == "postgresql+asyncpg":
            _validate_database_port(rest)
            rest = re.sub(r"(?<=[?&])sslmode=", "ssl=", rest)  # asyncpg's name for libpq's option
        return f"{driver}://{rest}"

    @field_validator("port", mode="before")
    @classmethod
    def _validate_port(cls, value: object) -> object:
        if isinstance(value, str) and "://" in value:
            raise ValueError(format_service_link_problem())
        return value

    @field_validator("token")
    @classmethod
    def _validate_token(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        host = info.data.get("host", "127.0.0.1")
        if value is None and not is_loopback(host):
            raise ValueError(
                f"is missing: without it anyone who can reach {host} has full access; set it, or {PREFIX}TOKEN_FILE, "
                f"or {PREFIX}HOST=127.0.0.1"
            )
        return _validate_token_length(value)

    @field_validator("read_token")
    @classmethod
    def _validate_read_token(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is not None and value == info.data.get("token"):
            raise ValueError(f"is the same as {PREFIX}TOKEN, so readers would have full access; choose another token")
        return _validate_token_length(value)

    @field_validator("poll_max_seconds")
    @classmethod
    def _validate_poll_range(cls, value: float, info: ValidationInfo) -> float:
        if value < info.data.get("poll_min_seconds", 0):
            raise ValueError(f"must not be less than {PREFIX}POLL_MIN_SECONDS")
        return value


def _validate_database_port(rest: str) -> None:
    """Raise ValueError for an invalid port. The message does not repeat it: it may be a part of the password."""
    try:
        _ = urlsplit("//" + rest.partition("?")[0].rpartition("@")[2]).port
    except ValueError:
        raise ValueError(
            "has no port from 0 to 65535 after its host; write postgresql://USER:PASSWORD@HOST:5432/DATABASE, "
            "with %2F, %3A and %40 for /, : and @ in the password"
        ) from None


def _validate_token_length(token: SecretStr | None) -> SecretStr | None:
    """Raise ValueError for a short token: it can be guessed, and redaction would replace ordinary words by it."""
    if token is not None and len(token.get_secret_value()) < MIN_TOKEN_LENGTH:
        raise ValueError(f"is shorter than {MIN_TOKEN_LENGTH} characters; generate one with: openssl rand -hex 16")
    return token


def format_database_label(url: str) -> str:
    """Return the database's URL for display: without password and without options, which may hold one."""
    scheme, _, rest = url.partition("?")[0].partition("://")
    user, at, place = rest.rpartition("@")
    return f"{scheme}://{user.partition(':')[0]}{at}{place}"


def format_service_link_problem() -> str:
    """Return the message about a variable that Kubernetes set for a service called orchestrator."""
    return "comes from a Kubernetes service of this name; set enableServiceLinks: false in the pod"

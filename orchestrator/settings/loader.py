"""Loads and validates the settings, and reports every problem with them at once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches

from pydantic import SecretStr, ValidationError
from pydantic_settings import EnvSettingsSource

from orchestrator.core.errors import ConfigError
from orchestrator.core.structs import Struct
from orchestrator.settings.model import PREFIX, Settings, format_database_label, format_service_link_problem
from orchestrator.settings.sources import (
    ENVIRONMENT_SOURCE,
    OPTIONS_WITH_FILE,
    SETTINGS_FILE_OPTION,
    RawSetting,
    collect_settings,
)

_SERVICE_LINK_PATTERN = re.compile(r"SERVICE_(HOST|PORT)|PORT_\d+_(TCP|UDP)")


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Load the settings from an environment; an empty variable counts as unset.

    Raises one ConfigError with all problems.
    """
    raw_settings, problems = collect_settings(environ)
    problems += _find_unknown_names(
        [*(name.upper() for name in environ if name.upper().startswith(PREFIX)), *raw_settings], raw_settings
    )
    source = EnvSettingsSource(Settings)
    source.env_vars = {name.lower(): raw.text for name, raw in raw_settings.items()}
    try:
        settings = Settings(**source())
    except ValidationError as error:
        for details in error.errors(include_input=False):
            name = PREFIX + str(details["loc"][0]).upper()
            problems.append(f"{_format_location(name, raw_settings)}: {_format_message(details['msg'])}")
    else:
        if not problems:
            return settings
    raise ConfigError(
        "the settings have " + ("a problem" if len(problems) == 1 else f"{len(problems)} problems"),
        hint="Correct or unset the listed variables and start again.",
        problems=problems,
    )


class EffectiveSetting(Struct, frozen=True):
    """One setting for display."""

    name: str  # with the prefix
    value: str | None  # "set" for a secret; None where the setting has no value
    source: str  # "environment", "default", or the path of a file


def list_effective_settings(environ: Mapping[str, str]) -> list[EffectiveSetting]:
    """Return every setting and its source. Raises ConfigError as `load_settings` does."""
    settings, (raw_settings, _) = load_settings(environ), collect_settings(environ)
    return [
        EffectiveSetting(
            name=PREFIX + field.upper(),
            value=_format_value(field, value),
            source=raw_settings[PREFIX + field.upper()].source
            if PREFIX + field.upper() in raw_settings
            else "default",
        )
        for field, value in settings
    ]


def _format_value(field: str, value: object) -> str | None:
    if field == "database_url":
        return format_database_label(str(value))
    if isinstance(value, SecretStr):
        return "set"
    return None if value is None else str(value)


def list_setting_names() -> list[str]:
    """Return the names of all known variables, without the prefix."""
    return [
        *(name.upper() for name in Settings.model_fields),
        *(f"{option}_FILE" for option in OPTIONS_WITH_FILE),
        SETTINGS_FILE_OPTION,
    ]


def _format_message(text: str) -> str:
    return text.removeprefix("Value error, ").replace("Input should be", "must be")


def _format_location(name: str, raw_settings: Mapping[str, RawSetting]) -> str:
    source = raw_settings[name].source if name in raw_settings else ENVIRONMENT_SOURCE
    return name if source == ENVIRONMENT_SOURCE else f"{name} (in {source})"


def _find_unknown_names(names: Iterable[str], raw_settings: Mapping[str, RawSetting]) -> Iterator[str]:
    known = list_setting_names()
    for name in dict.fromkeys(names):
        option = name.removeprefix(PREFIX)
        if option in known:
            continue
        close = get_close_matches(option, known, n=1)
        if _SERVICE_LINK_PATTERN.search(option):
            yield f"{name}: {format_service_link_problem()}"
        elif close:
            yield f"{_format_location(name, raw_settings)}: is not a known setting; did you mean {PREFIX}{close[0]}?"
        else:
            yield f"{_format_location(name, raw_settings)}: is not a known setting; known are {', '.join(known)}"

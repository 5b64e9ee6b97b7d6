"""Reading: the environment checked, and everything that is wrong with it told at once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from pydantic import SecretStr, ValidationError
from pydantic_settings import EnvSettingsSource

from orchestrator.core.errors import ConfigError
from orchestrator.settings.model import PREFIX, Settings, database_label, service_link
from orchestrator.settings.sources import ENVIRONMENT, FROM_FILE, SETTINGS_FILE, Given, gather

_SERVICE_LINK = re.compile(r"SERVICE_(HOST|PORT)|PORT_\d+_(TCP|UDP)")


def load_settings(environ: Mapping[str, str]) -> Settings:
    """The settings in this environment; one ConfigError with everything that is wrong. Empty is as good as unset."""
    given, problems = gather(environ)
    problems += _unknown([*(name.upper() for name in environ if name.upper().startswith(PREFIX)), *given], given)
    source = EnvSettingsSource(Settings)
    source.env_vars = {name.lower(): found.text for name, found in given.items()}
    try:
        settings = Settings(**source())
    except ValidationError as error:
        for found in error.errors(include_input=False):
            name = PREFIX + str(found["loc"][0]).upper()
            problems.append(f"{_where(name, given)}: {_plain(found['msg'])}")
    else:
        if not problems:
            return settings
    raise ConfigError(
        "the environment has " + ("a fault" if len(problems) == 1 else f"{len(problems)} faults"),
        hint="Correct or unset the variables that are listed and start again.",
        problems=problems,
    )


@dataclass(frozen=True, slots=True)
class InForce:
    """One setting as it is, fit to be shown: of a secret only that it is set. `source` is where it comes from."""

    name: str
    value: str | None
    source: str


def in_force(environ: Mapping[str, str]) -> list[InForce]:
    """Every setting in force. Raises ConfigError as `load_settings` does."""
    settings, (given, _) = load_settings(environ), gather(environ)
    return [
        InForce(
            name=PREFIX + field.upper(),
            value=_shown(field, value),
            source=given[PREFIX + field.upper()].source if PREFIX + field.upper() in given else "default",
        )
        for field, value in settings
    ]


def _shown(field: str, value: object) -> str | None:
    if field == "database_url":
        return database_label(str(value))
    if isinstance(value, SecretStr):
        return "set"
    return None if value is None else str(value)


def known_names() -> list[str]:
    """Every variable that means something, without the prefix."""
    return [
        *(name.upper() for name in Settings.model_fields),
        *(f"{option}_FILE" for option in FROM_FILE),
        SETTINGS_FILE,
    ]


def _plain(text: str) -> str:
    return text.removeprefix("Value error, ").replace("Input should be", "must be")


def _where(name: str, given: Mapping[str, Given]) -> str:
    """The variable, and the file it is from."""
    source = given[name].source if name in given else ENVIRONMENT
    return name if source == ENVIRONMENT else f"{name} (in {source})"


def _unknown(names: Iterable[str], given: Mapping[str, Given]) -> Iterator[str]:
    known = known_names()
    for name in dict.fromkeys(names):
        option = name.removeprefix(PREFIX)
        if option in known:
            continue
        close = get_close_matches(option, known, n=1)
        if _SERVICE_LINK.search(option):
            yield f"{name}: {service_link()}"
        elif close:
            yield f"{_where(name, given)}: is not a known setting; did you mean {PREFIX}{close[0]}?"
        else:
            yield f"{_where(name, given)}: is not a known setting; known are {', '.join(known)}"

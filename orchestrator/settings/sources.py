"""Collects the texts of the settings from the environment and the settings file. The environment wins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.settings.model import PREFIX
from orchestrator.system.regular_file import read_regular_file

OPTIONS_WITH_FILE = ("TOKEN", "READ_TOKEN", "DATABASE_URL")
SETTINGS_FILE_OPTION = "SETTINGS_FILE"
ENVIRONMENT_SOURCE = "environment"


@dataclass(frozen=True, slots=True)
class RawSetting:
    """The text of one setting, before validation."""

    text: str = field(repr=False)  # may be a secret
    source: str = ENVIRONMENT_SOURCE  # or the path of the file it was read from


def collect_settings(environ: Mapping[str, str]) -> tuple[dict[str, RawSetting], list[str]]:
    """Return the non-empty settings by variable name in capitals, and the problems with the files they come from."""
    problems: list[str] = []
    settings = {
        name.upper(): RawSetting(text) for name, text in environ.items() if text and name.upper().startswith(PREFIX)
    }
    if (file := settings.pop(PREFIX + SETTINGS_FILE_OPTION, None)) is not None:
        settings = _merge(settings, _read_settings_file(Path(file.text), problems))
    for name in (PREFIX + option for option in OPTIONS_WITH_FILE):
        if (file := settings.pop(f"{name}_FILE", None)) is None:
            continue
        if name in settings:
            problems.append(f"{name}_FILE: {name} is set as well; unset one of them")
            continue
        try:
            settings[name] = RawSetting(_read_text(Path(file.text)), file.text)
        except ValueError as error:
            problems.append(f"{name}_FILE: {file.text} {error}")
    return settings, problems


def _merge(environment: dict[str, RawSetting], file_settings: dict[str, RawSetting]) -> dict[str, RawSetting]:
    """Merge two sources. NAME in the environment also hides NAME_FILE in the file, and the other way round."""

    def plain(name: str) -> str:
        return (
            name.removesuffix("_FILE")
            if name.removeprefix(PREFIX).removesuffix("_FILE") in OPTIONS_WITH_FILE
            else name
        )

    hidden = {plain(name) for name in environment}
    return {name: raw for name, raw in file_settings.items() if plain(name) not in hidden} | environment


def _read_settings_file(path: Path, problems: list[str]) -> dict[str, RawSetting]:
    """Parse the settings file, which has one `NAME=value` in each line."""
    try:
        lines = _read_text(path).splitlines()
    except ValueError as error:
        problems.append(f"{PREFIX}{SETTINGS_FILE_OPTION}: {path} {error}")
        return {}
    settings: dict[str, RawSetting] = {}
    for number, name, text in _parse_lines(lines):
        if not name.startswith(PREFIX) or name == PREFIX + SETTINGS_FILE_OPTION:
            problems.append(f"{path}:{number}: is not a setting; a line is {PREFIX}NAME=value, or begins with #")
        elif name in settings:
            problems.append(f"{path}:{number}: {name} occurs twice; remove one of the lines")
        elif text:
            settings[name] = RawSetting(text, str(path))
    return settings


def _parse_lines(lines: list[str]) -> Iterator[tuple[int, str, str]]:
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.lstrip().startswith("#"):
            name, equals, text = line.partition("=")
            text = text.strip()
            quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
            yield number, name.strip().upper() if equals else "", text[1:-1] if quoted else text


def _read_text(path: Path) -> str:
    try:
        content = read_regular_file(path).decode("utf-8").strip()
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError("is not a text file") from None
    if not content:
        raise ValueError("is empty")
    return content

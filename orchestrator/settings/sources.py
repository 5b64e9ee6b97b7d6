"""Sources: where a setting's value comes from. The environment goes before the settings file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.settings.model import PREFIX
from orchestrator.system.regular_file import read_regular_file

FROM_FILE = ("TOKEN", "READ_TOKEN", "DATABASE_URL")
SETTINGS_FILE = "SETTINGS_FILE"
ENVIRONMENT = "environment"


@dataclass(frozen=True, slots=True)
class Given:
    """A setting's text. `source` is `environment` or the file it is from."""

    text: str = field(repr=False)
    source: str = ENVIRONMENT


def gather(environ: Mapping[str, str]) -> tuple[dict[str, Given], list[str]]:
    """Every variable of ours that is not empty, by its name in capitals, and what is wrong with their files."""
    problems: list[str] = []
    found = {name.upper(): Given(text) for name, text in environ.items() if text and name.upper().startswith(PREFIX)}
    if (file := found.pop(PREFIX + SETTINGS_FILE, None)) is not None:
        found = _beneath(found, _settings_file(Path(file.text), problems))
    for name in (PREFIX + option for option in FROM_FILE):
        if (file := found.pop(f"{name}_FILE", None)) is None:
            continue
        if name in found:
            problems.append(f"{name}_FILE: {name} is set as well; unset one of them")
            continue
        try:
            found[name] = Given(_content(Path(file.text)), file.text)
        except ValueError as fault:
            problems.append(f"{name}_FILE: {file.text} {fault}")
    return found, problems


def _beneath(above: dict[str, Given], file: dict[str, Given]) -> dict[str, Given]:
    """A setting from above hides the file's, whichever of its two names either uses."""

    def plain(name: str) -> str:
        return name.removesuffix("_FILE") if name.removeprefix(PREFIX).removesuffix("_FILE") in FROM_FILE else name

    hidden = {plain(name) for name in above}
    return {name: given for name, given in file.items() if plain(name) not in hidden} | above


def _settings_file(path: Path, problems: list[str]) -> dict[str, Given]:
    """What the file says, one `NAME=value` a line."""
    try:
        lines = _content(path).splitlines()
    except ValueError as fault:
        problems.append(f"{PREFIX}{SETTINGS_FILE}: {path} {fault}")
        return {}
    found: dict[str, Given] = {}
    for number, name, text in _pairs(lines):
        if not name.startswith(PREFIX) or name == PREFIX + SETTINGS_FILE:
            problems.append(f"{path}:{number}: a line is {PREFIX}NAME=value, or begins with #")
        elif name in found:
            problems.append(f"{path}:{number}: {name} is there twice; remove one of the lines")
        elif text:
            found[name] = Given(text, str(path))
    return found


def _pairs(lines: list[str]) -> Iterator[tuple[int, str, str]]:
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.lstrip().startswith("#"):
            name, equals, text = line.partition("=")
            text = text.strip()
            quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
            yield number, name.strip().upper() if equals else "", text[1:-1] if quoted else text


def _content(path: Path) -> str:
    try:
        content = read_regular_file(path).decode("utf-8").strip()
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError("is not a text file") from None
    if not content:
        raise ValueError("is empty")
    return content

"""What the files for containers say, as values."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import typer
import yaml

from orchestrator.cli.commands import app

ROOT = Path(__file__).resolve().parents[3]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")


def read_yaml(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def instruction(name: str) -> str:
    """The last one of this name in the Dockerfile."""
    return [line.removeprefix(f"{name} ") for line in DOCKERFILE.splitlines() if line.startswith(f"{name} ")][-1]


def image_command() -> list[str]:
    command: list[str] = json.loads(instruction("CMD"))
    return command


def image_environ() -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in instruction("ENV").split())


@cache  # it takes 20 ms, and hundreds of tests want it
def list_commands() -> dict[str, Any]:
    """The commands of the program by verb."""
    group: Any = typer.main.get_command(app)
    commands: dict[str, Any] = group.commands
    return commands


def verbs() -> set[str]:
    return set(list_commands())


def parse(arguments: Sequence[str]) -> dict[str, Any]:
    """What the command line makes of these arguments, without doing it. Raises where it does not know one."""
    params: dict[str, Any] = list_commands()[arguments[0]].make_context(arguments[0], list(arguments[1:])).params
    return params

"""An accounts file or a key that is a pipe or a device is refused at once, with what to do."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.core.errors import ConfigError
from orchestrator.core.secret import Redactor
from orchestrator.dataset.tokens.huggingface import HuggingFaceTokenizer
from orchestrator.inputs.accounts_file.loader import load_accounts_file
from orchestrator.inputs.prices import load_prices
from orchestrator.inputs.secrets.references import resolve_reference
from orchestrator.settings import load_settings


def read_key(path: Path) -> None:
    resolve_reference(f"file:{path}", base_folder=path.parent, redact=Redactor())


def read_token(path: Path) -> None:
    load_settings({"ORCHESTRATOR_TOKEN_FILE": str(path)})


def read_settings_file(path: Path) -> None:
    load_settings({"ORCHESTRATOR_SETTINGS_FILE": str(path)})


READERS: list[Callable[[Path], object]] = [
    load_accounts_file,
    read_key,
    read_token,
    read_settings_file,
    load_prices,
    HuggingFaceTokenizer,
]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    ("make", "what"),
    [(os.mkfifo, "a named pipe"), (lambda path: path.symlink_to("/dev/zero"), "a device")],
    ids=["pipe", "device"],
)
def test_special_file_is_refused_at_once(
    read: Callable[[Path], object], make: Callable[[Path], None], what: str, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    make(path)

    with pytest.raises(ConfigError) as raised:
        read(path)

    assert f"it is {what}, not a regular file" in "\n".join([raised.value.message, *raised.value.problems])


def test_endless_accounts_file_is_read_up_to_a_limit(tmp_path: Path) -> None:
    path = tmp_path / "accounts.toml"
    with path.open("wb") as file:
        file.truncate(4 << 30)

    with pytest.raises(ConfigError, match="more than 16 MiB"):
        load_accounts_file(path)

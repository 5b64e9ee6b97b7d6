"""Files: writing what was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.core.errors import ConfigError


@contextmanager
def translate_write_errors(target: Path) -> Iterator[None]:
    """Write a file that was asked for; what prevents it is a usage error."""
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"{target} cannot be written: {error.strerror}", hint="Choose a file in a folder that exists."
        ) from None

"""Resolves the paths that an operator writes in the accounts file."""

from __future__ import annotations

from pathlib import Path


def resolve_path(folder: Path, name: str) -> Path:
    """Resolve a path that is relative to the folder of the accounts file. Raises ValueError when it cannot be one."""
    if "\0" in name:
        raise ValueError("contains a NUL character, which no path can have; write the path again")
    try:
        return folder / Path(name).expanduser()
    except RuntimeError:
        user = name.partition("/")[0]
        raise ValueError(
            f"begins with {user}, which has no home folder on this system; write the full path"
        ) from None

"""Paths as an operator writes them in the accounts file."""

from __future__ import annotations

from pathlib import Path


def resolve_path(folder: Path, name: str) -> Path:
    """Resolve a path that is relative to the folder of the accounts file. Raises ValueError when it cannot be one."""
    if "\0" in name:
        raise ValueError("holds a NUL character, which no path has; write the path anew")
    try:
        return folder / Path(name).expanduser()
    except RuntimeError:
        user = name.partition("/")[0]
        raise ValueError(
            f"begins with {user}, and the system knows no home folder for it; write the path in full"
        ) from None

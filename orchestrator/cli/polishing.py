"""The verb polish: the repairs as a diff, or written into another folder."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from orchestrator.cli.data import load_rules_and_chats
from orchestrator.cli.files import translate_write_errors
from orchestrator.cli.session import EXIT_DONE
from orchestrator.core.errors import ConfigError
from orchestrator.core.printable import sanitize_lines
from orchestrator.dataset.polishing import PolishedFile, PolishOptions, write_polished_files
from orchestrator.dataset.polishing import polish_dataset as polished
from orchestrator.dataset.provider_rules import list_text_only_roles
from orchestrator.settings import Settings
from orchestrator.system.regular_file import read_regular_file

DIFF_COLOURS = {"+": "\x1b[32m", "-": "\x1b[31m", "@": "\x1b[36m"}
COLOUR_RESET = "\x1b[0m"


def polish_chats(
    settings: Settings, path: Path | None, into: Path | None, wishes: PolishOptions, *, text_parts: bool = True
) -> int:
    """Show what would change on stdout, or write everything into a folder; the count goes to stderr.

    With `text_parts`, content in parts becomes one text where the listed providers ask for it.
    """
    rules, (chats, *_) = load_rules_and_chats(settings, [path] if path else [])
    wishes = replace(wishes, text_roles=list_text_only_roles(rules.providers)) if text_parts else wishes
    seen: Counter[str] = Counter()
    files = _count_by_outcome(polished(chats, wishes), seen)
    if into is None:
        for file in files:
            sys.stdout.write(_format_diff(file.diff()))
    else:
        with translate_write_errors(into):
            write_polished_files(files, chats, into)
    sys.stderr.write(_format_summary(seen, into) + "\n")
    return EXIT_DONE


def _count_by_outcome(files: Iterable[PolishedFile], seen: Counter[str]) -> Iterator[PolishedFile]:
    for file in files:
        kind = "removed" if not file.after else "changed" if file.after != file.before else "as they were"
        seen[kind] += 1
        yield file


def _format_diff(diff: str) -> str:
    """In colours and without control characters on a terminal; elsewhere as it is, so that it can be applied."""
    if not sys.stdout.isatty():
        return diff
    return "".join(
        f"{DIFF_COLOURS[row[0]]}{row.rstrip()}{COLOUR_RESET}\n" if row[:1] in DIFF_COLOURS else row
        for row in sanitize_lines(diff.replace("\r\n", "\n")).splitlines(keepends=True)
    )


def _format_summary(seen: Counter[str], into: Path | None) -> str:
    total = seen.total()
    counts = ", ".join(f"{count:,} {kind}" for kind, count in seen.items())
    if not total:
        return "no chats to polish"
    if into is not None:
        return f"{total - seen['removed']:,} files written into {into}: {counts}"
    if seen["as they were"] == total:
        return "nothing to polish"
    return f"{total:,} files: {counts}; nothing is written without --into FOLDER"


def parse_names(given: str | None) -> tuple[str, ...]:
    """The names in a list or, where that is the path of a file, in its lines."""
    if given is None:
        return ()
    path = Path(given)
    try:
        rows = read_regular_file(path).decode("utf-8-sig").splitlines() if path.exists() else given.split(",")
    except (OSError, UnicodeDecodeError):
        raise ConfigError(f"{path} cannot be read as text", hint="Write one name a line, in UTF-8.") from None
    if not (names := tuple(name for row in rows if (name := row.strip()))):
        raise ConfigError(
            f"--names: there is no name in {given!r}", hint="Write A,B,C or a file with one name a line."
        )
    return names

"""The verbs about the dataset alone: check and format. No account is spoken to."""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from orchestrator.cli.finding_format import FindingFormat
from orchestrator.cli.output import print_json, translate_write_errors
from orchestrator.cli.progress import reading_progress
from orchestrator.cli.session import EXIT_DONE, EXIT_FAILED, CommandSession
from orchestrator.core.dataset import Dataset, DatasetPart
from orchestrator.core.errors import ConfigError
from orchestrator.core.finding import Severity
from orchestrator.core.spec import Method
from orchestrator.core.text import format_count, format_list
from orchestrator.core.text_sanitizer import sanitize_lines
from orchestrator.dataset.builder import build_dataset
from orchestrator.dataset.checker import check_dataset as check_paths
from orchestrator.dataset.output.formatters import to_json, to_sarif, to_text
from orchestrator.dataset.polish.polisher import PolishedFile, PolishOptions, write_polished_files
from orchestrator.dataset.polish.polisher import polish_dataset as polished
from orchestrator.dataset.provider_rules import list_text_only_roles
from orchestrator.dataset.rules import DatasetRules
from orchestrator.dataset.summary import CheckResult
from orchestrator.inputs.accounts_file.loader import load_accounts_file
from orchestrator.planning.desired_state import build_dataset_rules
from orchestrator.settings import Settings
from orchestrator.system.regular_file import read_regular_file


def check_chats(
    session: CommandSession,
    paths: Sequence[Path],
    *,
    output_format: FindingFormat,
    strict: bool,
    method: Method | None,
    training: Path | None,
    report: Path | None,
) -> int:
    """Print every finding; FAILED when there is an error, or with `strict` a warning."""
    rules, chats = load_rules_and_chats(session.settings, paths, method)
    with reading_progress("checking") as tell:
        checked = check_paths(chats, rules, training=training, progress=tell)
    if report:
        _write_html_report(session, checked, chats, rules.validation_path, report)
    _print_findings(checked, output_format)
    return EXIT_FAILED if checked.errors or (strict and checked.warnings) else EXIT_DONE


def _print_findings(checked: CheckResult, output_format: FindingFormat) -> None:
    match output_format:
        case FindingFormat.TEXT:
            sys.stdout.write(to_text(checked))
        case FindingFormat.JSON:
            print_json(to_json(checked))
        case FindingFormat.SARIF:
            print_json(to_sarif(checked))


def _write_html_report(
    session: CommandSession, checked: CheckResult, chats: Sequence[Path], validation: Path | None, target: Path
) -> None:
    from orchestrator.cli.handlers.moderation_lookup import find_moderation
    from orchestrator.dataset.output.html_report import to_html

    title = format_list([str(path) for path in chats], limit=3)
    page = to_html(checked, title=title, moderation=find_moderation(session, [*chats, *filter(None, [validation])]))
    with translate_write_errors(target):
        target.write_text(page, encoding="utf-8", errors="backslashreplace")
    sys.stderr.write(f"report: {target}\n")


def format_chats(
    settings: Settings,
    path: Path | None,
    output: Path | None,
    *,
    validation: float | None,
    seed: int | None,
    method: Method | None,
    as_json: bool,
) -> int:
    """Write the canonical JSONL; print where it is, its figures and its SHA-256."""
    rules, (chats, *_) = load_rules_and_chats(settings, [path] if path else [], method)
    rules = replace(
        rules,
        validation_fraction=rules.validation_fraction if validation is None else validation,
        validation_path=rules.validation_path if validation is None else None,
        seed=rules.seed if seed is None else seed,
    )
    with reading_progress("reading") as tell:
        built = build_dataset(chats, settings.data_dir / "datasets", rules, progress=tell)
    if warnings := built.check_result.count_findings(Severity.WARNING):
        sys.stderr.write(f"{format_count(warnings, 'warning')}: see `orchestrator check`\n")
    parts = _copy_parts(built.dataset, output) if output else _list_parts(built.dataset)
    if as_json:
        print_json({name: asdict(part) | {"path": str(part.path)} for name, part in parts.items()})
    else:
        sys.stdout.write("".join(_format_part(name, part) for name, part in parts.items()))
    return EXIT_DONE


def _list_parts(dataset: Dataset) -> dict[str, DatasetPart]:
    parts = {"training": dataset.training, "validation": dataset.validation}
    return {name: part for name, part in parts.items() if part is not None}


def _copy_parts(dataset: Dataset, output: Path) -> dict[str, DatasetPart]:
    """The parts where they were asked for; the validation part beside the training part."""
    places = {"training": output, "validation": output.with_name(f"{output.stem}.validation{output.suffix}")}
    parts = _list_parts(dataset)
    for name, part in parts.items():
        with translate_write_errors(places[name]):
            shutil.copyfile(part.path, places[name])
    return {name: replace(part, path=places[name]) for name, part in parts.items()}


def _format_part(name: str, part: DatasetPart) -> str:
    tokens = "tokens unknown" if part.tokens is None else f"{part.tokens:,} tokens an epoch"
    counted = f", {tokens}" if name == "training" else ""
    examples = format_count(part.examples, "example")
    return f"{name}: {part.path}\n  {examples}, {part.bytes:,} bytes{counted}\n  sha256 {part.sha256}\n"


def load_rules_and_chats(
    settings: Settings, paths: Sequence[Path], method: Method | None = None
) -> tuple[DatasetRules, list[Path]]:
    """The rules and the chats: those of the accounts file, where nothing else is named.

    The method is the one that is given, else that of the accounts file; without both it is seen from the data. How
    many examples there must be is asked of the accounts file's dataset only: a single chat is worth a look too.
    """
    if paths and not settings.accounts_file.exists():
        return DatasetRules(minimum_examples=0, method=method), list(paths)
    file = load_accounts_file(settings.accounts_file)
    rules = build_dataset_rules(file)
    if method:
        rules = replace(rules, method=method)
    if paths and [path.resolve() for path in paths] != [file.dataset.resolve()]:
        rules = replace(rules, minimum_examples=0, validation_path=None)
    return rules, list(paths) or [_relative_to_cwd(file.dataset)]


def _relative_to_cwd(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


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

"""The verbs about the dataset alone: check and format. No account is spoken to."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from orchestrator.cli.files import translate_write_errors
from orchestrator.cli.form import FindingFormat
from orchestrator.cli.progress import reading_progress
from orchestrator.cli.render import print_json
from orchestrator.cli.session import EXIT_DONE, EXIT_FAILED, CommandSession
from orchestrator.core.dataset import Dataset, DatasetPart
from orchestrator.core.finding import Severity
from orchestrator.core.spec import Method
from orchestrator.daemon.desired import build_dataset_rules
from orchestrator.dataset.building import build_dataset
from orchestrator.dataset.checking import check_dataset as check_paths
from orchestrator.dataset.output import to_json, to_sarif, to_text
from orchestrator.dataset.rules import DatasetRules
from orchestrator.dataset.summary import CheckResult
from orchestrator.settings import Settings
from orchestrator.sources.accounts import load_accounts_file


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
    from orchestrator.cli.moderation import find_moderation
    from orchestrator.dataset.report import to_html

    title = ", ".join(str(path) for path in chats[:3]) + (f" and {len(chats) - 3} more" if len(chats) > 3 else "")
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
        sys.stderr.write(f"{warnings:,} warning{'s'[: warnings > 1]}: see `orchestrator check`\n")
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
    examples = f"{part.examples:,} example" + ("" if part.examples == 1 else "s")
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

"""The verbs about the dataset alone: check and format. No account is spoken to."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from orchestrator.cli.files import writing
from orchestrator.cli.form import Form
from orchestrator.cli.progress import reading
from orchestrator.cli.render import print_json
from orchestrator.cli.session import DONE, FAILED, Session
from orchestrator.core.dataset import Dataset, Part
from orchestrator.core.finding import Severity
from orchestrator.core.spec import Method
from orchestrator.daemon.desired import rules_of
from orchestrator.dataset.building import build
from orchestrator.dataset.checking import check as check_paths
from orchestrator.dataset.output import to_json, to_sarif, to_text
from orchestrator.dataset.rules import Rules
from orchestrator.dataset.summary import Checked
from orchestrator.settings import Settings
from orchestrator.sources.accounts import read_accounts


def check(
    given: Session,
    paths: Sequence[Path],
    *,
    form: Form,
    strict: bool,
    method: Method | None,
    training: Path | None,
    report: Path | None,
) -> int:
    """Print every finding; FAILED when there is an error, or with `strict` a warning."""
    rules, chats = wanted(given.settings, paths, method)
    with reading("checking") as tell:
        checked = check_paths(chats, rules, training=training, progress=tell)
    if report:
        _report(given, checked, chats, rules.validation_path, report)
    _print(checked, form)
    return FAILED if checked.errors or (strict and checked.warnings) else DONE


def _print(checked: Checked, form: Form) -> None:
    match form:
        case Form.TEXT:
            sys.stdout.write(to_text(checked))
        case Form.JSON:
            print_json(to_json(checked))
        case Form.SARIF:
            print_json(to_sarif(checked))


def _report(given: Session, checked: Checked, chats: Sequence[Path], validation: Path | None, target: Path) -> None:
    from orchestrator.cli.moderation import recalled
    from orchestrator.dataset.report import to_html

    title = ", ".join(str(path) for path in chats[:3]) + (f" and {len(chats) - 3} more" if len(chats) > 3 else "")
    page = to_html(checked, title=title, moderation=recalled(given, [*chats, *filter(None, [validation])]))
    with writing(target):
        target.write_text(page, encoding="utf-8", errors="backslashreplace")
    sys.stderr.write(f"report: {target}\n")


def format_(
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
    rules, (chats, *_) = wanted(settings, [path] if path else [], method)
    rules = replace(
        rules,
        validation_fraction=rules.validation_fraction if validation is None else validation,
        validation_path=rules.validation_path if validation is None else None,
        seed=rules.seed if seed is None else seed,
    )
    with reading("reading") as tell:
        built = build(chats, settings.data_dir / "datasets", rules, progress=tell)
    if warnings := built.checked.total(Severity.WARNING):
        sys.stderr.write(f"{warnings:,} warning{'s'[: warnings > 1]}: see `orchestrator check`\n")
    parts = _copied(built.dataset, output) if output else _parts(built.dataset)
    if as_json:
        print_json({name: asdict(part) | {"path": str(part.path)} for name, part in parts.items()})
    else:
        sys.stdout.write("".join(_part_text(name, part) for name, part in parts.items()))
    return DONE


def _parts(dataset: Dataset) -> dict[str, Part]:
    parts = {"training": dataset.training, "validation": dataset.validation}
    return {name: part for name, part in parts.items() if part is not None}


def _copied(dataset: Dataset, output: Path) -> dict[str, Part]:
    """The parts where they were asked for; the validation part beside the training part."""
    places = {"training": output, "validation": output.with_name(f"{output.stem}.validation{output.suffix}")}
    parts = _parts(dataset)
    for name, part in parts.items():
        with writing(places[name]):
            shutil.copyfile(part.path, places[name])
    return {name: replace(part, path=places[name]) for name, part in parts.items()}


def _part_text(name: str, part: Part) -> str:
    tokens = "tokens unknown" if part.tokens is None else f"{part.tokens:,} tokens an epoch"
    counted = f", {tokens}" if name == "training" else ""
    examples = f"{part.examples:,} example" + ("" if part.examples == 1 else "s")
    return f"{name}: {part.path}\n  {examples}, {part.bytes:,} bytes{counted}\n  sha256 {part.sha256}\n"


def wanted(settings: Settings, paths: Sequence[Path], method: Method | None = None) -> tuple[Rules, list[Path]]:
    """The rules and the chats: those of the accounts file, where nothing else is named.

    The method is the one that is given, else that of the accounts file; without both it is seen from the data. How
    many examples there must be is asked of the accounts file's dataset only: a single chat is worth a look too.
    """
    if paths and not settings.accounts_file.exists():
        return Rules(minimum_examples=0, method=method), list(paths)
    file = read_accounts(settings.accounts_file)
    rules = rules_of(file)
    if method:
        rules = replace(rules, method=method)
    if paths and [path.resolve() for path in paths] != [file.dataset.resolve()]:
        rules = replace(rules, minimum_examples=0, validation_path=None)
    return rules, list(paths) or [_seen_from_here(file.dataset)]


def _seen_from_here(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path

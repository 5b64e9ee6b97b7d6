"""The verbs about the dataset alone: no account is spoken to."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from orchestrator.cli.render import finding_line, print_json
from orchestrator.cli.session import DONE, FAILED
from orchestrator.daemon.desired import rules_of
from orchestrator.dataset import Checked, Rules, build
from orchestrator.dataset import check as check_path
from orchestrator.settings import Settings
from orchestrator.sources.accounts import read_accounts


def check(settings: Settings, paths: Sequence[Path], *, as_json: bool) -> int:
    """Print every finding; FAILED when there is an error."""
    rules, default = _rules(settings, needed=not paths)
    results = [(path, check_path(path, rules)) for path in paths or [default]]
    if as_json:
        print_json([_checked_json(path, checked) for path, checked in results])
    else:
        for path, checked in results:
            _print(path, checked)
    return FAILED if any(checked.errors for _, checked in results) else DONE


def format_(settings: Settings, path: Path | None, output: Path | None, *, as_json: bool) -> int:
    """Write the canonical JSONL; print where it is, its figures and its SHA-256."""
    rules, default = _rules(settings, needed=path is None)
    dataset = build(path or default, settings.data_dir / "datasets", rules).dataset
    parts = {"training": dataset.training, "validation": dataset.validation}
    written = {name: part for name, part in parts.items() if part is not None}
    if output is not None:
        shutil.copyfile(dataset.training.path, output)
        if dataset.validation is not None:
            shutil.copyfile(dataset.validation.path, output.with_name(f"{output.stem}.validation{output.suffix}"))
    if as_json:
        print_json({name: asdict(part) | {"path": str(part.path)} for name, part in written.items()})
        return DONE
    for name, part in written.items():
        place = output if output and name == "training" else part.path
        sys.stdout.write(
            f"{name}: {place}\n  {part.examples} examples, {part.bytes:,} bytes, tokens: {part.tokens}\n"
        )
        sys.stdout.write(f"  sha256 {part.sha256}\n")
    return DONE


def _rules(settings: Settings, *, needed: bool) -> tuple[Rules, Path]:
    """The rules of the accounts file; plain ones where there is none and none is needed."""
    if not needed and not settings.accounts_file.exists():
        return Rules(), Path()
    file = read_accounts(settings.accounts_file)
    return rules_of(file), file.dataset


def _print(path: Path, checked: Checked) -> None:
    for finding in checked.findings:
        sys.stdout.write(finding_line(finding) + "\n")
    summary = checked.summary
    sys.stdout.write(
        f"{path}: {len(summary.files)} files, {summary.chats} chats, {summary.examples} examples, "
        f"{summary.refused} refused; {len(checked.errors)} errors, {len(checked.warnings)} warnings\n"
    )


def _checked_json(path: Path, checked: Checked) -> dict[str, object]:
    summary = checked.summary
    return {
        "path": str(path),
        "examples": summary.examples,
        "refused": summary.refused,
        "files": [asdict(file) for file in summary.files],
        "ignored": list(summary.ignored),
        "tokens": dict(summary.tokens),
        "findings": [asdict(finding) for finding in checked.findings],
    }

"""Bodies of check, polish and format. They read the chats only and send no request to a provider."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from orchestrator.cli.commands.dataset import FindingFormat
from orchestrator.cli.exit_code import ExitCode
from orchestrator.cli.output import print_json, translate_write_errors, write_output, write_text
from orchestrator.cli.progress import reading_progress
from orchestrator.cli.session import CommandSession
from orchestrator.core.dataset import Dataset, DatasetPart
from orchestrator.core.errors import ConfigError
from orchestrator.core.finding import Severity
from orchestrator.core.plans.price import calculate_training_usd
from orchestrator.core.spec import Method
from orchestrator.core.structs import asdict, replace
from orchestrator.core.text import format_count, format_list, format_usd
from orchestrator.core.text_sanitizer import sanitize_lines
from orchestrator.dataset.builder import build_dataset
from orchestrator.dataset.cache.check_cache import CacheFolder
from orchestrator.dataset.checker import check_dataset
from orchestrator.dataset.output.formatters import to_json, to_sarif, to_text
from orchestrator.dataset.output.report_examples import ReportExamples
from orchestrator.dataset.polish.polisher import PolishedFile, PolishOptions, polish_dataset, write_polished_files
from orchestrator.dataset.provider_rules import list_text_only_roles
from orchestrator.dataset.rules import DatasetRules
from orchestrator.dataset.summary import CheckResult
from orchestrator.inputs.accounts_file.loader import load_accounts_file
from orchestrator.inputs.prices import load_prices
from orchestrator.planning.dataset_rules import build_dataset_rules
from orchestrator.settings import Settings
from orchestrator.system.regular_file import read_regular_file

if TYPE_CHECKING:
    from orchestrator.dataset.moderation.runner import ModerationResult
    from orchestrator.dataset.output.html_report import JobPrice

DIFF_COLOURS = {"+": "\x1b[32m", "-": "\x1b[31m", "@": "\x1b[36m"}
COLOUR_RESET = "\x1b[0m"
COPY_CHUNK_BYTES = 1 << 20


def check_chats(
    session: CommandSession,
    paths: Sequence[Path],
    *,
    output_format: FindingFormat,
    strict: bool,
    method: Method | None,
    training: Path | None,
    report: Path | None,
    run: str | None = None,
) -> ExitCode:
    """Print every finding. Returns FAILED if there is an error or, with `strict`, a warning."""
    rules, chats = load_rules_and_chats(session.settings, paths, method, run=run)
    examples = ReportExamples() if report else None
    with reading_progress("checking") as report_progress:
        result = check_dataset(
            chats,
            rules,
            training=training,
            progress=report_progress,
            observer=examples,
            cache_folder=find_cache_folder(session.settings),
        )
    if report and examples:
        price = _find_job_price(session.settings, rules, sum(examples.tokens), run)
        _write_html_report(session, result, chats, rules.validation_path, examples, price, report)
    _print_findings(result, output_format)
    return ExitCode.FAILED if result.errors or (strict and result.warnings) else ExitCode.DONE


def find_cache_folder(settings: Settings) -> CacheFolder | None:
    """Return where results of checks are kept: in the data folder if it exists, else in the user's cache folder."""
    if not settings.check_cache_mb:
        return None
    if settings.data_dir.is_dir():
        folder = settings.data_dir / "check-cache"
    elif (base := os.environ.get("XDG_CACHE_HOME", "")).startswith("/"):  # the standard ignores relative paths
        folder = Path(base) / "orchestrator"
    else:
        try:
            home = Path.home()
        except RuntimeError:  # the user has no home
            return None
        if not home.is_dir():
            return None  # it is not created for a cache
        folder = home / ".cache" / "orchestrator"
    return CacheFolder(folder, settings.check_cache_mb << 20)


def _print_findings(result: CheckResult, output_format: FindingFormat) -> None:
    match output_format:
        case FindingFormat.TEXT:
            sys.stdout.write(to_text(result))
        case FindingFormat.JSON:
            print_json(to_json(result))
        case FindingFormat.SARIF:
            print_json(to_sarif(result))


def _write_html_report(
    session: CommandSession,
    result: CheckResult,
    chats: Sequence[Path],
    validation: Path | None,
    examples: ReportExamples,
    price: JobPrice | None,
    target: Path,
) -> None:
    from orchestrator.dataset.output.html_report import to_html

    title = format_list([str(path) for path in chats], limit=3)
    moderation = _find_moderation(session, [*chats, *filter(None, [validation])])
    write_text(to_html(result, title=title, moderation=moderation, examples=examples, price=price), target)
    sys.stderr.write(f"Report: {target}\n")


def _find_job_price(settings: Settings, rules: DatasetRules, tokens: int, run: str | None) -> JobPrice | None:
    """Return the price of one job with the first base model, by the price file; None if it is not known."""
    from orchestrator.dataset.output.html_report import JobPrice

    if not rules.base_models or not settings.accounts_file.exists():
        return None
    prices = load_prices(settings.prices_file)
    for provider, spec in load_accounts_file(settings.accounts_file).get_run(run).specs.items():
        price = prices.find(provider, spec.base_model)
        usd = calculate_training_usd(tokens, spec.n_epochs, price)
        if spec.base_model == rules.base_models[0] and price is not None and usd is not None:
            epochs = format_count(int(spec.n_epochs), "epoch")
            note = f"Estimated price of one job with {spec.base_model} at {provider}, {epochs}: {format_usd(usd)} "
            return JobPrice(usd, f"{note}(price file, {price.as_of}).")
    return None


def _find_moderation(session: CommandSession, chats: Sequence[Path]) -> ModerationResult | None:
    """Return the stored moderation result of the chats, or None without a database. Sends no request."""
    from orchestrator.app import has_database, open_app  # lazy: `check` alone needs no database

    if not has_database(session.settings):
        return None

    async def load() -> ModerationResult:
        async with open_app(session.settings, session.redact) as app:
            return await app.get_moderation(chats)

    return asyncio.run(load())


def format_chats(
    settings: Settings,
    path: Path | None,
    output: Path | None,
    *,
    validation: float | None,
    seed: int | None,
    method: Method | None,
    as_json: bool,
    run: str | None = None,
) -> ExitCode:
    """Write the canonical JSONL and print the path, size and SHA-256 of each part."""
    rules, (chats, *_) = load_rules_and_chats(settings, [path] if path else [], method, run=run)
    rules = replace(
        rules,
        validation_fraction=rules.validation_fraction if validation is None else validation,
        validation_path=rules.validation_path if validation is None else None,
        seed=rules.seed if seed is None else seed,
    )
    with reading_progress("reading") as report_progress:
        built = build_dataset(chats, settings.data_dir / "datasets", rules, progress=report_progress)
    if warnings := built.check_result.count_findings(Severity.WARNING):
        sys.stderr.write(f"{format_count(warnings, 'warning')}; `orchestrator check` lists them\n")
    parts = _copy_parts(built.dataset, output) if output else _list_parts(built.dataset)
    if as_json:
        print_json({name: asdict(part) | {"path": str(part.path)} for name, part in parts.items()})
    else:
        sys.stdout.write("".join(_format_part(name, part) for name, part in parts.items()))
    return ExitCode.DONE


def _list_parts(dataset: Dataset) -> dict[str, DatasetPart]:
    parts = {"training": dataset.training, "validation": dataset.validation}
    return {name: part for name, part in parts.items() if part is not None}


def _copy_parts(dataset: Dataset, output: Path) -> dict[str, DatasetPart]:
    """Copy the parts to `output`, the validation part beside it, and return them with their new paths."""
    targets = {"training": output, "validation": output.with_name(f"{output.stem}.validation{output.suffix}")}
    parts = _list_parts(dataset)
    for name, part in parts.items():
        with part.path.open("rb") as source:
            write_output(targets[name], partial(_copy_all, source))
    return {name: replace(part, path=targets[name]) for name, part in parts.items()}


def _copy_all(source: BinaryIO, target: BinaryIO) -> None:
    source.seek(0)
    shutil.copyfileobj(source, target, COPY_CHUNK_BYTES)


def _format_part(name: str, part: DatasetPart) -> str:
    tokens = "tokens unknown" if part.tokens is None else f"{part.tokens:,} tokens per epoch"
    token_text = f", {tokens}" if name == "training" else ""
    examples = format_count(part.examples, "example")
    return f"{name}: {part.path}\n  {examples}, {part.bytes:,} bytes{token_text}\n  sha256 {part.sha256}\n"


def load_rules_and_chats(
    settings: Settings, paths: Sequence[Path], method: Method | None = None, *, run: str | None = None
) -> tuple[DatasetRules, list[Path]]:
    """Return the dataset rules and the paths of the chats; without `paths` those of the accounts file.

    `run` is the name of the run of the accounts file; without it there must be only one.
    `method` takes precedence over the accounts file; without both it is detected from the chats. The minimum number
    of examples applies to the dataset of the accounts file only, so that a single chat can be checked.
    """
    if paths and not settings.accounts_file.exists():
        return DatasetRules(minimum_examples=0, method=method), list(paths)
    definition = load_accounts_file(settings.accounts_file).get_run(run)
    rules = build_dataset_rules(definition)
    if method:
        rules = replace(rules, method=method)
    if paths and [path.resolve() for path in paths] != [definition.dataset.resolve()]:
        rules = replace(rules, minimum_examples=0, validation_path=None)
    return rules, list(paths) or [_relative_to_cwd(definition.dataset)]


def _relative_to_cwd(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def polish_chats(
    settings: Settings,
    path: Path | None,
    into: Path | None,
    options: PolishOptions,
    *,
    text_parts: bool = True,
    run: str | None = None,
) -> ExitCode:
    """Print the changes as a diff, or write the polished chats into a folder. A summary goes to stderr.

    With `text_parts`, text parts are joined into one text if a provider of the accounts file requires it.
    """
    rules, (chats, *_) = load_rules_and_chats(settings, [path] if path else [], run=run)
    if text_parts:
        options = replace(options, text_roles=list_text_only_roles(rules.providers))
    counts: Counter[str] = Counter()
    files = _count_by_outcome(polish_dataset(chats, options), counts)
    if into is None:
        for file in files:
            sys.stdout.write(_format_diff(file.diff()))
    else:
        with translate_write_errors(into):
            write_polished_files(files, chats, into)
    sys.stderr.write(_format_summary(counts, into) + "\n")
    return ExitCode.DONE


def _count_by_outcome(files: Iterable[PolishedFile], counts: Counter[str]) -> Iterator[PolishedFile]:
    for file in files:
        outcome = "removed" if not file.after else "changed" if file.after != file.before else "unchanged"
        counts[outcome] += 1
        yield file


def _format_diff(diff: str) -> str:
    """Colour the diff on a terminal; elsewhere leave it unchanged, so that `patch` can apply it."""
    if not sys.stdout.isatty():
        return diff
    return "".join(
        f"{DIFF_COLOURS[row[0]]}{row.rstrip()}{COLOUR_RESET}\n" if row[:1] in DIFF_COLOURS else row
        for row in sanitize_lines(diff.replace("\r\n", "\n")).splitlines(keepends=True)
    )


def _format_summary(counts: Counter[str], into: Path | None) -> str:
    total = counts.total()
    details = ", ".join(f"{count:,} {outcome}" for outcome, count in counts.items())
    if not total:
        return "No chats to polish."
    if into is not None:
        return f"{total - counts['removed']:,} files written to {into}: {details}."
    if counts["unchanged"] == total:
        return "Nothing to polish."
    return f"{total:,} files: {details}. Nothing was written; use --into FOLDER to write the result."


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a list of names is longer than the name of a file may be
        return False


def parse_names(argument: str | None) -> tuple[str, ...]:
    """Parse the value of --names: a comma-separated list, or the path of a file with one name per line."""
    if argument is None:
        return ()
    path = Path(argument)
    try:
        rows = read_regular_file(path).decode("utf-8-sig").splitlines() if _exists(path) else argument.split(",")
    except (OSError, UnicodeDecodeError):
        raise ConfigError(f"--names: {path} is no text file", hint="Write one name per line, in UTF-8.") from None
    if not (names := tuple(name for row in rows if (name := row.strip()))):
        raise ConfigError(
            f"--names: no name in {argument!r}", hint="Pass names as A,B,C, or a file with one name per line."
        )
    return names

"""Commands for the dataset: check, polish, format."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.commands.filters import ActionRunOption
from orchestrator.cli.commands.help_layout import Panel
from orchestrator.cli.commands.root import AccountsFileOption, JsonOption, command
from orchestrator.cli.session import command_session
from orchestrator.core.spec import Method


class FindingFormat(StrEnum):
    """Output format of `check`. SARIF 2.1.0 is for code review tools."""

    TEXT = "text"
    JSON = "json"
    SARIF = "sarif"


MethodOption = Annotated[
    Method | None,
    typer.Option(help="Training method; default: as in the accounts file, otherwise detected from the chats."),
]


ChatsArgument = Annotated[
    Path | None, typer.Argument(help="File or folder with chats; default: the dataset of the accounts file.")
]


@command(
    panel=Panel.DATA,
    examples="""
        orchestrator check                             # the accounts file's dataset
        orchestrator check chats --strict              # fail on warnings, too
        orchestrator check --report report.html        # a page for the browser
        orchestrator check --format sarif > chats.sarif
    """,
)
def check(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Files or folders with chats; default: the dataset of the accounts file."),
    ] = None,
    accounts: AccountsFileOption = None,
    output_format: Annotated[
        FindingFormat, typer.Option("--format", "-f", help="Output format.")
    ] = FindingFormat.TEXT,
    json: Annotated[bool, typer.Option("--json", help="Short for --format json.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 on warnings too.")] = False,
    method: MethodOption = None,
    training: Annotated[
        Path | None,
        typer.Option(
            help="Training set to compare with; the checked chats are then a validation set that must not overlap it."
        ),
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Also write an HTML report to this file.")] = None,
    run: ActionRunOption = None,
) -> None:
    """Check the chats for errors and warnings. Prints each finding with file, line and fix; exits 1 on errors."""
    with command_session(accounts_file=accounts) as session:
        from orchestrator.cli.handlers import dataset

        output_format = FindingFormat.JSON if json else output_format
        code = dataset.check_chats(
            session,
            paths or [],
            output_format=output_format,
            strict=strict,
            method=method,
            training=training,
            report=report,
            run=run,
        )
    raise typer.Exit(code)


@command(
    panel=Panel.DATA,
    examples="""
        orchestrator polish                            # show the changes as a diff
        orchestrator polish --into polished            # write them to a new folder
        orchestrator polish chats --no-redact --persona Anna --names A,B,C
    """,
)
def polish(
    path: ChatsArgument = None,
    into: Annotated[Path | None, typer.Option(help="New folder for the polished chats.")] = None,
    cut_end: Annotated[bool, typer.Option(help="Cut the messages after the last answer of a chat.")] = True,
    unknown_keys: Annotated[
        bool, typer.Option(help="Remove keys unknown to the training format, unless they may change the training.")
    ] = True,
    text_parts: Annotated[
        bool, typer.Option(help="Join text parts into one text if a listed provider requires it.")
    ] = True,
    merge_system: Annotated[bool, typer.Option(help="Merge all system messages into the first one.")] = True,
    drop_empty: Annotated[bool, typer.Option(help="Remove empty system messages.")] = True,
    common_system: Annotated[bool, typer.Option(help="Set the most frequent system message in every chat.")] = True,
    system: Annotated[str | None, typer.Option(help="Set this system message in every chat instead.")] = None,
    duplicates: Annotated[bool, typer.Option(help="Remove duplicate chats.")] = True,
    redact: Annotated[
        bool, typer.Option(help="Replace keys, e-mail addresses and telephone numbers with placeholders.")
    ] = True,
    names: Annotated[
        str | None,
        typer.Option(help="Replacement user names, assigned in turn: A,B,C or a file with one name per line."),
    ] = None,
    persona: Annotated[str | None, typer.Option(help="User name to replace; default: the most frequent one.")] = None,
    accounts: AccountsFileOption = None,
    run: ActionRunOption = None,
) -> None:
    """Fix the problems reported by `check`. Prints a diff; use --into FOLDER to write the result."""
    with command_session(accounts_file=accounts) as session:
        from orchestrator.cli.handlers import dataset
        from orchestrator.dataset.polish.polisher import PolishOptions

        options = PolishOptions(
            cut_end=cut_end,
            drop_unknown_keys=unknown_keys,
            merge_system=merge_system,
            drop_empty_system=drop_empty,
            common_system=system or ("" if common_system else None),
            names=dataset.parse_names(names),
            persona=persona,
            remove_duplicates=duplicates,
            redact=redact,
        )
        code = dataset.polish_chats(session.settings, path, into, options, text_parts=text_parts, run=run)
    raise typer.Exit(code)


@command(
    "format",
    panel=Panel.DATA,
    examples="""
        orchestrator format                            # print the SHA-256 only
        orchestrator format chats -o train.jsonl
        orchestrator format -o train.jsonl --validation 0.1 --seed 7
    """,
)
def format_(
    path: ChatsArgument = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Output file, for example train.jsonl; the validation split is written to train.validation.jsonl.",
        ),
    ] = None,
    validation: Annotated[
        float | None,
        typer.Option(min=0, max=0.9, help="Fraction of the examples held out for validation, for example 0.1."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Random seed for the validation split.")] = None,
    method: MethodOption = None,
    accounts: AccountsFileOption = None,
    run: ActionRunOption = None,
    json: JsonOption = False,
) -> None:
    """Write the canonical JSONL file and print its SHA-256."""
    with command_session(accounts_file=accounts) as session:
        from orchestrator.cli.handlers import dataset

        code = dataset.format_chats(
            session.settings, path, output, validation=validation, seed=seed, method=method, as_json=json, run=run
        )
    raise typer.Exit(code)

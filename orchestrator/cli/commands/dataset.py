"""Commands for chats: check, polish, format."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.commands.root import AccountsFileOption, JsonOption, command
from orchestrator.cli.finding_format import FindingFormat
from orchestrator.cli.session import command_session
from orchestrator.core.spec import Method

MethodOption = Annotated[
    Method | None,
    typer.Option(help="What the chats are for; default: as in the accounts file, and without one as the chats are."),
]


@command()
def check(
    paths: Annotated[list[Path] | None, typer.Argument(help="Chats; default: those of the accounts file.")] = None,
    accounts: AccountsFileOption = None,
    output_format: Annotated[
        FindingFormat, typer.Option("--format", "-f", help="How the findings are printed.")
    ] = FindingFormat.TEXT,
    json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 on warnings too.")] = False,
    method: MethodOption = None,
    training: Annotated[
        Path | None, typer.Option(help="The chats are a validation set: none of them may be in this training set.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write a page with everything into this HTML file.")] = None,
) -> None:
    """Check the chats: every finding, with file, line and what to do. Exit 1 on errors."""
    with command_session(accounts_file=accounts) as given:
        from orchestrator.cli.handlers import dataset

        output_format = FindingFormat.JSON if json else output_format
        code = dataset.check_chats(
            given,
            paths or [],
            output_format=output_format,
            strict=strict,
            method=method,
            training=training,
            report=report,
        )
    raise typer.Exit(code)


@command()
def polish(
    path: Annotated[Path | None, typer.Argument(help="Chats; default: those of the accounts file.")] = None,
    into: Annotated[Path | None, typer.Option(help="Write the polished chats into this new folder.")] = None,
    cut_end: Annotated[bool, typer.Option(help="Cut what comes after the last answer of a chat.")] = True,
    unknown_keys: Annotated[
        bool, typer.Option(help="Drop keys that the training format does not know, unless they may decide something.")
    ] = True,
    text_parts: Annotated[
        bool, typer.Option(help="Write content in text parts as one text, where a provider asks for it.")
    ] = True,
    merge_system: Annotated[bool, typer.Option(help="Merge all system messages into the first.")] = True,
    drop_empty: Annotated[bool, typer.Option(help="Drop empty system messages.")] = True,
    common_system: Annotated[bool, typer.Option(help="Give every chat the system message that most have.")] = True,
    system: Annotated[str | None, typer.Option(help="Give every chat this system message instead.")] = None,
    duplicates: Annotated[bool, typer.Option(help="Remove chats that are there twice.")] = True,
    redact: Annotated[bool, typer.Option(help="Hide keys, e-mail addresses and telephone numbers.")] = True,
    names: Annotated[
        str | None, typer.Option(help="New names for the user, one a chat in turn: A,B,C or a file with one a line.")
    ] = None,
    persona: Annotated[str | None, typer.Option(help="The user's old name; default: the one most chats use.")] = None,
    accounts: AccountsFileOption = None,
) -> None:
    """Repair what the check names. Shows the changes; writes them only --into another folder."""
    with command_session(accounts_file=accounts) as given:
        from orchestrator.cli.handlers import dataset
        from orchestrator.dataset.polish.polisher import PolishOptions

        wishes = PolishOptions(
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
        code = dataset.polish_chats(given.settings, path, into, wishes, text_parts=text_parts)
    raise typer.Exit(code)


@command("format")
def format_(
    path: Annotated[Path | None, typer.Argument(help="Chats; default: those of the accounts file.")] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write the JSONL here, a validation part beside it as NAME.validation."),
    ] = None,
    validation: Annotated[
        float | None, typer.Option(min=0, max=0.9, help="The share of examples to keep apart for validation.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of the choice of the validation part.")] = None,
    method: MethodOption = None,
    accounts: AccountsFileOption = None,
    json: JsonOption = False,
) -> None:
    """Write the canonical JSONL and print its SHA-256."""
    with command_session(accounts_file=accounts) as given:
        from orchestrator.cli.handlers import dataset

        code = dataset.format_chats(
            given.settings, path, output, validation=validation, seed=seed, method=method, as_json=json
        )
    raise typer.Exit(code)

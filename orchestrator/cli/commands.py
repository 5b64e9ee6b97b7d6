"""Commands: every verb, in the order a newcomer meets them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.form import Form
from orchestrator.cli.session import DONE, session, with_app

if TYPE_CHECKING:
    from orchestrator.app import App

app = typer.Typer(
    help="One dataset, many accounts, one fine-tuned model in each.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Accounts = Annotated[list[str] | None, typer.Argument(help="Account names.")]
AccountsFile = Annotated[Path | None, typer.Option("--accounts", "-a", help="The accounts file.")]
Everyone = Annotated[bool, typer.Option("--all", help="Every account of the run.")]


@app.command()
def demo(keep: Annotated[bool, typer.Option(help="Keep the dashboard until Ctrl-C.")] = False) -> None:
    """Run five accounts over the sample chats against the sandbox."""
    from orchestrator.cli.demo import demo as play

    raise typer.Exit(play(keep=keep))


@app.command()
def check(
    paths: Annotated[list[Path] | None, typer.Argument(help="Chats; default: those of the accounts file.")] = None,
    accounts: AccountsFile = None,
    form: Annotated[Form, typer.Option("--format", "-f", help="How the findings are printed.")] = Form.TEXT,
    json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 on warnings too.")] = False,
    training: Annotated[
        Path | None, typer.Option(help="The chats are a validation set: none of them may be in this training set.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write a page with everything into this HTML file.")] = None,
) -> None:
    """Check the chats: every finding, with file, line and what to do. Exit 1 on errors."""
    with session(accounts_file=accounts) as given:
        from orchestrator.cli import data

        form = Form.JSON if json else form
        code = data.check(given, paths or [], form=form, strict=strict, training=training, report=report)
    raise typer.Exit(code)


@app.command()
def polish(
    path: Annotated[Path | None, typer.Argument(help="Chats; default: those of the accounts file.")] = None,
    into: Annotated[Path | None, typer.Option(help="Write the polished chats into this new folder.")] = None,
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
    accounts: AccountsFile = None,
) -> None:
    """Repair what the check's warnings name. Shows the changes; writes them only --into another folder."""
    with session(accounts_file=accounts) as given:
        from orchestrator.cli import polishing
        from orchestrator.dataset import Wishes

        wishes = Wishes(
            merge_system=merge_system,
            drop_empty_system=drop_empty,
            common_system=system or ("" if common_system else None),
            names=polishing.names_of(names),
            persona=persona,
            remove_duplicates=duplicates,
            redact=redact,
        )
        code = polishing.polish(given.settings, path, into, wishes)
    raise typer.Exit(code)


@app.command("format")
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
    accounts: AccountsFile = None,
    json: Json = False,
) -> None:
    """Write the canonical JSONL and print its SHA-256."""
    with session(accounts_file=accounts) as given:
        from orchestrator.cli import data

        code = data.format_(given.settings, path, output, validation=validation, seed=seed, as_json=json)
    raise typer.Exit(code)


@app.command()
def accounts(accounts: AccountsFile = None, json: Json = False) -> None:
    """Verify each account: whose key it is, held or fine."""

    async def work(app: App) -> int:
        from orchestrator.cli import views

        return await views.accounts(app, as_json=json)

    with_app(work, accounts_file=accounts)


@app.command()
def plan(accounts: AccountsFile = None, json: Json = False) -> None:
    """Say what would happen and cost in each account, without doing it. Exit 1 when the run would be held."""

    async def work(app: App) -> int:
        from orchestrator.cli import views

        return await views.plan(app, as_json=json)

    with_app(work, accounts_file=accounts)


@app.command()
def upload(accounts: AccountsFile = None) -> None:
    """Replicate the file to every account and stop when each is ready."""
    _foreground(accounts, start=False, until="file_ready")


@app.command()
def start(accounts: AccountsFile = None) -> None:
    """Start the jobs and stop when each provider has its job."""
    _foreground(accounts, start=True, until="job_there")


@app.command()
def run(accounts: AccountsFile = None) -> None:
    """Do everything in the foreground. Exit 0 when every account has its model, 1 otherwise."""
    _foreground(accounts, start=True, until="ended")


def _foreground(accounts: Path | None, *, start: bool, until: str) -> None:
    import sys

    async def work(app: App) -> int:
        from orchestrator.app import sole_owner
        from orchestrator.cli import follow

        with sole_owner(app.settings):
            return await follow.work(app, start=start, enough=getattr(follow, until))

    with_app(work, quiet=sys.stdout.isatty(), accounts_file=accounts)


@app.command()
def serve(
    accounts: AccountsFile = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")] = None,
) -> None:
    """Run the service: converge on the accounts file, follow the jobs, answer at /status."""

    async def work(app: App) -> int:
        from orchestrator.cli import serve

        return await serve.serve(app)

    with_app(work, quiet=False, accounts_file=accounts, host=host, port=port)


@app.command()
def status(
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Keep showing it.")] = False,
    json: Json = False,
) -> None:
    """Show the run: states, errors, model ids."""

    async def work(app: App) -> int:
        from orchestrator.cli import views

        return await views.status(app, as_json=json, watch=watch)

    with_app(work)


@app.command()
def models(json: Json = False) -> None:
    """Print the fine-tuned model of each account."""

    async def work(app: App) -> int:
        from orchestrator.cli import views

        return await views.models(app, as_json=json)

    with_app(work)


@app.command()
def history(account: Annotated[str, typer.Argument(help="Account name.")], json: Json = False) -> None:
    """Show everything that happened in an account, and who or what caused it."""

    async def work(app: App) -> int:
        from orchestrator.cli import views

        return await views.history(app, account, as_json=json)

    with_app(work)


@app.command()
def approve() -> None:
    """Let the held run go on in spite of its price."""
    _operate("approve", [], everyone=True)


@app.command()
def waive(
    reason: Annotated[str, typer.Argument(help="Why no moderation is needed; kept in the run's record.")],
) -> None:
    """Let the run go on although its chats were not moderated."""
    _operate("waive", [], everyone=True, reason=reason)


@app.command()
def cancel(accounts: Accounts = None, everyone: Everyone = False) -> None:
    """Cancel the jobs of these accounts."""
    _operate("cancel", accounts, everyone=everyone)


@app.command()
def retry(accounts: Accounts = None, everyone: Everyone = False) -> None:
    """Start failed jobs again, as new remote jobs."""
    _operate("retry", accounts, everyone=everyone)


@app.command()
def hold(
    accounts: Accounts = None,
    everyone: Everyone = False,
    reason: Annotated[str, typer.Option(help="Kept in the record.")] = "held by the operator",
) -> None:
    """Set accounts aside until they are released."""
    _operate("hold", accounts, everyone=everyone, reason=reason)


@app.command()
def release(accounts: Accounts = None, everyone: Everyone = False) -> None:
    """Let held accounts go on; their keys are verified anew."""
    _operate("release", accounts, everyone=everyone)


def _operate(verb: str, accounts: list[str] | None, *, everyone: bool, reason: str = "") -> None:
    if not accounts and not everyone:
        raise typer.BadParameter("name the accounts, or say --all")

    async def work(app: App) -> int:
        from orchestrator.cli import operate

        return await operate.operate(app, verb, accounts or [], reason)

    with_app(work)


@app.command()
def sandbox(
    host: Annotated[str, typer.Option(help="Loopback address.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = 8090,
    state: Annotated[Path | None, typer.Option(help="Keep the state in this file.")] = None,
    faults: Annotated[Path | None, typer.Option(help="A TOML file of faults.")] = None,
    seconds: Annotated[float, typer.Option(help="How long a job trains; checks and queues take a tenth.")] = 10.0,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
) -> None:
    """Run a provider on loopback that speaks OpenAI's API; point any OpenAI client at it."""
    from orchestrator.cli import sandbox as command

    raise typer.Exit(command.sandbox(host, port, state=state, faults=faults, seconds=seconds, seed=seed))


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"orchestrator {version('orchestrator')}")
        raise typer.Exit(DONE)


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """One dataset, many accounts, one fine-tuned model in each."""

"""Commands for the accounts file: init, validate, account add, account remove."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.commands.filters import PROVIDER_CHOICES, PROVIDER_METAVAR
from orchestrator.cli.commands.help_layout import Panel
from orchestrator.cli.commands.name_completion import complete_accounts
from orchestrator.cli.commands.root import AccountsFileOption, command, create_group
from orchestrator.cli.exit_code import ExitCode
from orchestrator.cli.session import command_session, run_with_app
from orchestrator.core.account import ProviderName

if TYPE_CHECKING:
    from orchestrator.app import App

account_app = create_group(
    "account",
    panel=Panel.SET_UP,
    summary="Add and remove accounts in the accounts file.",
    examples="""
        orchestrator account add acme-us --provider together --api-key env:ACME_US
        orchestrator account remove acme-us
    """,
)
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Print the change as a diff; write nothing.")]
MaxTotalUsdOption = Annotated[
    float | None, typer.Option(help="Hold a run that would cost more, in USD; default: 10.")
]
AccountOption = Annotated[
    list[str] | None,
    typer.Option("--option", help="Further option of the account, such as region=us-central1; may be repeated."),
]
AccountNameArgument = Annotated[
    str, typer.Argument(help="Name of the account, for example acme-eu.", show_default=False)
]


FirstProviderOption = Annotated[
    ProviderName | None,
    typer.Option(metavar=PROVIDER_METAVAR, help=f"Provider of the first account: {PROVIDER_CHOICES}."),
]


@command(
    panel=Panel.SET_UP,
    examples="""
        orchestrator init                         # in a terminal: with questions
        orchestrator init --provider together --api-key env:ACME_KEY
        orchestrator init --yes --provider openai --base-model sandbox-small \\
            --base-url http://127.0.0.1:8090/v1 --api-key env:SANDBOX_KEY
            # at `orchestrator sandbox`, with SANDBOX_KEY=sandbox-acme
    """,
)
def init(
    provider: FirstProviderOption = None,
    api_key: Annotated[
        str | None, typer.Option(help="Reference to the key, never the key: env:NAME, file:PATH or cmd:COMMAND.")
    ] = None,
    base_model: Annotated[str | None, typer.Option(help="Model to train.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Folder of chats, or one .jsonl file; default: chats.")] = None,
    base_url: Annotated[str | None, typer.Option(help="Address, if it is not the provider's own.")] = None,
    organization: Annotated[str | None, typer.Option(help="Organisation; required for fireworks.")] = None,
    option: AccountOption = None,
    name: Annotated[str | None, typer.Option(help="Name of the account; default: the provider's name.")] = None,
    run: Annotated[str | None, typer.Option(help="Name of the run; default: first-run.")] = None,
    max_total_usd: MaxTotalUsdOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing; the options must be complete.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing accounts file.")] = False,
    accounts: AccountsFileOption = None,
) -> None:
    """Create an accounts file, verify the key and show the plan. Checks the dataset as well.

    Prompts in a terminal for each required option that is missing. Exits 1 if the run would be held.
    """
    with command_session(log_level="warning", accounts_file=accounts) as session:
        from orchestrator.cli.handlers.init import InitOptions, create_accounts_file

        options = InitOptions(
            provider=provider,
            api_key=api_key,
            base_model=base_model,
            base_url=base_url,
            organization=organization,
            more=option or [],
            dataset=dataset,
            account=name,
            run=run,
            max_total_usd=max_total_usd,
        )
        if not create_accounts_file(session, options, yes=yes, force=force):
            raise typer.Exit(ExitCode.FAILED)

    async def work(app: App) -> int:
        from orchestrator.cli.handlers.init import verify_accounts_file

        return await verify_accounts_file(app)

    run_with_app(work, for_reading=True, accounts_file=accounts)


@command(
    panel=Panel.SET_UP,
    examples="""
        orchestrator validate
        orchestrator validate --accounts together.toml
    """,
)
def validate(accounts: AccountsFileOption = None) -> None:
    """Validate the accounts file; no key is read, nothing is sent. Exits 2 with the line of each problem."""
    with command_session(accounts_file=accounts) as session:
        from orchestrator.cli.handlers.accounts_file import validate_file

        validate_file(session.settings.accounts_file)


@command(
    group=account_app,
    examples="""
        orchestrator account add acme-us --provider together --api-key env:ACME_US
        orchestrator account add acme-us --provider openai --api-key file:keys/acme \\
            --budget-usd 10 --label eu --dry-run
    """,
)
def add(
    name: AccountNameArgument,
    provider: Annotated[
        ProviderName,
        typer.Option(
            metavar=PROVIDER_METAVAR, help=f"Provider of the account: {PROVIDER_CHOICES}.", show_default=False
        ),
    ],
    api_key: Annotated[
        str,
        typer.Option(
            help="Reference to the key, never the key: env:NAME, file:PATH or cmd:COMMAND.", show_default=False
        ),
    ],
    base_url: Annotated[str | None, typer.Option(help="Address, if it is not the provider's own.")] = None,
    organization: Annotated[str | None, typer.Option(help="Organisation that the key must belong to.")] = None,
    project: Annotated[str | None, typer.Option(help="Project that the key must belong to.")] = None,
    budget_usd: Annotated[float | None, typer.Option(help="Limit of the account's jobs, in USD.")] = None,
    max_running_jobs: Annotated[int | None, typer.Option(help="Maximum number of jobs at once.")] = None,
    option: AccountOption = None,
    label: Annotated[list[str] | None, typer.Option(help="Label for filters; may be repeated.")] = None,
    dry_run: DryRunOption = False,
    accounts: AccountsFileOption = None,
) -> None:
    """Add an account to the accounts file. Comments, order and line endings stay as they are."""
    with command_session(accounts_file=accounts) as session:
        from orchestrator.cli.handlers.accounts_file import add_account_to_file, parse_account_options

        options = {
            "name": name,
            "provider": provider.value,
            "api_key": api_key,
            "organization": organization,
            "project": project,
            "base_url": base_url,
            "budget_usd": budget_usd,
            "max_running_jobs": max_running_jobs,
            **parse_account_options(option or []),
            "labels": label or None,
        }
        add_account_to_file(session.settings.accounts_file, options, dry_run=dry_run)


@command(
    group=account_app,
    examples="""
        orchestrator account remove acme-us --dry-run    # show the change only
        orchestrator account remove acme-us
    """,
)
def remove(
    name: Annotated[
        str,
        typer.Argument(
            help="Name of the account, for example acme-eu.", show_default=False, autocompletion=complete_accounts
        ),
    ],
    dry_run: DryRunOption = False,
    accounts: AccountsFileOption = None,
) -> None:
    """Remove an account from the accounts file. Warns if the account has unfinished jobs."""
    with command_session(log_level="warning", accounts_file=accounts) as session:
        from orchestrator.cli.handlers.accounts_file import remove_account_from_file

        remove_account_from_file(session, name, dry_run=dry_run)

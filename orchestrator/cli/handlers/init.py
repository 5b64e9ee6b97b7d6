"""Body of `init`: collects the answers from options and prompts, and writes a new accounts file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from orchestrator.cli.exit_code import ExitCode
from orchestrator.cli.handlers.accounts_file import parse_account_options, validate_key_reference, write_accounts_file
from orchestrator.cli.session import CommandSession
from orchestrator.core.account import ProviderName
from orchestrator.core.errors import ConfigError
from orchestrator.core.providers import PROVIDERS
from orchestrator.core.structs import Struct, replace
from orchestrator.core.text_sanitizer import sanitize_line
from orchestrator.dataset.checker import check_dataset
from orchestrator.dataset.output.formatters import to_text
from orchestrator.inputs.accounts_file.generator import NewAccountsFile, format_accounts_file
from orchestrator.inputs.accounts_file.loader import AccountsFile, parse_accounts_file
from orchestrator.planning.dataset_rules import build_dataset_rules

if TYPE_CHECKING:
    from orchestrator.app import App

DEFAULT_DATASET, DEFAULT_RUN, DEFAULT_MAX_TOTAL_USD = "chats", "first-run", 10.0
UNDECIDED_MODEL = "undecided"  # stands in the draft until the provider has listed its models
MAX_MODELS_SHOWN = 15
NOT_READY_MESSAGE = """
Not ready yet: apply the hints above, then check with `orchestrator plan`.
`orchestrator run` records the run on hold; only then `waive` and `approve` work.
Nothing has been uploaded or charged yet.
"""


class InitOptions(Struct, frozen=True, kw_only=True):
    """The options of the command line. None: not specified."""

    provider: ProviderName | None
    api_key: str | None
    base_model: str | None
    base_url: str | None
    organization: str | None
    more: Sequence[str]  # further options of the account, as NAME=VALUE
    dataset: str | None
    account: str | None
    run: str | None
    max_total_usd: float | None

    def get(self, name: str) -> str | None:
        """Return an option by its name, or a further option of the account."""
        value: str | None = getattr(self, name, None)
        return parse_account_options(self.more).get(name) if value is None else value


def create_accounts_file(session: CommandSession, options: InitOptions, *, yes: bool, force: bool) -> bool:
    """Write the accounts file and print the result of the dataset check. Returns whether the dataset has no error.

    Raises ConfigError if the file exists, an option is missing or an answer is not valid; nothing is written then.
    """
    path = session.settings.accounts_file
    if path.exists() and not force:
        raise ConfigError(
            f"{path} already exists; nothing was written",
            hint="Add accounts with `orchestrator account add`, or overwrite the file with --force.",
        )
    if options.api_key is not None:
        validate_key_reference(options.api_key)
    if options.dataset is not None and not _exists(options.dataset):
        raise ConfigError(
            f"there is no dataset at {options.dataset}", hint="--dataset is a folder of chats or one .jsonl file."
        )
    interactive = sys.stdin.isatty() and not yes
    if not interactive:
        _check_options(options)
    try:
        file, text = _complete(session, options, path, interactive=interactive)
    except typer.Abort:
        sys.stderr.write("\nInterrupted; nothing was written.\n")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    run = file.get_run()
    result = check_dataset([run.dataset], build_dataset_rules(run))
    write_accounts_file(path, text.encode())
    sys.stdout.write(f"\nDataset\n{to_text(result)}\nWrote {path}.\n\n")
    sys.stdout.flush()
    return not result.errors


async def verify_accounts_file(app: App) -> ExitCode:
    """Verify the key of each account and print the plan. Returns FAILED if a key or the run is not ready."""
    from orchestrator.cli.handlers.status import print_plan, verify_accounts

    verified = await verify_accounts(app, as_json=False)
    planned = await print_plan(app, as_json=False)
    if ExitCode.FAILED in (verified, planned):
        sys.stdout.write(NOT_READY_MESSAGE)
        return ExitCode.FAILED
    sys.stdout.write("\nNext: `orchestrator run` trains as planned. Nothing has been uploaded or charged yet.\n")
    return ExitCode.DONE


def _check_options(options: InitOptions) -> None:
    """Raise one ConfigError with every option that is missing without a terminal."""
    required = ["provider", "api_key", "base_model"]
    if options.provider:
        required += PROVIDERS[options.provider].required_account_options
    if not Path(DEFAULT_DATASET).exists():
        required.append("dataset")
    missing = [_format_flag(name) for name in required if options.get(name) is None]
    if missing:
        raise ConfigError(
            f"missing options: {', '.join(missing)}",
            hint="Specify them, or run `orchestrator init` in a terminal without --yes to be asked.",
        )


def _format_flag(name: str) -> str:
    is_own = name in InitOptions.__struct_fields__
    return f"--{name.replace('_', '-')}" if is_own else f"--option {name}=…"


def _complete(
    session: CommandSession, options: InitOptions, path: Path, *, interactive: bool
) -> tuple[AccountsFile, str]:
    """Return the valid accounts file and its text, after asking for what the options leave open."""
    provider = options.provider or _ask_provider()
    required = PROVIDERS[provider].required_account_options
    api_key = options.api_key or _ask_key()
    further = dict.fromkeys(
        (*parse_account_options(options.more), *(name for name in required if not hasattr(options, name)))
    )

    def answer(name: str) -> str | None:
        value = options.get(name)
        return _ask_text(f"{name} ({required[name]})") if value is None and name in required else value

    draft = NewAccountsFile(
        provider=provider,
        api_key=api_key,
        organization=answer("organization"),
        base_url=answer("base_url"),
        more={name: value for name in further if (value := answer(name)) is not None},
        dataset=_resolve_dataset(options.dataset or (_ask_dataset() if interactive else DEFAULT_DATASET), path),
        account=options.account
        or (_ask_text("Name of the account", provider.value) if interactive else provider.value),
        run=options.run or DEFAULT_RUN,
        max_total_usd=DEFAULT_MAX_TOTAL_USD if options.max_total_usd is None else options.max_total_usd,
        base_model=options.base_model or UNDECIDED_MODEL,
    )
    # Validated before the key is sent anywhere: an address may be wrong or unencrypted.
    file = _parse(path, format_accounts_file(draft))
    if options.base_model is None:
        draft = replace(draft, base_model=_ask_base_model(session, file))
    text = format_accounts_file(draft)
    return _parse(path, text), text


def _parse(path: Path, text: str) -> AccountsFile:
    try:
        return parse_accounts_file(path, text)
    except ConfigError as error:
        problems = [problem.partition(": ")[2] for problem in error.problems]  # without lines: there is no file yet
        raise ConfigError(
            "these values do not make a valid accounts file; nothing was written",
            hint="Correct them and run `orchestrator init` again.",
            problems=problems,
        ) from None


def _resolve_dataset(dataset: str, path: Path) -> str:
    """Return the dataset as the accounts file must write it: a relative path starts from the file's folder."""
    same_folder = path.absolute().parent == Path.cwd()
    return dataset if same_folder else str(Path(dataset).expanduser().absolute())


def _exists(dataset: str) -> bool:
    return "\0" not in dataset and Path(dataset).expanduser().exists()


def _ask_text(question: str, default: str | None = None) -> str:
    answer: str = typer.prompt(question, default=default)
    return answer.strip()


def _ask_until(question: str, default: str | None, problem: Callable[[str], str]) -> str:
    """Ask until `problem` returns no problem with the answer."""
    while True:
        answer = _ask_text(question, default)
        if not (text := problem(answer)):
            return answer
        sys.stdout.write(f"  {sanitize_line(text)}\n")


def _ask_provider() -> ProviderName:
    names = [name.value for name in ProviderName]

    def problem(answer: str) -> str:
        return "" if answer in names else f"This is not one of {', '.join(names)}."

    return ProviderName(_ask_until(f"Provider ({', '.join(names)})", None, problem))


def _ask_key() -> str:
    sys.stdout.write("The file holds a reference to the key, never the key: env:NAME, file:PATH, cmd:COMMAND.\n")

    def problem(answer: str) -> str:
        try:
            validate_key_reference(answer)
        except ConfigError as error:
            return error.message.replace("--api-key", "This")
        return ""

    return _ask_until("Reference to the key, for example env:ACME_KEY", None, problem)


def _ask_dataset() -> str:
    def problem(answer: str) -> str:
        return "" if _exists(answer) else "There is no such folder or file."

    default = DEFAULT_DATASET if Path(DEFAULT_DATASET).exists() else None
    return _ask_until("Dataset (a folder of chats, or one .jsonl file)", default, problem)


def _ask_base_model(session: CommandSession, file: AccountsFile) -> str:
    """Ask for the base model: one of the provider's list by number or name, or any name where there is no list."""
    from orchestrator.app.model_listing import find_offered_models, find_priced_model

    models, reason = find_offered_models(file, session.settings, session.redact)
    if models:
        _print_models(models)
        return _choose_model(models)
    if reason:
        sys.stdout.write(f"The provider's models cannot be listed: {sanitize_line(reason)}\n")
    return _ask_text("Base model", find_priced_model(file.accounts[0].provider, session.settings))


def _print_models(models: Sequence[str]) -> None:
    sys.stdout.write("Models that the provider lists:\n")
    for number, model in enumerate(models[:MAX_MODELS_SHOWN], start=1):
        sys.stdout.write(f"  {number:>2}  {sanitize_line(model)}\n")
    if len(models) > MAX_MODELS_SHOWN:
        sys.stdout.write(f"  and {len(models) - MAX_MODELS_SHOWN} more, which you can enter by name\n")


def _choose_model(models: Sequence[str]) -> str:
    while True:
        answer = _ask_text("Base model (number or name)", "1" if len(models) == 1 else None)
        if answer.isdecimal() and 1 <= int(answer) <= len(models):
            return models[int(answer) - 1]
        if answer in models or typer.confirm("  The provider does not list this model. Use it anyway?"):
            return answer

"""Commands that call the fine-tuned models of a run: compare, ask."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.commands.filters import ActionRunOption
from orchestrator.cli.commands.help_layout import Panel
from orchestrator.cli.commands.root import JsonOption, WideOption, command
from orchestrator.cli.session import run_with_app
from orchestrator.core.comparison.quality import ScoringMethod

if TYPE_CHECKING:
    from orchestrator.app import App

ProbesOption = Annotated[int | None, typer.Option(min=2, help="Number of held-out examples, at most; default: 100.")]
ProbesFileOption = Annotated[
    Path | None, typer.Option(help="JSONL file of chats with reference answers, instead of held-out examples.")
]
ScoringOption = Annotated[ScoringMethod | None, typer.Option(help="How an answer is scored; default: text.")]
MaxUsdOption = Annotated[
    float | None, typer.Option(min=0, help="Stop before the questions cost more; confirms the price up to it.")
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Confirm the price, whatever it is.")]
MaxTokensOption = Annotated[int | None, typer.Option(min=1, help="Maximum length of an answer, in tokens.")]
NoBehaviourOption = Annotated[bool, typer.Option("--no-behaviour", help="Leave out the shipped questions.")]
NoTextsOption = Annotated[bool, typer.Option("--no-texts", help="Delete the texts of the answers at the end.")]
RoundGapOption = Annotated[float | None, typer.Option(min=0, help="Seconds between the two rounds; default: 300.")]
ReportOption = Annotated[
    Path | None, typer.Option(dir_okay=False, help="Write the result as one HTML file that needs no service.")
]
DeployOption = Annotated[
    bool,
    typer.Option("--deploy", help="Deploy the models that need it, and stop these deployments at the end."),
]
LatestOption = Annotated[bool, typer.Option("--latest", help="Show the latest result; call no model.")]


@command(
    panel=Panel.RESULTS,
    examples="""
        orchestrator compare --max-usd 2
        orchestrator compare --run support --probes 200 --scoring json --yes
        orchestrator compare --latest --json
        orchestrator compare --latest --report comparison.html
    """,
)
def compare(
    run: ActionRunOption = None,
    probes: ProbesOption = None,
    probes_file: ProbesFileOption = None,
    scoring: ScoringOption = None,
    max_usd: MaxUsdOption = None,
    yes: YesOption = False,
    max_output_tokens: MaxTokensOption = None,
    no_behaviour: NoBehaviourOption = False,
    no_texts: NoTextsOption = False,
    round_gap: RoundGapOption = None,
    deploy: DeployOption = False,
    latest: LatestOption = False,
    report: ReportOption = None,
    json: JsonOption = False,
    wide: WideOption = False,
) -> None:
    """Compare the models of a run: are they alike?

    Sends held-out examples, and questions that are shipped with the program, to each model twice. An interrupted
    comparison continues where it stopped. With --deploy a service must run: it creates and stops the deployments.
    Exit code 1: a model is different or not comparable.
    """
    options = {
        "probes": probes,
        "probes_file": str(probes_file.absolute()) if probes_file else None,
        "scoring": scoring,
        "max_usd": max_usd,
        "max_output_tokens": max_output_tokens,
        "round_gap_seconds": round_gap,
        "behaviour_probes": False if no_behaviour else None,
        "store_answers": False if no_texts else None,
        "deploy": True if deploy else None,
    }

    async def work(app: App) -> int:
        from orchestrator.cli.handlers import comparisons as handler

        if latest:
            return await handler.print_latest(app, run, as_json=json, wide=wide, report=report)
        return await handler.compare(
            app, run, options, is_confirmed=yes or max_usd is not None, as_json=json, wide=wide, report=report
        )

    run_with_app(work, for_reading=latest)


@command(
    panel=Panel.RESULTS,
    examples="""
        orchestrator ask "How do I reset my password?"
        orchestrator ask "Hello" acme-eu acme-us --system "Be brief." --json
    """,
)
def ask(
    question: Annotated[str, typer.Argument(help="The question, as a user would write it.")],
    accounts: Annotated[list[str] | None, typer.Argument(help="Accounts; default: all that have a model.")] = None,
    system: Annotated[str | None, typer.Option(help="System message before the question.")] = None,
    max_output_tokens: Annotated[int, typer.Option(min=1, help="Maximum length of an answer, in tokens.")] = 256,
    temperature: Annotated[float, typer.Option(min=0, max=2, help="0: the most likely answer.")] = 0.0,
    max_usd: Annotated[float | None, typer.Option(min=0, help="Refuse a question that may cost more.")] = None,
    run: ActionRunOption = None,
    json: JsonOption = False,
) -> None:
    """Ask the models of a run the same question."""

    async def work(app: App) -> int:
        from orchestrator.cli.handlers import comparisons as handler
        from orchestrator.core.inference import ChatQuestion

        messages = [{"role": "system", "content": system}] if system else []
        asked = ChatQuestion(
            messages=[*messages, {"role": "user", "content": question}],
            max_output_tokens=max_output_tokens,
            temperature=temperature,
        )
        return await handler.ask(app, run, accounts, asked, max_usd=max_usd, as_json=json)

    run_with_app(work)

"""The page "Try a prompt": one question to all or some models of a run, with the replies side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Self
from urllib.parse import parse_qs, urlencode

from orchestrator.core.comparison.answer import TEXT_OUTCOMES
from orchestrator.core.comparison.model_reply import ModelReply
from orchestrator.core.errors import ConfigError, DatasetError, Failure
from orchestrator.core.inference import ChatQuestion
from orchestrator.core.structs import Struct, replace
from orchestrator.core.text import format_count, format_usd
from orchestrator.dataset.browse.chat_display import Span, fold_spans
from orchestrator.web.dashboard.comparisons.answers_page import OUTCOME_TONES, OUTCOME_WORDS, mark_difference
from orchestrator.web.dashboard.comparisons.comparison_dialog import parse_usd
from orchestrator.web.dashboard.comparisons.result_view import COMPARISON_PATH
from orchestrator.web.problem import ProblemError

QUESTION_PATH: Final = f"{COMPARISON_PATH}/ask"
MAX_LISTED_ACCOUNTS: Final = 500
MAX_QUESTION_CHARACTERS: Final = 20_000
MAX_OUTPUT_TOKENS: Final = 4096
DEFAULT_OUTPUT_TOKENS: Final = 256
QUESTION_ERRORS: Final = (ProblemError, ConfigError, DatasetError)
_FIX: Final = "Correct it, then send the question again."


class QuestionForm(Struct, frozen=True, kw_only=True):
    """The form as it was filled in."""

    run: str = ""
    question: str = ""
    system: str = ""
    asks_all: bool = True
    accounts: tuple[str, ...] = ()
    max_output_tokens: str = str(DEFAULT_OUTPUT_TOKENS)
    max_usd: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a form body."""
        fields = parse_qs(text)
        first = {name: values[0] for name, values in fields.items()}
        return cls(
            run=first.get("run", ""),
            question=first.get("question", "").strip(),
            system=first.get("system", "").strip(),
            asks_all=first.get("scope", "") == "all",
            accounts=tuple(fields.get("account", ())),
            max_output_tokens=first.get("max_output_tokens", str(DEFAULT_OUTPUT_TOKENS)).strip(),
            max_usd=first.get("max_usd", "").strip(),
        )

    def build_question(self) -> tuple[ChatQuestion, tuple[str, ...] | None, float | None]:
        """Return the question, the accounts (None: all) and the limit. Raises ProblemError (422)."""
        if not self.question or len(self.question) + len(self.system) > MAX_QUESTION_CHARACTERS:
            problem = f"The question must have from 1 to {MAX_QUESTION_CHARACTERS} characters."
            raise ProblemError(422, problem, _FIX)
        if "\0" in self.question + self.system + "".join(self.accounts) + self.run:
            raise ProblemError(422, "The form contains a NUL character.", _FIX)
        if not self.asks_all and not self.accounts:
            raise ProblemError(422, "No models are selected.", "Select accounts, or all models.")
        tokens = self.max_output_tokens
        if not (tokens.isascii() and tokens.isdigit() and len(tokens) < 6 and 1 <= int(tokens) <= MAX_OUTPUT_TOKENS):
            raise ProblemError(422, f"The length of an answer must be from 1 to {MAX_OUTPUT_TOKENS} tokens.", _FIX)
        messages = [{"role": "system", "content": self.system}] if self.system else []
        return (
            ChatQuestion(
                messages=[*messages, {"role": "user", "content": self.question}], max_output_tokens=int(tokens)
            ),
            None if self.asks_all else self.accounts,
            parse_usd(self.max_usd) if self.max_usd else None,
        )


class ReplyCard(Struct, frozen=True, kw_only=True):
    """One reply with the models that gave it, each with its tokens, seconds and price."""

    number: int
    outcome: str
    tone: str
    is_common: bool
    models: tuple[tuple[str, str], ...]
    head: tuple[Span, ...]
    rest: tuple[Span, ...]
    note: str


class QuestionPage(Struct, frozen=True, kw_only=True):
    """View of the page."""

    form: QuestionForm
    back: str
    accounts: tuple[str, ...]
    cards: tuple[ReplyCard, ...] = ()
    summary: str = ""
    problem: Failure | None = None

    def with_problem(self, problem: ProblemError) -> QuestionPage:
        """Return the page with the reason why no model was asked."""
        return replace(self, problem=Failure("refused", problem.detail, problem.hint))

    def with_replies(self, replies: Sequence[ModelReply]) -> QuestionPage:
        """Return the page with the replies."""
        return replace(self, cards=build_reply_cards(replies), summary=_summarise(replies))


def build_question_page(form: QuestionForm, accounts: Sequence[str]) -> QuestionPage:
    """Build the page with the form. `accounts` are those with a model."""
    back = f"{COMPARISON_PATH}?{urlencode({'run': form.run})}" if form.run else COMPARISON_PATH
    return QuestionPage(form=form, back=back, accounts=tuple(accounts))


def to_problem(error: Exception) -> ProblemError:
    """Return the error in the form that a page shows."""
    if isinstance(error, ProblemError):
        return error
    assert isinstance(error, (ConfigError, DatasetError))
    return ProblemError(409, f"{error.message[:1].upper()}{error.message[1:]}.", error.hint)


def build_reply_cards(replies: Sequence[ModelReply]) -> tuple[ReplyCard, ...]:
    """Build one card for each different reply, the most common one first and failures last."""
    groups: dict[tuple[str, str], list[ModelReply]] = {}
    for each in replies:
        groups.setdefault((each.outcome.value, each.text), []).append(each)
    ordered = sorted(groups.values(), key=lambda group: (group[0].reply is None, -len(group), group[0].model.account))
    return tuple(_build_card(number, group, ordered[0]) for number, group in enumerate(ordered, start=1))


def _build_card(number: int, group: Sequence[ModelReply], common: Sequence[ModelReply]) -> ReplyCard:
    first = group[0]
    spans: tuple[Span, ...] = (Span(first.text),) if first.text else ()
    note = ""
    if group is not common and {first.outcome, common[0].outcome} <= TEXT_OUTCOMES:
        spans, note = mark_difference(common[0].text, first.text)
    head, rest = fold_spans(first.text, spans)
    return ReplyCard(
        number=number,
        outcome=OUTCOME_WORDS[first.outcome],
        tone=OUTCOME_TONES.get(first.outcome, "warn"),
        is_common=group is common and len(group) > 1,
        models=tuple((each.model.account, _format_facts(each)) for each in group),
        head=head,
        rest=rest,
        note=note,
    )


def _format_facts(reply: ModelReply) -> str:
    facts = []
    if reply.reply is not None and reply.reply.output_tokens is not None:
        facts.append(format_count(reply.reply.output_tokens, "token"))
    if reply.seconds is not None:
        facts.append(f"{reply.seconds:.1f} s")
    if reply.reply is not None:
        facts.append("price unknown" if reply.usd is None else f"${reply.usd:.6f}")
    return ", ".join(facts)


def _summarise(replies: Sequence[ModelReply]) -> str:
    failed = sum(each.reply is None for each in replies)
    known = [each.usd for each in replies if each.usd is not None]
    parts = [format_count(len(replies), "model")]
    parts += [f"{failed} failed"] if failed else []
    parts += [f"{format_usd(sum(known))} together" if len(known) == len(replies) - failed else "price unknown"]
    return ", ".join(parts)

"""Price: why there is none, and only what helps is proposed."""

from __future__ import annotations

from datetime import date

import pytest
from core_values import DATASET, SPEC, an_account

from orchestrator.core.account import ProviderName
from orchestrator.core.plans.plan import DatabaseState, build_plan
from orchestrator.core.plans.price import Price, UnknownPriceReason, quote_from_price_file
from orchestrator.core.spec import RunOptions

PRICE = Price(usd_per_million_tokens=1.0, as_of=date(2026, 1, 1), source="a page")
APPROVE = "et `allow_unknown_price = true` for run support, or `orchestrator approve` the run."


@pytest.mark.parametrize(
    ("tokens", "epochs", "price", "uncounted", "reason", "hint"),
    [
        (
            None,
            3,
            PRICE,
            UnknownPriceReason.UNCOUNTABLE_CONTENT,
            "the token count of pictures and tools is not published",
            f"S{APPROVE}",
        ),
        (None, 3, None, UnknownPriceReason.DPO_NOT_LISTED, "the prices file has no prices for dpo", f"S{APPROVE}"),
        (
            None,
            3,
            PRICE,
            UnknownPriceReason.NO_TOKENIZER,
            "no tokenizer is known for it",
            f"Name a tokenizer file as `tokenizer`, s{APPROVE}",
        ),
        (
            9,
            "auto",
            None,
            UnknownPriceReason.UNCOUNTABLE_CONTENT,
            "the prices file has no price for it; the provider chooses n_epochs",
            f"Add its price to a prices file, give n_epochs as a number, s{APPROVE}",
        ),
    ],
)
def test_unknown_price_has_a_reason_and_useful_hints(
    tokens: int | None, epochs: int, price: Price | None, uncounted: UnknownPriceReason, reason: str, hint: str
) -> None:
    quote = quote_from_price_file(tokens, epochs, price, uncounted=uncounted)
    hold = build_plan(
        [an_account()],
        {ProviderName.OPENAI: SPEC},
        DATASET,
        RunOptions(name="support"),
        prices={ProviderName.OPENAI: quote},
        database_state=DatabaseState(jobs={}, account_states={}, committed_usd={}, run=None),
    ).hold
    assert hold is not None
    assert hold.reason == f"the price is not known for openai {SPEC.base_model} ({reason})"
    assert hold.hint == hint


def test_a_known_price_has_no_reason() -> None:
    quote = quote_from_price_file(1_000_000, 3, PRICE)
    assert (quote.usd, quote.unknown_price_reasons) == (3.0, ())

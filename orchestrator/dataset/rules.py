"""Rules: what the check asks for and how the dataset is built. One value, made from the accounts file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.core.account import ProviderName
from orchestrator.core.spec import Method

DEFAULT_MINIMUM_EXAMPLES = 10  # OpenAI's; `core.capabilities` knows those of the listed accounts


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetRules:
    """`fetch_base_models` and `providers` are those of the listed accounts.

    `validation_path` is a validation set of the operator's own; its files are not trained with, wherever they lie.
    Tokens are counted for each base model, with its tokenizer if given. Without an accounts file the rules of OpenAI
    hold, whose format it is. Without a `method` the first example decides what the others must be: chats or
    preference pairs.
    """

    minimum_examples: int = DEFAULT_MINIMUM_EXAMPLES
    method: Method | None = "supervised"
    providers: tuple[ProviderName, ...] = (ProviderName.OPENAI,)
    base_models: tuple[str, ...] = ()
    tokenizers: Mapping[str, Path] = field(default_factory=dict)
    validation_fraction: float = 0.0
    validation_path: Path | None = None
    seed: int = 0

    def validation_size(self, examples: int) -> int:
        """How many examples go into the validation part: at least one if any are wanted, and never all."""
        if not self.validation_fraction or examples < 2:
            return 0
        return min(max(1, round(examples * self.validation_fraction)), examples - 1)

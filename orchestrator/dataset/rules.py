"""The rules by which a dataset is checked and built. They are created from the accounts file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from orchestrator.core.account import ProviderName
from orchestrator.core.spec import Method
from orchestrator.core.structs import Struct, field

DEFAULT_MINIMUM_EXAMPLES = 10  # OpenAI's minimum; `core.capabilities` has those of all providers


class DatasetRules(Struct, frozen=True, kw_only=True):
    """The rules of one check or build. The defaults are OpenAI's, for a check without an accounts file."""

    minimum_examples: int = DEFAULT_MINIMUM_EXAMPLES  # training examples, after the validation split
    method: Method | None = "supervised"  # None: the first example decides between chats and preference pairs
    providers: tuple[ProviderName, ...] = (ProviderName.OPENAI,)  # of the accounts; their rules are checked
    base_models: tuple[str, ...] = ()  # of the accounts; tokens are counted for each
    tokenizers: Mapping[str, Path] = field(default_factory=dict)  # tokenizer.json by base model, for open models
    validation_fraction: float = 0.0  # share of the examples that is held out, 0 to below 1
    validation_path: Path | None = None  # the operator's validation set; its files are never used for training
    seed: int = 0  # of the shuffle that chooses the validation examples

    def validation_size(self, examples: int) -> int:
        """Return the number of validation examples for so many examples: at least one if requested, and never all."""
        if not self.validation_fraction or examples < 2:
            return 0
        return min(max(1, round(examples * self.validation_fraction)), examples - 1)

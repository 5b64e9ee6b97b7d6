"""Response models of the examples of a dataset and of the difference between two datasets."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from orchestrator.dataset.browse.example_library import BrowsedExample
from orchestrator.web.api.schemas.jobs_and_runs import ApiModel, Count

DifferenceKind = Literal["changed", "added", "removed"]


class ExampleSchema(ApiModel):
    """One example of a dataset. The content of `body` is what the dataset has, unchanged: never render it as HTML."""

    number: int = Field(ge=1, description="Position in the dataset, from 1.")
    tokens: Count = Field(description="Tokens of the example; an estimate with pictures, tools or preference pairs.")
    turns: Count = Field(description="Number of user messages.")
    findings: list[str] = Field(description="Codes of the warnings of this example.")
    body: dict[str, Any] = Field(description="The line of the JSONL file, as JSON.")

    @classmethod
    def from_example(cls, example: BrowsedExample) -> ExampleSchema:
        return cls(
            number=example.number,
            tokens=example.tokens,
            turns=example.turns,
            findings=list(example.findings),
            body=example.body,
        )


class ExamplePageSchema(ApiModel):
    """A page of examples, in the order of the dataset."""

    examples: list[ExampleSchema]
    total: Count = Field(description="Number of examples that match, so far if the search is not complete.")
    complete: bool = Field(description="False while a search continues. Request again to get the other matches.")
    next: int | None = Field(description="Value of `after` for the next page; null on the last page.")


class ExamplePairSchema(ApiModel):
    """An example in both datasets; null where it does not exist."""

    old: ExampleSchema | None
    new: ExampleSchema | None


class DifferenceSchema(ApiModel):
    """The difference between two datasets, and a page of its examples of one kind."""

    old_sha256: str
    new_sha256: str
    changed: Count = Field(description="Examples whose first user message is equal and whose other content differs.")
    added: Count
    removed: Count
    unchanged: Count
    kind: DifferenceKind = Field(description="Kind of the examples of this page.")
    pairs: list[ExamplePairSchema]
    next: int | None = Field(description="Value of `after` for the next page; null on the last page.")

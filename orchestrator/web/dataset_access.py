"""Opens datasets for the dashboard and the API. The library blocks on files, so call these functions in a thread."""

from __future__ import annotations

from orchestrator.dataset.browse.example_library import ExampleLibrary, OpenDataset
from orchestrator.status import DatasetView


def get_base_model(view: DatasetView) -> str:
    """Return the base model whose tokens are counted: the first of the newest run with the dataset."""
    specs = view.runs[0].run.specs
    return str(next(iter(specs.values()))["base_model"]) if specs else ""


def open_dataset(library: ExampleLibrary | None, view: DatasetView) -> OpenDataset | None:
    """Open the training file of a dataset; None if it cannot be shown, or not yet."""
    if library is None:
        return None
    return library.find_dataset(view.training_sha256, get_base_model(view))


def is_on_this_machine(library: ExampleLibrary | None, view: DatasetView) -> bool:
    """Return whether the training file of a dataset is on this machine."""
    return library is not None and library.has_file(view.training_sha256)


def describe_missing_index(library: ExampleLibrary | None, view: DatasetView) -> str:
    """Return why the examples of a dataset are not shown."""
    if library is None or not is_on_this_machine(library, view):
        return (
            "The JSONL file of this dataset is not on this machine. `orchestrator plan` builds the current one again."
        )
    if library.has_failed(view.training_sha256):
        return "The index of the examples could not be built. Check the log of the service and the free disk space."
    return "The index of the examples is being built. This page updates itself when it is ready."

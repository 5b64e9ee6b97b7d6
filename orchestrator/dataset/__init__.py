"""Dataset: chats to findings, and to canonical JSONL that no provider refuses.

The way of the data: files → decoding → reading (formats) → checks → canonical → files named by their hash. Whatever
is on disk becomes an example or a finding; nothing is dropped silently and nothing raises but `DatasetError`. The
room streams: it never holds the dataset in memory. It opens no network connection and keeps no state; callers run it
in a thread, and the service in a process of its own (`apart`).
"""

from orchestrator.dataset.building import Built, build
from orchestrator.dataset.checking import check
from orchestrator.dataset.files import fingerprint
from orchestrator.dataset.polishing import ALL, PolishedFile, Wishes, polish, write_polished
from orchestrator.dataset.prices import Prices, load_prices
from orchestrator.dataset.rules import Rules
from orchestrator.dataset.summary import Checked, FileSummary, Histogram, Summary

__all__ = [
    "ALL",
    "Built",
    "Checked",
    "FileSummary",
    "Histogram",
    "PolishedFile",
    "Prices",
    "Rules",
    "Summary",
    "Wishes",
    "build",
    "check",
    "fingerprint",
    "load_prices",
    "polish",
    "write_polished",
]

"""How `make acceptance` distributes its tests: the longest begin first, and those of a browser share a process.

A long test that begins late keeps one process busy while the others have nothing to do any more. The tests named here
mostly wait, for the end of an intent or of a deployment, so the browsers work meanwhile.

The marker `xdist_group` cannot form the groups: pytest-xdist 3.8 appends a group to `item._nodeid`, which pytest 9.2
does not read.
"""

from __future__ import annotations

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

BROWSER_GROUPS = {
    "test_dashboard.py": "dashboard",
    "test_comparison_page.py": "dashboard",
    "test_dashboard_runs.py": "dashboard-more",
    "test_dashboard_actions.py": "dashboard-more",
    "test_dataset_page.py": "dashboard-more",
}
LONGEST = (
    "test_chaos.py::test_kills_leave_one_deployment",
    "test_all_models_answer.py::",
    "test_replicas.py::test_replica_frozen",
    "test_chaos.py::test_three_runs",
    "test_chaos.py::",
    "test_replicas.py::",
    "test_shutdown.py::",
    "test_six_providers.py::",
    "test_bucket_uploads.py::",
    "test_database_outage.py::",
    "test_database_full.py::",
    "test_tutorial.py::",
    "test_key_leaks.py::",
    "test_clock_change.py::",
    "test_restart_after_kill.py::",
    "test_compare_command.py::",
    "test_run_moderation.py::test_service_works",
    "test_azure_sdk.py::",
    "test_half_sent_requests.py::",
)


def create_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each test to the next free worker, but a group of browser tests to one; the groups are the first."""
    scheduler = LoadScopeScheduling(config, log)
    scheduler._split_scope = find_group
    return scheduler


def find_group(nodeid: str) -> str:
    """Return what the tests of a group have in common; another test is a group of its own."""
    return BROWSER_GROUPS.get(nodeid.partition("::")[0].rpartition("/")[2], nodeid)


def sort_longest_first(items: list[pytest.Item]) -> None:
    """Sort the tests; the others keep their order."""
    items.sort(key=lambda item: next((at for at, part in enumerate(LONGEST) if part in item.nodeid), len(LONGEST)))

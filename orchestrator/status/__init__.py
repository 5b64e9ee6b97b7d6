"""Status: what anyone may see. One read model for command line, API, dashboard, metrics and exports.

`look` is the whole picture, every job in it; `glance` and `list_jobs` let the database choose and count, for those
who show a part. A read never changes anything.
"""

from orchestrator.status.access import tokens
from orchestrator.status.account import AccountView, Entry, RunJob, read_account
from orchestrator.status.asking import asked
from orchestrator.status.curves import curves, losses_of_job, losses_of_run
from orchestrator.status.history import DatasetRow, DatasetView, RunLine, list_runs, read_dataset
from orchestrator.status.listing import HELD, Cause, Glance, Listing, Share, glance, list_jobs, names
from orchestrator.status.tally import Tally, tally
from orchestrator.status.views import Health, JobView, RunView, Status, iso, plain
from orchestrator.status.whole import SCHEMA, as_json, look

__all__ = [
    "HELD",
    "SCHEMA",
    "AccountView",
    "Cause",
    "DatasetRow",
    "DatasetView",
    "Entry",
    "Glance",
    "Health",
    "JobView",
    "Listing",
    "RunJob",
    "RunLine",
    "RunView",
    "Share",
    "Status",
    "Tally",
    "as_json",
    "asked",
    "curves",
    "glance",
    "iso",
    "list_jobs",
    "list_runs",
    "look",
    "losses_of_job",
    "losses_of_run",
    "names",
    "plain",
    "read_account",
    "read_dataset",
    "tally",
    "tokens",
]

"""Status: what anyone may see. One read model for command line, API, dashboard, metrics and exports.

`look` is the whole picture, every job in it; `glance` and `list_jobs` let the database choose and count, for those
who show a part. A read never changes anything.
"""

from orchestrator.status.access import tokens
from orchestrator.status.account import AccountLine, AccountView, Entry, RunJob, list_accounts, read_account, read_job
from orchestrator.status.asking import Asked, asked
from orchestrator.status.curves import curves, losses_of_job
from orchestrator.status.document import Document
from orchestrator.status.happened import Line, events_after, newest_event
from orchestrator.status.history import DatasetRow, DatasetView, RunLine, list_datasets, list_runs, read_dataset
from orchestrator.status.listing import HELD, Cause, Glance, Listing, Share, glance, list_jobs
from orchestrator.status.moderation import describe_moderation, iso
from orchestrator.status.tally import Tally, tally
from orchestrator.status.telling import count_dead, count_deliveries, deliveries
from orchestrator.status.views import Health, JobView, RunView, Status, plain
from orchestrator.status.whole import SCHEMA, as_json, look

__all__ = [
    "HELD",
    "SCHEMA",
    "AccountLine",
    "AccountView",
    "Asked",
    "Cause",
    "DatasetRow",
    "DatasetView",
    "Document",
    "Entry",
    "Glance",
    "Health",
    "JobView",
    "Line",
    "Listing",
    "RunJob",
    "RunLine",
    "RunView",
    "Share",
    "Status",
    "Tally",
    "as_json",
    "asked",
    "count_dead",
    "count_deliveries",
    "curves",
    "deliveries",
    "describe_moderation",
    "events_after",
    "glance",
    "iso",
    "list_accounts",
    "list_datasets",
    "list_jobs",
    "list_runs",
    "look",
    "losses_of_job",
    "newest_event",
    "plain",
    "read_account",
    "read_dataset",
    "read_job",
    "tally",
    "tokens",
]

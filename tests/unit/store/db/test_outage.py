"""An outage is said once, however many meet it, and its end once."""

import sqlite3
from contextlib import closing

import pytest
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from orchestrator.core.errors import DatabaseUnavailable
from orchestrator.store.db.outage import Outage, find_hint


def test_outage_logs_its_start_and_end_once() -> None:
    with capture_logs() as said:
        outage = Outage()
        outage.end()
        for number in range(5):
            outage.begin(OSError(f"disk full {number}"))
        reasons = [outage.reason]
        outage.end()
        outage.end()
        reasons.append(outage.reason)
        outage.begin(TimeoutError())
    assert reasons == ["disk full 0", None]
    assert [(line["event"], line.get("message")) for line in said] == [
        ("database.unreachable", "disk full 0"),
        ("database.recovered", None),
        ("database.unreachable", "TimeoutError"),
    ]


@pytest.mark.parametrize(
    ("pragma", "hint"), [("max_page_count = 2", "Free space on the disk"), ("query_only = 1", "write access")]
)
def test_hint_about_a_full_disk_or_a_missing_permission_fits(pragma: str, hint: str) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE t (x)")
        connection.execute(f"PRAGMA {pragma}")
        with pytest.raises(sqlite3.OperationalError) as full:
            connection.execute("INSERT INTO t VALUES (zeroblob(100000))")
    wrapped = OperationalError("INSERT", {}, full.value)
    wrapped.__cause__ = full.value
    reported = DatabaseUnavailable("the database cannot be used")
    reported.__cause__ = wrapped
    assert hint in find_hint(reported)
    assert find_hint(OSError("disk full")) == ""

"""A PostgreSQL database that a test has used is lent to another only if its tables are as they were, and empty."""

from __future__ import annotations

import pytest
from postgres import Postgres

ADD_EVENT = "INSERT INTO events (at, cause, note) VALUES (1, 'test', 'step') RETURNING id"


def test_database_is_lent_again_without_its_rows(postgres: Postgres, postgres_template: str) -> None:
    # A new database: autovacuum may change the tables of one that other tests have filled, which is dropped then.
    lender = Postgres(postgres.url)
    first = lender.lend(postgres_template)
    [[first_id]] = lender.execute(ADD_EVENT, first)
    lender.take_back(first, postgres_template)
    second = lender.lend(postgres_template)
    assert second == first
    assert lender.execute("SELECT id FROM events", second) == []
    [[second_id]] = lender.execute(ADD_EVENT, second)
    assert second_id == first_id, "the numbers start again"
    lender.drop(second)


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE events ADD COLUMN mood TEXT",
        "DROP INDEX ix_events_account",
        "CREATE TABLE moods (mood TEXT)",
        "ANALYZE events",
        "UPDATE alembic_version SET version_num = '0000'",
    ],
)
def test_database_with_other_tables_is_not_lent_again(
    postgres: Postgres, postgres_template: str, change: str
) -> None:
    changed = postgres.lend(postgres_template)
    postgres.execute(change, changed)
    postgres.take_back(changed, postgres_template)
    other = postgres.lend(postgres_template)
    assert other != changed
    postgres.take_back(other, postgres_template)

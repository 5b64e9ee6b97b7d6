"""A column among some values: one statement on PostgreSQL, the usual one on SQLite."""

from __future__ import annotations

from sqlalchemy import Column, Dialect, MetaData, String, Table, select
from sqlalchemy.dialects import postgresql, sqlite

from orchestrator.store.db.any_of import any_of

things = Table("things", MetaData(), Column("name", String))


def sql(dialect: Dialect, names: list[str]) -> str:
    statement = select(things).where(any_of(things.c.name, "names"))
    return " ".join(str(statement.params(names=names).compile(dialect=dialect)).split())


def test_postgresql_condition_has_one_array_parameter() -> None:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]

    assert sql(dialect, ["a"]) == sql(dialect, ["a", "b", "c"])
    assert sql(dialect, ["a"]).endswith("WHERE things.name = ANY (%(names)s::VARCHAR[])")


def test_sqlite_condition_is_a_plain_in_clause() -> None:
    assert sql(sqlite.dialect(), ["a", "b"]).endswith("WHERE things.name IN (__[POSTCOMPILE_names])")

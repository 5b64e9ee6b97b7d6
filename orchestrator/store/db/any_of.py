"""Among: whether a column has one of some values, on PostgreSQL as one statement however many they are.

SQLAlchemy's own `IN` is another statement for each number of values, and there every connection prepares and keeps
each of them. SQLite's planner likes nothing better.
"""

from __future__ import annotations

from typing import Any, Self

from sqlalchemy import ARRAY, Boolean, Column, FunctionElement, String, bindparam
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler


class any_of(FunctionElement[bool]):
    """Whether the column's text is among those bound as `name`."""

    type = Boolean()
    inherit_cache = True

    def __init__(self, column: Column[str], name: str) -> None:
        super().__init__(column, bindparam(name, type_=ARRAY(String)))
        self.in_clause = column.in_(bindparam(name, expanding=True))

    def self_group(self, against: object = None) -> Self:
        return self  # a condition by itself: SQLite's planner sees no index in `… = 1`


@compiles(any_of)
def _on_sqlite(element: any_of, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.in_clause, **options)


@compiles(any_of, "postgresql")
def _on_postgresql(element: any_of, compiler: SQLCompiler, **options: Any) -> str:
    column, texts = (compiler.process(part, **options) for part in element.clauses)
    return f"{column} = ANY ({texts})"

"""The SQL condition "the column has one of these values", with the values bound as one parameter.

SQLAlchemy's `IN` compiles to another statement for each number of values, and on PostgreSQL every connection prepares
and keeps each of them; `= ANY(array)` is one statement. SQLite has no arrays, and its planner handles `IN` best.
"""

from __future__ import annotations

from typing import Any, Self

from sqlalchemy import ARRAY, Boolean, Column, FunctionElement, String, bindparam
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler


class any_of(FunctionElement[bool]):
    """True where the column's text is one of those bound as the list parameter `name`."""

    type = Boolean()
    inherit_cache = True

    def __init__(self, column: Column[str], name: str) -> None:
        super().__init__(column, bindparam(name, type_=ARRAY(String)))
        self.in_clause = column.in_(bindparam(name, expanding=True))

    def self_group(self, against: object = None) -> Self:
        return self  # SQLAlchemy would render `… = 1`, for which SQLite's planner finds no index


@compiles(any_of)
def _on_sqlite(element: any_of, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.in_clause, **options)


@compiles(any_of, "postgresql")
def _on_postgresql(element: any_of, compiler: SQLCompiler, **options: Any) -> str:
    column, texts = (compiler.process(part, **options) for part in element.clauses)
    return f"{column} = ANY ({texts})"

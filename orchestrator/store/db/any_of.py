"""The SQL condition "the column has one of these values", with the values bound as one parameter.

SQLAlchemy's `IN` compiles to another statement for each number of values, and on PostgreSQL every connection prepares
and keeps each of them; `= ANY(array)` is one statement. SQLite has no arrays, and its planner handles `IN` best.

`IN` also has a limit: PostgreSQL's driver refuses more than 32,767 values, and SQLite as many as it was compiled for.
`is_one_of` has none, for lists that grow with the accounts file or come from a request.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any, Self

from sqlalchemy import ARRAY, Boolean, Column, FunctionElement, String, Text, bindparam
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


class is_one_of(FunctionElement[bool]):
    """True where the column has one of these values, of which there may be any number."""

    type = Boolean()
    inherit_cache = True

    def __init__(self, column: Column[Any], values: Collection[str] | Collection[int]) -> None:
        listed = list(values)
        array = bindparam(None, listed, type_=ARRAY(column.type), unique=True)
        super().__init__(column, array, bindparam(None, json.dumps(listed), type_=Text, unique=True))

    def self_group(self, against: object = None) -> Self:
        return self  # as above


@compiles(is_one_of)
def _on_sqlite_as_json(element: is_one_of, compiler: SQLCompiler, **options: Any) -> str:
    column, _, values = element.clauses
    column_text, values_text = (compiler.process(part, **options) for part in (column, values))
    return f"{column_text} IN (SELECT value FROM json_each({values_text}))"


@compiles(is_one_of, "postgresql")
def _on_postgresql_as_array(element: is_one_of, compiler: SQLCompiler, **options: Any) -> str:
    column, values, _ = element.clauses
    return f"{compiler.process(column, **options)} = ANY ({compiler.process(values, **options)})"

"""The database. Only this package knows SQL.

`db` opens connections and commits transactions, `schema` defines the tables, `queries` reads and writes them. Reads
return values of core. No network call happens inside a transaction.
"""

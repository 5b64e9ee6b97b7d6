"""Store: the only room that knows SQL. One file per aggregate; every query lives here and takes a connection.

Reads come as values of core. Writes go through `Database.write`, which puts what arrives together into one
transaction. No network call happens while a connection is held.
"""

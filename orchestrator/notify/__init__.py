"""Alerts: what goes out to those who asked to be told, programs and people.

One attempt each: nothing here waits, repeats or remembers. Why an attempt failed comes back as a text without keys;
what follows from it is decided elsewhere.
"""

"""Dashboard: the pages for people. A module a page: what it shows as a value of its own, and its template's name.

Only what is shown is in a view: two equal views are the same page, which a poll need not be sent again.
"""

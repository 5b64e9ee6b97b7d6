"""Web: a door. It shows what `status` says to whoever may look, and passes on to `control` what an operator asks.

Answers come from the same read model as the command line's. `dashboard` turns it into pages, `door` says who may come
in, `guard` stands before every route. The browser gets plain HTML that works without scripts; what scripts add is
committed in `static/`, and nothing is loaded from another host.
"""

"""Hypothesis: the same examples every time, so that a red build is red for everybody.

`HYPOTHESIS_PROFILE=search` looks for new ones.
"""

from __future__ import annotations

import os

from hypothesis import Phase, settings

settings.register_profile("floor", max_examples=100, deadline=None, derandomize=True)
settings.register_profile("search", max_examples=5000, deadline=None)
settings.register_profile(  # of tests/mutation: any failure will do, so it is not made smaller
    "mutation", parent=settings.get_profile("floor"), database=None, phases=(Phase.explicit, Phase.generate)
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "floor"))

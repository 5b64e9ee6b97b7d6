"""How many examples a fuzzing test tries: few and always the same ones, or new ones in a campaign (fuzz.py)."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

IS_CAMPAIGN = os.environ.get("HYPOTHESIS_PROFILE") == "search"
FUZZING = settings(
    max_examples=3_000 if IS_CAMPAIGN else 60,
    derandomize=not IS_CAMPAIGN,  # a red build is red for everybody
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)

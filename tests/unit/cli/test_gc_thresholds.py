"""The garbage collector does not search the modules of a short command."""

from __future__ import annotations

import gc

from orchestrator.cli import FIRST_GC_THRESHOLD_OBJECTS, GC_THRESHOLD_OBJECTS, set_gc_thresholds


def test_threshold_is_high_until_the_first_collection() -> None:
    before = gc.get_threshold()
    try:
        set_gc_thresholds()
        assert gc.get_threshold()[0] == FIRST_GC_THRESHOLD_OBJECTS
        gc.collect(0)
        assert gc.get_threshold()[0] == GC_THRESHOLD_OBJECTS
        gc.set_threshold(*before)
        gc.collect(0)
        assert gc.get_threshold() == before
    finally:
        gc.set_threshold(*before)

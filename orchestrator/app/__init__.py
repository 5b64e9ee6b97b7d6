"""App: wiring. Builds everything once from the settings, owns the clock, knows every concrete class."""

from orchestrator.app.clock import SystemClock
from orchestrator.app.database import has_database, sole_owner
from orchestrator.app.wiring import App, open_app

__all__ = ["App", "SystemClock", "has_database", "open_app", "sole_owner"]

"""App: wiring. Builds everything once from the settings, owns the clock, knows every concrete class."""

from orchestrator.app.clock import SystemClock
from orchestrator.app.database import has_database, sole_owner
from orchestrator.app.wiring import App, open_app, open_app_to_read

__all__ = ["App", "SystemClock", "has_database", "open_app", "open_app_to_read", "sole_owner"]

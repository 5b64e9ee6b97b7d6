"""App: wiring. Builds everything once from the settings, owns the clock, knows every concrete class."""

from orchestrator.app.clock import SystemClock
from orchestrator.app.database import exclusive_database_lock, has_database
from orchestrator.app.wiring import App, open_app, open_app_for_reading

__all__ = ["App", "SystemClock", "exclusive_database_lock", "has_database", "open_app", "open_app_for_reading"]

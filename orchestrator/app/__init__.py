"""The application: creates every part once from the settings, connects the parts, and closes them.

This is the only package that knows all concrete classes. The command line calls it; nothing below imports it.
"""

from orchestrator.app.app_context import open_app, open_app_for_reading
from orchestrator.app.clock import SystemClock
from orchestrator.app.database import exclusive_database_lock, has_database
from orchestrator.app.wiring import App

__all__ = ["App", "SystemClock", "exclusive_database_lock", "has_database", "open_app", "open_app_for_reading"]

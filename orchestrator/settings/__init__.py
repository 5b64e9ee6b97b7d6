"""The settings of one process. Their names are `ORCHESTRATOR_` and the field's name in capitals.

They come from the environment, and those that are not set there from the file that `ORCHESTRATOR_SETTINGS_FILE`
names. A secret can have a file of its own, as containers provide them: `ORCHESTRATOR_TOKEN_FILE` names the token's.
"""

from orchestrator.settings.loader import EffectiveSetting, list_effective_settings, list_setting_names, load_settings
from orchestrator.settings.model import PREFIX, Settings, format_database_label
from orchestrator.settings.sources import OPTIONS_WITH_FILE

__all__ = [
    "OPTIONS_WITH_FILE",
    "PREFIX",
    "EffectiveSetting",
    "Settings",
    "format_database_label",
    "list_effective_settings",
    "list_setting_names",
    "load_settings",
]

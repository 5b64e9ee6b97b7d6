"""Settings: what one process is told. The names are `ORCHESTRATOR_` and the field in capitals.

They come from the environment; what is not there may come from the file that `ORCHESTRATOR_SETTINGS_FILE` names. A
secret can have a file to itself, as containers hand them in: `ORCHESTRATOR_TOKEN_FILE` names the token's.
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

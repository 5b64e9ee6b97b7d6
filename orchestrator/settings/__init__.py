"""Settings: what one process is told. The names are `ORCHESTRATOR_` and the field in capitals.

They come from the environment; what is not there may come from the file that `ORCHESTRATOR_SETTINGS_FILE` names. A
secret can have a file to itself, as containers hand them in: `ORCHESTRATOR_TOKEN_FILE` names the token's.
"""

from orchestrator.settings.model import PREFIX, Settings, database_label
from orchestrator.settings.reading import InForce, in_force, known_names, load_settings
from orchestrator.settings.sources import FROM_FILE

__all__ = ["FROM_FILE", "PREFIX", "InForce", "Settings", "database_label", "in_force", "known_names", "load_settings"]

"""Reads a service through a client that was generated from its OpenAPI document, and prints what it saw as JSON.

Run by the environment of the clients, which is not ours: `drive_api.py ADDRESS`, beside the package `generated`.
"""

from __future__ import annotations

import json
import sys
from typing import Any

sys.path.insert(0, ".")
from generated import Client  # type: ignore[import-not-found]
from generated.api.events import events  # type: ignore[import-not-found]
from generated.api.jobs import jobs  # type: ignore[import-not-found]
from generated.api.models import export_models, models  # type: ignore[import-not-found]
from generated.models.export_models_format import ExportModelsFormat  # type: ignore[import-not-found]

client: Any = Client(base_url=sys.argv[1], raise_on_unexpected_status=True)
told = {
    "models": [model.fine_tuned_model for model in models.sync(client=client).models],
    "jobs": [str(job.state) for job in jobs.sync(client=client).jobs],
    "events": len(events.sync(client=client).events),
    "exports": {str(form): export_models.sync(client=client, format_=form) for form in ExportModelsFormat},
}
json.dump(told, sys.stdout)

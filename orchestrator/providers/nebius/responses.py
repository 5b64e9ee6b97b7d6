"""The fields of Nebius' responses about custom models that are used."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from orchestrator.providers.http.response_decoder import ListPage, RemoteId, RemoteIdOrEmpty, StatusWord


class NebiusModel(msgspec.Struct):
    """A custom model. Its name is chosen by Nebius: ours with the base model before it and a random end.

    The first response after a create may have no status.
    """

    name: RemoteId
    status: StatusWord | None = None
    source: RemoteIdOrEmpty | None = None
    job_id: RemoteIdOrEmpty | None = None
    checkpoint_id: RemoteIdOrEmpty | None = None
    description: Any = None
    status_reason: Any = None
    created_at: Any = None


MODEL_DECODER: Final = msgspec.json.Decoder(NebiusModel, strict=False)
MODEL_LIST_DECODER: Final = msgspec.json.Decoder(ListPage[NebiusModel], strict=False)

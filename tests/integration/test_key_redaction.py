"""A provider that writes the key into its ids and words: none of it enters the program."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest

from orchestrator.app.connections import Connections
from orchestrator.app.outbound_network import OutboundNetwork
from orchestrator.core.account import Account, ProviderName
from orchestrator.core.secret import Redactor, Secret
from orchestrator.providers.http.client import HttpClient

KEY = "sk-canary-0123456789"


def echo(request: httpx2.Request) -> httpx2.Response:
    headers = {"x-request-id": KEY, "openai-organization": f"org-{KEY}"}
    if request.url.path.endswith("/models"):
        return httpx2.Response(200, json={"data": []}, headers=headers)
    job = {
        "id": f"ftjob-{KEY}",
        "status": KEY,
        "model": f"m-{KEY}",
        "training_file": f"file-{KEY}",
        "fine_tuned_model": f"ft:{KEY}",
        "organization_id": f"org-{KEY}",
        "hyperparameters": {"n_epochs": f"{KEY}"},
        "output_name": KEY,
    }
    return httpx2.Response(200, json=job, headers=headers)


@pytest.mark.parametrize("provider", [ProviderName.OPENAI, ProviderName.NEBIUS])
async def test_a_key_in_an_id_a_status_or_a_header_is_replaced(provider: ProviderName, tmp_path: Path) -> None:
    redact = Redactor()
    redact.add(Secret(KEY))
    network = OutboundNetwork({}, None, redact)
    connections = Connections(tmp_path, network, max_in_flight=2, redact=redact, clock=lambda: 0.0)
    async with HttpClient(httpx2.MockTransport(echo)) as http:
        connections._http = http
        account = Account(name="acme", provider=provider, api_key="env:KEY")
        connections.connect_accounts([account], {"acme": Secret(KEY)})
        connected = connections.by_name["acme"]
        answers = [await connected.verify_identity(), await connected.provider.get_job(f"ftjob-{KEY}")]
    assert KEY not in repr(answers)
    assert repr(answers).count("[key ") > 5

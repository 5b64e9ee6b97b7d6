"""The bench of Vertex AI with credential documents as keys."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fake_google_tokens import FakeGoogleTokens
from provider_bench import VertexBench
from starlette.types import ASGIApp

from orchestrator.core.account import Account
from orchestrator.core.secret import Secret
from orchestrator.inputs.secrets.credential_document import register_credential_document
from orchestrator.providers.base import Provider
from orchestrator.providers.redaction import redact_provider


class TokenBench(VertexBench):
    """Vertex AI behind the fake that issues tokens."""

    def application(self) -> ASGIApp:
        self.tokens = FakeGoogleTokens(super().application(), lambda: self.now)
        return self.tokens

    def connected(self, document: Mapping[str, Any], **changes: Any) -> Provider:
        """The account with a document as its key."""
        key = Secret(json.dumps(document))
        register_credential_document(key, self.redact)
        options: dict[str, Any] = {name: value.format(name="acme") for name, value in self.account_options.items()}
        options |= {"base_url": self.base_url} | changes
        entry = Account(name="acme", provider=self.name, api_key="file:key.json", **options)
        return redact_provider(self.connect(entry, key), self.redact)

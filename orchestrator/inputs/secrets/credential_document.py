"""Credential documents: keys that are JSON objects, such as a service account's key file of Google.

Only a part of such a document is secret. The redactor learns the whole document and its secret members, and not its
other texts: the id of a project, for example, is a name that messages need.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from orchestrator.core.secret import MIN_KEY_LENGTH, Redactor, Secret

GOOGLE_DEFAULT: Final = "google:default"
"""The reference to the application default credentials of Google."""

GOOGLE_METADATA_DOCUMENT: Final = b'{"type":"metadata_server"}'
"""Stands for the service account of this machine, for which a metadata server issues tokens: it has no key."""

SECRET_MEMBERS: Final = frozenset(
    {"private_key", "refresh_token", "client_secret", "SecretAccessKey", "SessionToken", "BedrockApiKey"}
)


def parse_credential_document(raw: bytes) -> str | None:
    """Return a credential document in one line; None for a key of another form.

    Raises ValueError, which does not repeat the text, for a broken document.
    """
    text = raw.decode("utf-8-sig", errors="replace").strip()
    if not text.startswith("{"):
        return None
    try:
        document = json.loads(text)
    except ValueError:
        raise ValueError("begins as a JSON document and is not valid JSON; put the complete document there") from None
    return json.dumps(document, separators=(",", ":"))


def register_credential_document(document: Secret, redact: Redactor) -> None:
    """Register the document and its secret members. They are forgotten together, under the document's fingerprint."""
    redact.add(document, parts=False)  # its beginning is the same in every document
    for text in _list_secret_texts(json.loads(document.reveal())):
        redact.add(Secret(text), fingerprint=document.fingerprint)


def _list_secret_texts(value: Mapping[str, Any]) -> Iterator[str]:
    for name, member in value.items():
        if isinstance(member, dict):
            yield from _list_secret_texts(member)
        elif name in SECRET_MEMBERS and isinstance(member, str):
            yield member
            # An error may quote one line of a key in PEM, or all of them with other line ends.
            lines = member.splitlines() if "-----" in member else ()
            yield from (line for line in lines if len(line) >= MIN_KEY_LENGTH and not line.startswith("-----"))


def find_default_google_file() -> Path | None:
    """Return the file with the application default credentials, where Google's own libraries look for it.

    None: there is none, and a metadata server issues the tokens. The file that GOOGLE_APPLICATION_CREDENTIALS names
    is returned whether it exists or not.
    """
    if named := os.environ.get("GOOGLE_APPLICATION_CREDENTIALS"):
        return Path(named)
    folder = os.environ.get("CLOUDSDK_CONFIG")
    try:
        path = (
            Path(folder) if folder else Path.home() / ".config" / "gcloud"
        ) / "application_default_credentials.json"
    except RuntimeError:  # the user has no home
        return None
    return path if path.exists() else None

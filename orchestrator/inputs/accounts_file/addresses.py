"""The addresses of the accounts file: of providers, storage, proxies and notifications.

An address never contains a secret, and nothing secret is sent unencrypted to a public address.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, ValidationInfo

from orchestrator.core.loopback import is_loopback
from orchestrator.core.providers import PROVIDERS
from orchestrator.core.proxy import DIRECT_KEYWORDS, parse_proxy
from orchestrator.inputs.secrets import references
from orchestrator.inputs.secrets.metadata_services import reject_metadata_service

_API_CALL_PATHS = (
    "/chat/completions",
    "/completions",
    "/responses",
    "/fine_tuning/jobs",
    "/fine-tunes",
    "/models",
    "/files",
)


def _validate_webhook_url(value: str) -> str:
    try:
        references.parse_reference(value, "url")
    except ValueError:
        return _validate_address(value, "the notifications")
    return value


def _validate_base_url(value: str, info: ValidationInfo) -> str:
    """Validate a base URL. The message says how to correct one that was copied from a console or a request."""
    if any(character.isspace() for character in value):
        raise ValueError("contains a space; remove it")
    if "?api-version=" in value:
        raise ValueError(
            "has a query, and the API that this program uses needs no api-version; write only "
            '"https://RESOURCE.openai.azure.com/openai/v1/"'
        )
    _validate_address(value, "the key", allow_http=bool(info.data.get("allow_http")))
    url = urlsplit(value)
    path = url.path.rstrip("/")
    if call := next((call for call in _API_CALL_PATHS if path.endswith(call)), None):
        rest = f"{url.scheme}://{url.netloc}{path.removesuffix(call)}"
        raise ValueError(f'ends with the path of one call; write only the part before it: "{rest}"')
    provider = info.data.get("provider")  # absent when its own value is wrong
    if not url.path and provider and PROVIDERS[provider].base_url_needs_path:
        raise ValueError(
            f'has no path; most servers need "{value}/v1". If the API is at the root, end it with a slash: "{value}/"'
        )
    return value


def _validate_storage_url(value: str, info: ValidationInfo) -> str:
    return _validate_address(value, "the chats", allow_http=bool(info.data.get("allow_http")))


def _validate_management_url(value: str, info: ValidationInfo) -> str:
    return _validate_address(value, "the management key", allow_http=bool(info.data.get("allow_http")))


def _validate_proxy(value: str) -> str:
    if value in DIRECT_KEYWORDS or references.is_reference(value):
        return value
    try:
        proxy = parse_proxy(value, "proxy")
    except ValueError as fault:
        raise ValueError(f'{fault}, "none", or a reference such as "env:NAME"') from None
    reject_metadata_service(proxy.url)
    if proxy.credentials is not None or "@" in value:
        raise ValueError(
            'contains a user or password, which is a secret; write proxy = "env:NAME" '
            "and put the address into that variable"
        )
    return value


def _validate_address(value: str, content: str, *, allow_http: bool = False) -> str:
    try:
        url = urlsplit(value)
        host, _ = url.hostname, url.port
    except ValueError:
        host = None
    if not host or url.scheme not in ("http", "https"):
        raise ValueError('must be an address such as "https://host/v1"')
    if "@" in url.netloc or url.query or url.fragment:
        raise ValueError("must consist of scheme, host and path only; remove any password, key and query")
    reject_metadata_service(value)
    if url.scheme == "https" or is_loopback(host):
        return value
    if not allow_http:
        raise ValueError(
            f"would send {content} unencrypted over the network; use https:// "
            "(http:// is allowed to this machine: localhost, 127.0.0.1; and with the account's option "
            "allow_http = true to a private network)"
        )
    if _is_public(host):
        raise ValueError(f"would send {content} unencrypted to a public address; allow_http is for private networks")
    return value


def _is_public(host: str) -> bool:
    """Return whether the host is a public IP address. The address of a name is checked when connecting to it."""
    try:
        return ip_address(host).is_global
    except ValueError:
        return False


BaseUrl = Annotated[str, AfterValidator(_validate_base_url)]
StorageUrl = Annotated[str, AfterValidator(_validate_storage_url)]
ManagementUrl = Annotated[str, AfterValidator(_validate_management_url)]
ProxyAddress = Annotated[str, AfterValidator(_validate_proxy)]
WebhookUrl = Annotated[str, AfterValidator(_validate_webhook_url)]

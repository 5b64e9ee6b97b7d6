"""The network settings of one HTTP client: timeouts, proxies and trusted certificate authorities."""

from __future__ import annotations

import ssl
from typing import Final

from orchestrator.core.proxy import ProxyRules
from orchestrator.core.structs import Struct, field
from orchestrator.providers.http.certificates import build_ssl_context

CONNECT_TIMEOUT_SECONDS: Final = 10.0
READ_TIMEOUT_SECONDS: Final = 60.0


class NetworkConfig(Struct, frozen=True):
    """The route of one HTTP client to the providers."""

    proxies: ProxyRules = field(default_factory=ProxyRules)  # none: every server is reached directly
    ssl_context: ssl.SSLContext = field(default_factory=lambda: build_ssl_context(None, {}))

"""Check that the service in this container is alive. The image has no curl, and no proxy may be used."""

from __future__ import annotations

import os
import sys
from http.client import HTTPConnection

connection = HTTPConnection("127.0.0.1", int(os.environ.get("ORCHESTRATOR_PORT") or 8080), timeout=3)
connection.request("GET", "/healthz")
sys.exit(connection.getresponse().status != 200)

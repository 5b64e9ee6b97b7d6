"""The API does what its OpenAPI document says, whatever is sent to it; and without a token it does nothing."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from api_values import OPERATOR, READER, list_causes, serve
from hypothesis import HealthCheck, settings
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance, unsupported_method

from orchestrator.store.db.database import Database
from orchestrator.web.server import WebServer

DOCUMENT = Path(__file__).parents[2] / "docs" / "reference" / "openapi.json"
NOT_HERE = [
    positive_data_acceptance,  # an account, a run or a price that is made up is no fault of the document
    unsupported_method,  # asked without the token it is refused first; a test of its own looks at it
]
OPEN = {"/healthz", "/readyz"}


def document(*, wrong_too: bool) -> Any:
    """The document, to be tested by its examples and at random; `wrong_too`: also with what it forbids."""
    phases = {"coverage": {"enabled": wrong_too}, "stateful": {"enabled": False}}
    mode = "all" if wrong_too else "positive"
    config = SchemathesisConfig.from_dict({"phases": phases, "generation": {"mode": mode}})
    return schemathesis.openapi.from_dict(json.loads(DOCUMENT.read_text(encoding="utf-8")), config=config)


Each = Callable[[Callable[..., None]], Callable[..., None]]
every_edge: Each = document(wrong_too=True).parametrize()
every_path: Each = document(wrong_too=False).parametrize()
quickly: Each = settings(
    max_examples=6, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None
)


class ServedApi:
    """The application upon a database of its own, on a port, in a thread."""

    def __init__(self, folder: Path) -> None:
        self.database = Database(f"sqlite:///{folder / 'test.db'}")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._server, self.url = self._run(self._serve())
        self.session = requests.Session()  # one for all: opening and connecting takes a sixth of the time
        self.session.trust_env = False

    def list_events(self) -> list[tuple[str, str, str | None]]:
        """The record of what was done."""
        known: list[tuple[str, str, str | None]] = self._run(list_causes(self.database))
        return known

    def close(self) -> None:
        self.session.close()
        self._run(self._server.stop())
        self._run(self.database.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _serve(self) -> tuple[WebServer, str]:
        await self.database.migrate()
        served = await serve(self.database)
        served.passing = 60.0  # so many wrong tokens must not come in one minute
        server = WebServer(served.app, "127.0.0.1", 0)
        return server, f"http://127.0.0.1:{await server.start()}"

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedApi]:
    door = ServedApi(tmp_path_factory.mktemp("door"))
    yield door
    door.close()


@every_edge
@quickly
def test_api_matches_its_openapi_document(case: Any, door: ServedApi) -> None:
    headers = {"Authorization": f"Bearer {OPERATOR}"}
    # A request that would be wrong without its token alone is not wrong, because it gets one here.
    excluded = NOT_HERE if "Authorization" in (case.headers or {}) else [*NOT_HERE, negative_data_rejection]
    case.call_and_validate(base_url=door.url, headers=headers, session=door.session, excluded_checks=excluded)


@every_path
@quickly
@pytest.mark.parametrize("token", ["", READER])
def test_readers_and_strangers_change_nothing(case: Any, door: ServedApi, token: str) -> None:
    before = door.list_events()
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    answer = case.call(base_url=door.url, headers=headers, session=door.session)
    if case.path in OPEN:
        assert answer.status_code in {200, 405}
    elif token != READER:
        assert answer.status_code == 401
    elif case.method == "POST":
        assert answer.status_code == 403
    assert answer.status_code < 500
    assert door.list_events() == before

"""The choice of one of several current runs, which every page of the dashboard offers and every link keeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import urlencode

from fastapi import Request

from orchestrator import status
from orchestrator.core.structs import Struct, replace
from orchestrator.status import CurrentRun
from orchestrator.web.backend import WebBackend
from orchestrator.web.dashboard.page_query import PageQuery

OVERVIEW_PATH: Final = "/overview"
_RUN_PATHS: Final = frozenset({"/", "/plan", "/timeline", "/costs", "/curves", "/comparison"})
_ACCOUNT_PATH: Final = "/accounts/"
_DATASET_PATH: Final = "/datasets/"


class RunLink(Struct, frozen=True, kw_only=True):
    """A link to the same page of another run."""

    name: str
    href: str
    chosen: bool


class RunChoice(Struct, frozen=True, kw_only=True):
    """The current runs, if there are several; otherwise everything is empty and pages look as for one run."""

    links: tuple[RunLink, ...] = ()
    selected: str = ""
    """Name of the run that the page shows, or else of the first."""
    shows_all: bool = False
    """Whether the page is the overview of all runs."""

    @property
    def suffix(self) -> str:
        """The query string that links to the pages of a run carry."""
        return f"?{urlencode({'run': self.selected})}" if self.selected else ""


def build_run_choice(current: Sequence[CurrentRun], path: str, requested: str) -> RunChoice:
    """Build the choice for a page; `requested` is the run of its URL, a name or an id."""
    if len(current) < 2:
        return RunChoice()
    selected = next((each for each in current if requested in {each.name, each.id}), current[0])
    is_run_page = path in _RUN_PATHS or path.startswith(_ACCOUNT_PATH)
    is_earlier_run = bool(requested) and requested not in {selected.name, selected.id}
    return RunChoice(
        links=tuple(
            RunLink(
                name=each.name,
                href=_build_href(each, path if is_run_page else "/", path),
                chosen=(is_run_page and not is_earlier_run and each is selected)
                or path == f"{_DATASET_PATH}{each.dataset_sha256}",
            )
            for each in current
        ),
        selected=selected.name,
        shows_all=path == OVERVIEW_PATH,
    )


def _build_href(run: CurrentRun, path: str, page: str) -> str:
    """Return the URL of the same page for this run; a page that belongs to no run leads to the run page."""
    if page.startswith(_DATASET_PATH):
        return f"{_DATASET_PATH}{run.dataset_sha256}"
    return f"{path}?{urlencode({'run': run.name})}"


class RunChoiceLoader:
    """Dependency of all pages that loads the current runs, so that each page can offer a choice of them."""

    def __init__(self, backend: WebBackend) -> None:
        self._backend = backend

    async def __call__(self, request: Request) -> None:
        """Store the choice with the request."""
        current = await self._backend.call_with_database(status.list_current_runs)
        request.state.run_choice = build_run_choice(current, request.url.path, request.query_params.get("run", ""))


def get_run_choice(request: Request) -> RunChoice:
    """Return the choice of runs of this request."""
    choice: RunChoice = request.state.run_choice
    return choice


def get_page_query(request: Request) -> PageQuery:
    """Return the query of the page; with several current runs it names the first one unless the URL names a run."""
    query = PageQuery.from_parameters(request.query_params)
    return query if query.run else replace(query, run=get_run_choice(request).selected)

"""Routes: the addresses of the pages, and of what is asked on them."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

from orchestrator import status
from orchestrator.core.loss import Loss
from orchestrator.core.selection import Selection
from orchestrator.core.verb import Verb
from orchestrator.web.asking import Asking
from orchestrator.web.dashboard import account, confirm, curves, history, plan, run, told
from orchestrator.web.dashboard.answer import answer
from orchestrator.web.dashboard.confirm import Ask
from orchestrator.web.dashboard.paged import PAGE_ROWS, pages_of
from orchestrator.web.principal import Principal, principal
from orchestrator.web.problem import Refused
from orchestrator.web.program import Program
from orchestrator.web.query import Query, refuse_nul

Who = Annotated[Principal, Depends(principal)]


class Dashboard:
    """Whole pages. A script that polls one takes the part that changes, and gets 304 while nothing did."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._call = program.call
        self._asking = Asking(program)
        self.routes = APIRouter(include_in_schema=False, dependencies=[Depends(refuse_nul)])
        pages: dict[str, Callable[..., Awaitable[Response]]] = {
            "/": self.run_page,
            "/plan": self.plan_page,
            "/curves": self.curves_page,
            "/curves.json": self.points,
            "/runs": self.runs_page,
            "/deliveries": self.deliveries_page,
            "/dataset": self.newest_dataset,
            "/datasets/{sha256}": self.dataset_page,
            "/accounts/{name}": self.account_page,
            "/confirm": self.confirm_page,
        }
        for path, page in pages.items():
            self.routes.add_api_route(path, page, methods=["GET"])
        self.routes.add_api_route("/act", self.act, methods=["POST"])

    async def run_page(self, request: Request) -> Response:
        seen, listing, query = await self._listed(request)
        view = run.look(seen, listing, await self._program.health(), query, self._program.now())
        return answer(request, "run.html", view)

    async def plan_page(self, request: Request) -> Response:
        seen, listing, query = await self._listed(request)
        return answer(request, "plan.html", plan.look(seen, listing, await self._program.health(), query))

    async def curves_page(self, request: Request) -> Response:
        query = Query.of(request.query_params)
        seen = await self._call(status.glance, self._program.now(), run_id=query.run or None)
        return answer(request, "curves.html", curves.look(seen, await self._curves(query), query))

    async def points(self, request: Request) -> Response:
        """The points of the chart, as JSON."""
        found = await self._curves(Query.of(request.query_params), request.query_params.get("account", ""))
        return JSONResponse(curves.points(found), headers={"Cache-Control": "no-store"})

    async def runs_page(self, request: Request) -> Response:
        return answer(request, "runs.html", history.runs(await self._call(status.list_runs, self._program.now())))

    async def deliveries_page(self, request: Request) -> Response:
        """The page that is asked for, or the last one where there are not so many."""
        query, counts = Query.of(request.query_params), await self._call(status.count_deliveries)
        fate = told.chosen(query)
        query = replace(query, page=min(query.page, pages_of(told.matching(counts, fate))))
        skip = (query.page - 1) * PAGE_ROWS
        found = await self._call(status.deliveries, fate, limit=PAGE_ROWS, skip=skip)
        return answer(request, "deliveries.html", told.look(counts, found, query, self._program.now()))

    async def newest_dataset(self) -> Response:
        """The way to the current run's dataset."""
        seen = await self._call(status.glance, self._program.now())
        return RedirectResponse(f"/datasets/{seen.run.dataset_sha256}" if seen else "/", 303)

    async def dataset_page(self, request: Request, sha256: str) -> Response:
        seen = await self._call(status.read_dataset, sha256, self._program.now())
        if seen is None:
            raise Refused(404, "no run used this dataset", "`/runs` lists the runs and their datasets.")
        return answer(request, "dataset.html", history.dataset(seen))

    async def account_page(self, request: Request, name: str) -> Response:
        seen = await self._call(status.read_account, name, self._program.now())
        if seen is None:
            raise Refused(404, f"there is no account {name}", "The first page lists the accounts.")
        curve = await self._call(status.losses_of_job, seen.jobs[0].job.job) if seen.jobs else ()
        return answer(request, "account.html", account.look(seen, self._program.now(), has_curve=bool(curve)))

    async def confirm_page(self, request: Request, who: Who) -> Response:
        if not who.may_act:
            raise Refused(403, f"the token {who.name} may only look", "Use an operator's token.")
        return answer(request, "confirm.html", await self._dialog(Ask.of(request.url.query)))

    async def act(self, request: Request, who: Who) -> Response:
        """Do it, if it is still what was agreed to; else ask once more."""
        ask = Ask.of((await request.body()).decode("utf-8", "replace"))
        try:
            said = confirm.done(ask, await self._do(ask, who))
        except Refused as refused:
            return answer(request, "confirm.html", (await self._dialog(ask)).after(refused), status=refused.status)
        if "HX-Request" in request.headers:
            return Response(status_code=204, headers={"HX-Trigger": json.dumps({"acted": {"said": said}})})
        return RedirectResponse(ask.back, 303)

    async def _do(self, ask: Ask, who: Principal) -> list[str]:
        if ask.verb is Verb.ADOPT:
            return [await self._asking.adopt(who, ask.job, ask.remote_job)]
        if ask.verb is Verb.REDELIVER:
            begun = await self._asking.redeliver(who, ask.deliveries or None, expect=ask.expect)
            return [str(number) for number in begun]
        if ask.of_run:
            await self._asking.of_run(ask.verb, who, reason=ask.reason, expect_usd=ask.expect_usd)
            return []
        asked = self._asking.of_matching(ask.verb, who, ask.selection, expect=ask.expect, reason=ask.reason)
        return list(await asked)

    async def _dialog(self, ask: Ask) -> confirm.View:
        if ask.verb is Verb.ADOPT:
            return confirm.of_choice(ask)
        if ask.verb is Verb.REDELIVER:
            return confirm.of_deliveries(ask, await self._asking.dead(ask.deliveries or None))
        if ask.of_run:
            return confirm.of_run(ask, await self._call(status.glance, self._program.now()))
        return confirm.of_accounts(ask, await self._asking.matching(ask.verb, ask.selection))

    async def _listed(self, request: Request) -> tuple[status.Glance | None, status.Listing | None, Query]:
        """The run, the page of its jobs that is asked for, or the last one where there are not so many."""
        query = Query.of(request.query_params)
        seen = await self._call(status.glance, self._program.now(), run_id=query.run or None)
        if seen is None and query.run:
            raise Refused(404, f"there is no run {query.run}", "`/runs` lists the runs.")
        listing = await self._listing(query)
        if listing is not None and query.page > pages_of(listing.total):
            query = replace(query, page=pages_of(listing.total))
            listing = await self._listing(query)
        return seen, listing, query

    async def _listing(self, query: Query) -> status.Listing | None:
        return await self._call(
            status.list_jobs,
            query.selection,
            self._program.now(),
            run_id=query.run or None,
            limit=PAGE_ROWS,
            skip=(query.page - 1) * PAGE_ROWS,
        )

    async def _curves(self, query: Query, name: str = "") -> dict[str, list[Loss]]:
        selection = Selection(accounts=(name,)) if name else query.selection
        return await self._call(
            status.curves, selection, self._program.now(), run_id=query.run or None, limit=curves.MOST
        )

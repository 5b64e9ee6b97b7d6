"""The exports of the run page: each format, for the accounts that match the filter, and without a key."""

from __future__ import annotations

import csv
import io

import pytest
from web_values import REFUSED, WebServiceDouble, job, ready, run

from orchestrator.core.account import Account, ProviderName
from orchestrator.exports import ExportFormat
from orchestrator.status import StatusSnapshot
from orchestrator.web.dashboard.export_menu import build_export_groups
from orchestrator.web.dashboard.page_query import PageQuery


def service() -> WebServiceDouble:
    found = WebServiceDouble(ready("acme-eu"), ready("acme-us"), job("globex", "failed", error=REFUSED))
    found.accounts = {
        name: Account(name=name, provider=ProviderName.OPENAI, api_key=f"env:KEY_{name[-2:].upper()}")
        for name in ("acme-eu", "acme-us")
    }
    return found


def test_menu_has_every_format_and_keeps_the_filter_only() -> None:
    query = PageQuery.from_parameters({"provider": "openai", "q": "a b", "sort": "-price", "page": "3"})
    links = [link for group in build_export_groups(query) for link in group.links]
    assert {link.format for link in links} == set(ExportFormat)
    assert {link.href for link in links} == {f"/export?format={name}&provider=openai&q=a+b" for name in ExportFormat}


@pytest.mark.parametrize("gate", [True, False])
async def test_menu_states_that_the_gate_is_on(gate: bool) -> None:
    found = WebServiceDouble()
    found.status = StatusSnapshot(run=run(gate=gate), jobs=(ready("acme-eu", gated=gate),))
    async with found.client() as client:
        assert ("The gate of the run is on" in (await client.get("/")).text) is gate
        assert (await client.get("/export?format=json")).json() == {
            "acme-eu": None if gate else "ft:gpt-4.1-mini:acme-eu"
        }


@pytest.mark.parametrize("export_format", ExportFormat)
async def test_export_is_a_file_with_the_matching_accounts(export_format: ExportFormat) -> None:
    async with service().client() as client:
        answer = await client.get(f"/export?format={export_format}&q=acme")
    assert answer.status_code == 200
    name = answer.headers["content-disposition"]
    assert name.startswith('attachment; filename="support-tone-')
    assert name.endswith(f'{export_format.file_name}"')
    assert "ft:gpt-4.1-mini:acme-eu" in answer.text
    assert "globex" not in answer.text
    assert answer.headers["cache-control"] == "no-store"


async def test_export_follows_the_state_filter_and_is_not_paged() -> None:
    found = WebServiceDouble(*(ready(f"a-{number:03}") for number in range(120)), job("z", "failed", error=REFUSED))
    async with found.client() as client:
        all_rows = (await client.get("/export?format=csv&page=2")).text
        failed = (await client.get("/export?format=csv&state=failed")).text
        models = (await client.get("/export?format=json")).json()
    assert len(list(csv.reader(io.StringIO(all_rows)))) == 122
    assert [row[0] for row in csv.reader(io.StringIO(failed))] == ["account", "z"]
    assert len(models) == 121


async def test_file_name_has_no_characters_of_the_run_name_that_a_header_cannot_carry() -> None:
    found = WebServiceDouble()
    found.status = StatusSnapshot(run=run(name='Ton "ä"\r\n/../x; y'), jobs=(ready("a"),))
    async with found.client() as client:
        answer = await client.get("/export?format=csv")
    assert answer.headers["content-disposition"] == 'attachment; filename="Ton-x-y-models.csv"'


@pytest.mark.parametrize(("query", "hint"), [("format=xml", "csv"), ("", "csv")])
async def test_unknown_format_is_reported_with_the_known_ones(query: str, hint: str) -> None:
    async with service().client() as client:
        answer = await client.get(f"/export?{query}")
    assert answer.status_code == 404
    assert hint in answer.json()["hint"]


async def test_without_a_run_there_is_nothing_to_export() -> None:
    found = WebServiceDouble()
    found.status = StatusSnapshot(run=None)
    async with found.client() as client:
        answer = await client.get("/export?format=csv")
    assert (answer.status_code, answer.json()["detail"]) == (404, "There is no run yet.")


async def test_readers_can_export_and_strangers_cannot() -> None:
    found = WebServiceDouble(ready("a"), token="operator", read_token="reader")
    async with found.client() as client:
        assert (await client.get("/export?format=csv")).status_code in {303, 401}
        reader = {"Authorization": "Bearer reader"}
        assert (await client.get("/export?format=csv", headers=reader)).status_code == 200
        page = (await client.get("/", headers=reader)).text
    assert 'id="export-csv"' in page

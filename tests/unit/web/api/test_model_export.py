"""The exports by HTTP are those of the command line."""

from __future__ import annotations

import pytest
import yaml
from web_application import create_app
from web_values import WebServiceDouble, job, ready, run, status

from orchestrator.core.account import Account, ProviderName
from orchestrator.core.structs import replace
from orchestrator.exports import MEDIA_TYPES, ExportFormat, export, select_models
from orchestrator.status import StatusSnapshot

ACME = Account(name="acme", provider=ProviderName.OPENAI, api_key="env:ACME_KEY", base_url="https://own.example/v1")
JOBS = (ready("acme"), ready("gone", servable=False), job("late", "running"))


def service() -> WebServiceDouble:
    made = WebServiceDouble(*JOBS)
    made.accounts = {"acme": ACME}
    return made


@pytest.mark.parametrize("form", [form for form in ExportFormat if form is not ExportFormat.JSON])
@pytest.mark.parametrize("everything", [False, True])
async def test_export_matches_the_command_line(form: ExportFormat, everything: bool) -> None:
    async with service().client() as client:
        answer = await client.get("/api/v1/models", params={"format": form.value, "all": everything, "limit": 1})
    expected = export(form, select_models("support-tone", JOBS, {"acme": ACME}), include_unservable=everything)
    assert answer.status_code == 200, answer.text
    assert answer.text == expected.text
    assert answer.headers["content-type"].partition(";")[0] == expected.media_type
    assert answer.headers["content-type"].partition(";")[0] in MEDIA_TYPES


async def test_litellm_export_has_key_references_and_server_urls() -> None:
    async with service().client() as client:
        (deployment,) = yaml.safe_load((await client.get("/api/v1/models?format=litellm")).text)["model_list"]
    assert deployment["litellm_params"] == {
        "model": "openai/ft:gpt-4.1-mini:acme",
        "api_key": "os.environ/ACME_KEY",
        "api_base": "https://own.example/v1",
    }


async def test_exports_without_a_format_are_a_page() -> None:
    async with service().client() as client:
        plain, json = await client.get("/api/v1/models"), await client.get("/api/v1/models?format=json")
    assert plain.json() == json.json()
    assert [model["account"] for model in json.json()["models"]] == ["acme", "gone"]


async def test_unknown_format_is_refused_and_no_run_is_an_empty_export() -> None:
    empty = service()
    empty.status = StatusSnapshot(run=None)
    async with empty.client() as client:
        unknown = await client.get("/api/v1/models?format=xml")
        nothing = await client.get("/api/v1/models?format=litellm")
    assert (unknown.status_code, unknown.headers["content-type"]) == (422, "application/problem+json")
    assert "litellm" in unknown.text
    assert yaml.safe_load(nothing.text) == {"model_list": []}


@pytest.mark.parametrize("form", [form for form in ExportFormat if form is not ExportFormat.JSON])
async def test_an_export_is_the_same_text_with_one_type_of_content(form: ExportFormat) -> None:
    query = {"format": form.value, "all": True}
    async with service().client() as client:
        typed = await client.get("/api/v1/models", params=query)
        plain = await client.get("/api/v1/models/export", params=query)
    assert plain.status_code == 200
    assert plain.text == typed.text
    assert plain.headers["content-type"] == "text/plain; charset=utf-8"


async def test_integer_query_may_have_a_zero_fraction() -> None:
    async with service().client() as client:
        assert (await client.get("/api/v1/models?limit=1.0")).json()["total"] == 2
        assert (await client.get("/api/v1/models?limit=1.5")).status_code == 422


def test_every_form_is_in_the_document() -> None:
    document = create_app(WebServiceDouble().program()).openapi()
    operation = document["paths"]["/api/v1/models/export"]["get"]
    parameters = {parameter["name"]: parameter for parameter in operation["parameters"]}
    assert set(parameters) >= {"format", "all", "label", "provider"}
    assert parameters["format"]["required"]
    assert parameters["format"]["schema"]["enum"] == [
        form.value for form in ExportFormat if form is not ExportFormat.JSON
    ]


def test_a_client_can_be_made_of_the_document() -> None:
    """Generators take an operation's first type of content for all of its answers, so each has one and its schema."""
    document = create_app(WebServiceDouble().program()).openapi()
    assert [server["url"] for server in document["servers"]] == ["/", "http://127.0.0.1:8080"]
    for path, methods in document["paths"].items():
        for operation in methods.values():
            content = operation["responses"].get("200", {}).get("content", {})
            kinds = [kind for kind in content if kind != "text/event-stream"]
            assert len(kinds) <= 1, path
            assert all(content[kind]["schema"] for kind in content), path


async def test_export_has_all_current_runs_or_the_selected_one() -> None:
    made = service()
    shown = status(ready("acme", run="run-1"), ready("acme", run="run-2", fine_tuned_model="ft:facts"))
    made.status = replace(shown, other_runs=(run(id="run-2", name="facts"),))
    async with made.client() as client:
        whole = yaml.safe_load((await client.get("/api/v1/models/export?format=litellm")).text)["model_list"]
        one = yaml.safe_load((await client.get("/api/v1/models/export?format=litellm&run=facts")).text)["model_list"]
    assert [each["model_name"] for each in whole] == ["support-tone", "facts"]
    assert [(each["model_name"], each["model_info"]["id"]) for each in one] == [("facts", "acme")]

"""The model ids, read back by the programs they are written for."""

from __future__ import annotations

import csv
import io
import json
import shlex
import subprocess
import tomllib
from typing import Any

import pytest
import yaml
from export_values import account, job
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.account import Account, ProviderName
from orchestrator.core.text_sanitizer import sanitize_line
from orchestrator.exports import ExportFormat, ModelSet, convert_to_ascii, export, select_models
from orchestrator.exports.config_text import build_variable_names
from orchestrator.exports.plain import FORMULA_PREFIXES
from orchestrator.status import JobView, ServingView

SIX = tuple(job(name.value, name) for name in ProviderName)


def models(*jobs: JobView, name: str = "tone", accounts: tuple[Account, ...] = ()) -> ModelSet:
    return select_models(name, jobs, {each.name: each for each in accounts})


def litellm(wanted: ModelSet, **options: bool) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = yaml.safe_load(export(ExportFormat.LITELLM, wanted, **options).text)["model_list"]
    return listed


def profiles(wanted: ModelSet, **options: bool) -> list[dict[str, Any]]:
    settings = json.loads(export(ExportFormat.SILLYTAVERN, wanted, **options).text)
    assert settings["oai_settings"] == {"show_external_models": True}
    listed: list[dict[str, Any]] = settings["extension_settings"]["connectionManager"]["profiles"]
    return listed


def shell(text: str) -> dict[str, str]:
    """What a shell makes of assignments."""
    return dict(line.split("=", 1) for line in shlex.split(text, comments=True))


@pytest.mark.parametrize("form", [ExportFormat.TABLE, ExportFormat.JSON, ExportFormat.CSV])
def test_a_list_has_every_account(form: ExportFormat) -> None:
    text = export(form, models(*SIX, job("late", model=None))).text
    assert all(each.account in text for each in SIX)
    assert "late" in text


@pytest.mark.parametrize(
    "form", [ExportFormat.ENV, ExportFormat.TOML, ExportFormat.LITELLM, ExportFormat.SILLYTAVERN]
)
def test_configuration_exports_list_callable_models_and_missing_ones(form: ExportFormat) -> None:
    wanted = models(*SIX, job("late", model=None), job("old", "fireworks", gone_at=1.0))
    exported = export(form, wanted)
    listed = ["openai", "openai-compatible", "bedrock-mantle", "vertex"]
    assert [each.account for each in exported.models.jobs] == listed
    assert "ft:gpt-4.1-mini:together" not in exported.text
    if form is not ExportFormat.SILLYTAVERN:
        assert '# Left out: "together" at together: needs a dedicated endpoint.' in exported.text
        assert '# Left out: "late" at openai: has no model yet.' in exported.text
        assert '# Left out: "old" at fireworks: is no longer at the provider.' in exported.text
    everything = export(form, wanted, include_unservable=True)
    assert [each.account for each in everything.models.left_out] == ["late"]
    assert all(each.fine_tuned_model in everything.text for each in SIX if each.fine_tuned_model)


def test_labels_and_providers_filter_the_export() -> None:
    jobs = (job("a", labels=["eu", "big"]), job("b", labels=["us"]), job("c", "together", labels=["eu"]))

    def chosen(**choice: Any) -> list[str]:
        return [each.account for each in select_models("x", jobs, {}, **choice).jobs]

    assert chosen() == ["a", "b", "c"]
    assert chosen(labels=["eu"]) == ["a", "c"]
    assert chosen(labels=["us", "big"]) == ["a", "b"]
    assert chosen(labels=["eu"], providers=["together"]) == ["c"]


def test_litellm_has_one_group_and_names_every_key() -> None:
    openai = account("openai", api_key="env: ACME_KEY", organization="org-acme")
    own = account("own", "openai-compatible", api_key="cmd:pass show own", base_url="http://127.0.0.1:9/v1")
    listed = litellm(models(job("openai"), job("own", "openai-compatible"), job("gone"), accounts=(openai, own)))
    assert {each["model_name"] for each in listed} == {"tone"}
    assert [each["model_info"] for each in listed] == [
        {"id": name, "base_model": "gpt-4.1-mini"} for name in ("openai", "own", "gone")
    ]
    assert [each["litellm_params"] for each in listed] == [
        {
            "model": "openai/ft:gpt-4.1-mini:openai",
            "api_key": "os.environ/ACME_KEY",
            "organization": "org-acme",
        },
        {
            "model": "openai/ft:gpt-4.1-mini:own",
            "api_key": "os.environ/API_KEY_OWN",
            "api_base": "http://127.0.0.1:9/v1",
        },
        {"model": "openai/ft:gpt-4.1-mini:gone", "api_key": "os.environ/API_KEY_GONE"},
    ]


def test_litellm_knows_each_provider_by_its_prefix() -> None:
    azure = account("azure", "azure", base_url="https://acme.openai.azure.com/openai/v1/")
    fireworks = account("fireworks", "fireworks", base_url="https://api.fireworks.ai/v1", organization="acme")
    dashscope = account("dashscope", "dashscope", base_url="https://dashscope.aliyuncs.com/api/v1")
    bedrock = account("bedrock", "bedrock", region="us-east-1")
    vertex = account("vertex", "vertex", project="acme-1", region="us-central1")
    found = {
        each["model_info"]["id"]: each["litellm_params"]
        for each in litellm(
            models(*SIX, accounts=(azure, fireworks, dashscope, vertex, bedrock)), include_unservable=True
        )
    }
    assert {name: params["model"].partition("/")[0] for name, params in found.items()} == {
        "openai": "openai",
        "azure": "azure",
        "nebius": "nebius",
        "openai-compatible": "openai",
        "together": "together_ai",
        "fireworks": "fireworks_ai",
        "dashscope": "dashscope",
        "bedrock-mantle": "openai",
        "vertex": "vertex_ai",
        "bedrock": "bedrock",
    }
    assert found["azure"]["api_base"] == "https://acme.openai.azure.com"
    assert found["dashscope"]["api_base"] == "https://dashscope.aliyuncs.com/compatible-mode/v1"
    assert found["fireworks"]["api_base"].endswith("/inference/v1")
    assert "organization" not in found["fireworks"]
    assert found["bedrock"]["aws_region_name"] == "us-east-1"
    assert (found["vertex"]["vertex_project"], found["vertex"]["vertex_location"]) == ("acme-1", "us-central1")


def test_litellm_names_a_model_of_vertex_by_the_number_of_its_endpoint() -> None:
    endpoint = "projects/1000406/locations/us-central1/endpoints/7000000000000000011"
    (listed,) = litellm(models(job("acme", "vertex", model=endpoint)))
    assert listed["litellm_params"]["model"] == "vertex_ai/7000000000000000011"


def test_litellm_gets_the_credentials_that_it_knows_at_google_and_amazon() -> None:
    """An `api_key` is ignored for Vertex AI, and an access key of AWS in it is sent as a Bedrock API key."""
    accounts = (account("us-1", "bedrock", region="us-east-1"), account("eu", "vertex", project="p", region="r"))
    selected = models(job("us-1", "bedrock"), job("eu", "vertex"), accounts=accounts)
    text = export(ExportFormat.LITELLM, selected, include_unservable=True).text
    params = {each["model_info"]["id"]: each["litellm_params"] for each in yaml.safe_load(text)["model_list"]}
    assert {name: value for name, value in params["us-1"].items() if str(value).startswith("os.environ")} == {
        "api_key": "os.environ/BEDROCK_API_KEY_US_1",
        "aws_access_key_id": "os.environ/AWS_ACCESS_KEY_ID_US_1",
        "aws_secret_access_key": "os.environ/AWS_SECRET_ACCESS_KEY_US_1",
        "aws_session_token": "os.environ/AWS_SESSION_TOKEN_US_1",
    }
    assert "api_key" not in params["eu"]
    assert params["eu"]["vertex_credentials"].startswith("os.environ/")
    assert params["eu"]["base_model"] == "gpt-4.1-mini", "without it LiteLLM takes the endpoint for another API"
    assert '# Set what the key of "us-1" consists of:\n#   BEDROCK_API_KEY_US_1\n' in text


@pytest.mark.parametrize("form", ExportFormat)
@pytest.mark.parametrize("provider", ProviderName)
def test_every_provider_can_be_exported_in_every_format(provider: ProviderName, form: ExportFormat) -> None:
    for accounts in ((), (account("acme", provider, base_url="https://host.example/v1"),)):
        exported = export(form, models(job("acme", provider), accounts=accounts), include_unservable=True)
        assert "ft:gpt-4.1-mini:acme" in exported.text


def test_export_without_models_is_a_valid_configuration() -> None:
    assert litellm(models(job("late", model=None))) == []


def test_sillytavern_gets_a_profile_for_each_account() -> None:
    own = account("own", "openai-compatible", base_url="https://gpu.example/v1")
    wanted = models(job("acme"), job("own", "openai-compatible"), accounts=(account("acme"), own))
    first, second = profiles(wanted)
    assert [first[key] for key in ("mode", "api", "model")] == ["cc", "oai", "ft:gpt-4.1-mini:acme"]
    assert "api-url" not in first
    assert [second[key] for key in ("mode", "api", "api-url")] == ["cc", "custom", "https://gpu.example/v1"]
    assert len({each["id"] for each in (first, second)} | {each["name"] for each in (first, second)}) == 4
    assert profiles(wanted) == [first, second], "merging twice replaces"


def test_export_contains_key_references_only() -> None:
    keys = ("env:ACME_KEY", "file:/keys/secret-place", "cmd:vault read secret-place")
    accounts = tuple(account(f"a{n}", api_key=key) for n, key in enumerate(keys))
    wanted = models(*(job(each.name) for each in accounts), accounts=accounts)
    assert all("secret-place" not in export(form, wanted).text for form in ExportFormat)


def test_generated_variable_does_not_collide_with_another_account() -> None:
    accounts = (account("one", api_key="env:API_KEY_TWO"), account("two"), account("a.b"), account("a-b"))
    listed = litellm(models(*(job(each.name) for each in accounts), accounts=accounts))
    found = [each["litellm_params"]["api_key"].removeprefix("os.environ/") for each in listed]
    assert found[0] == "API_KEY_TWO"
    assert len(set(found)) == 4


NAMES = st.text(max_size=12)
TEXTS = st.text(max_size=20)


@given(st.dictionaries(NAMES, TEXTS.filter(bool), max_size=5), TEXTS)
def test_every_export_is_parseable_for_any_names(ids: dict[str, str], name: str) -> None:
    wanted = models(*(job(each, model=model) for each, model in ids.items()), job("late", model=None), name=name)
    assert json.loads(export(ExportFormat.JSON, wanted).text) == {**ids, "late": None}
    assert tomllib.loads(export(ExportFormat.TOML, wanted).text).get("models", {}) == {
        each: {"provider": "openai", "base_model": "gpt-4.1-mini", "fine_tuned_model": model, "servable": True}
        for each, model in ids.items()
    }
    listed = litellm(wanted)
    assert {each["model_info"]["id"]: each["litellm_params"]["model"] for each in listed} == {
        each: f"openai/{model}" for each, model in ids.items()
    }
    assert {each["model_name"] for each in listed} <= {name}
    assert [each["model"] for each in profiles(wanted)] == list(ids.values())
    assert list(shell(export(ExportFormat.ENV, wanted).text).values()) == list(ids.values())
    assert len(export(ExportFormat.TABLE, wanted).text.splitlines()) == len(ids) + 2


@given(st.lists(st.tuples(NAMES, TEXTS), max_size=5, unique_by=lambda pair: pair[0]))
def test_no_cell_is_a_formula(pairs: list[tuple[str, str]]) -> None:
    text = export(ExportFormat.CSV, models(*(job(each, model=model or None) for each, model in pairs))).text
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert [(row[0].removeprefix("'"), row[3].removeprefix("'")) for row in rows[1:]] == [
        (sanitize_line(each).removeprefix("'"), sanitize_line(model).removeprefix("'")) for each, model in pairs
    ]
    assert not any(cell.startswith(FORMULA_PREFIXES) for row in rows for cell in row)


@given(st.lists(NAMES, max_size=6, unique=True))
def test_each_account_has_a_variable_of_its_own(names: list[str]) -> None:
    found = build_variable_names("MODEL_", names)
    assert len(set(found.values())) == len(names)
    assert all(variable.isidentifier() and variable.isascii() for variable in found.values())


def test_shell_export_quotes_hostile_provider_answers() -> None:
    hostile = "a'b\"c$(touch /tmp/x)`id`\\ \t;&|*é"
    text = export(ExportFormat.ENV, models(job("acme-eu", model=hostile), job("plain"))).text
    said = subprocess.run(["sh", "-c", f'{text}printf %s "$MODEL_ACME_EU"'], capture_output=True, check=True)
    assert said.stdout.decode() == hostile
    assert "\nMODEL_PLAIN=ft:gpt-4.1-mini:plain\n" in text


@pytest.mark.parametrize(
    "form", sorted(set(ExportFormat) - {ExportFormat.ENV})
)  # a shell has no escape that every shell knows
def test_no_list_for_people_or_scripts_carries_a_terminal_escape(form: ExportFormat) -> None:
    evil = "ft:\x1b[2J\u202e\x9b31m\x00"
    text = export(form, models(job("a", model=evil))).text
    assert not set(text) & set("\x1b\u202e\x9b\x00"), text


FOREIGN_NAME = 'Ümläut 日本語 😀 "\u202e'


@pytest.mark.parametrize("form", [ExportFormat.ENV, ExportFormat.TOML, ExportFormat.LITELLM])
def test_name_in_any_script_is_readable_in_a_configuration(form: ExportFormat) -> None:
    text = export(form, models(job("a"), name=FOREIGN_NAME)).text
    assert 'of the run "Ümläut 日本語 😀 \\U00000022\\U0000202E".\n' in text


def test_document_in_ascii_has_the_same_content() -> None:
    wanted = models(job("a", model="ft:ü😀", base_model="größe"), name=FOREIGN_NAME)
    for form, read in (
        (ExportFormat.JSON, json.loads),
        (ExportFormat.SILLYTAVERN, json.loads),
        (ExportFormat.TOML, tomllib.loads),
        (ExportFormat.LITELLM, yaml.safe_load),
    ):
        text = export(form, wanted).text
        converted = convert_to_ascii(form, text)
        assert converted.isascii()
        assert not text.isascii()
        assert read(converted) == read(text)
    assert convert_to_ascii(ExportFormat.CSV, "ü") == "ü", "a spreadsheet shows an escape as it is"


TWO_RUNS = (job("acme", run="run-1"), job("blue", run="run-1"), job("acme", model="ft:facts", run="run-2"))
RUN_NAMES = {"run-1": "tone", "run-2": 'the "facts"'}


def models_of_two_runs(*jobs: JobView) -> ModelSet:
    known = {name: account(name, api_key="env:ACME_KEY" if name == "acme" else "") for name in ("acme", "blue")}
    return select_models("", jobs or TWO_RUNS, known, run_names=RUN_NAMES)


def test_litellm_has_a_group_for_each_run() -> None:
    listed = litellm(models_of_two_runs())
    assert [(each["model_name"], each["model_info"]["id"]) for each in listed] == [
        ("tone", "tone/acme"),
        ("tone", "tone/blue"),
        ('the "facts"', 'the "facts"/acme'),
    ]
    assert [each["litellm_params"]["api_key"] for each in listed] == [
        "os.environ/ACME_KEY",
        "os.environ/API_KEY_BLUE",
        "os.environ/ACME_KEY",
    ]


def test_plain_exports_name_the_run_of_each_model() -> None:
    wanted = models_of_two_runs()
    assert json.loads(export(ExportFormat.JSON, wanted).text) == {
        "tone": {"acme": "ft:gpt-4.1-mini:acme", "blue": "ft:gpt-4.1-mini:blue"},
        'the "facts"': {"acme": "ft:facts"},
    }
    rows = list(csv.DictReader(io.StringIO(export(ExportFormat.CSV, wanted).text)))
    assert [(row["run"], row["account"]) for row in rows] == [
        ("tone", "acme"),
        ("tone", "blue"),
        ('the "facts"', "acme"),
    ]
    assert shell(export(ExportFormat.ENV, wanted).text) == {
        "MODEL_TONE_ACME": "ft:gpt-4.1-mini:acme",
        "MODEL_TONE_BLUE": "ft:gpt-4.1-mini:blue",
        "MODEL_THE__FACTS__ACME": "ft:facts",
    }
    tables = tomllib.loads(export(ExportFormat.TOML, wanted).text)["models"]
    assert tables['the "facts"']["acme"]["fine_tuned_model"] == "ft:facts"
    assert list(tables["tone"]) == ["acme", "blue"]
    assert [line.split()[:2] for line in export(ExportFormat.TABLE, wanted).text.splitlines()[:2]] == [
        ["run", "account"],
        ["tone", "acme"],
    ]
    assert [each["name"] for each in profiles(wanted)] == ["tone · acme", "tone · blue", 'the "facts" · acme']


def test_left_out_model_is_named_with_its_run() -> None:
    text = export(ExportFormat.ENV, models_of_two_runs(*TWO_RUNS[:2], job("acme", model=None, run="run-2"))).text
    assert text.startswith('# The fine-tuned models of the runs "tone", "the \\U00000022facts')
    assert '# Left out: "acme" in "the \\U00000022facts\\U00000022" at openai: has no model yet.' in text


def test_variables_of_two_runs_never_share_a_name() -> None:
    jobs = (job("b c", run="run-1"), job("c", run="run-2"))
    wanted = select_models("", jobs, {}, run_names={"run-1": "a", "run-2": "a b"})
    assert len(shell(export(ExportFormat.ENV, wanted).text)) == 2


FIREWORKS_NAME = "accounts/acme/models/m-1#accounts/acme/deployments/orch-1"
CALLED = "https://api.fireworks.ai/inference/v1"
NOON = 1_790_000_000.0


def deployed(account: str = "acme", provider: str = "fireworks", **values: Any) -> JobView:
    called: dict[str, Any] = {
        "callable": True,
        "state": "ready",
        "model": FIREWORKS_NAME,
        "base_url": CALLED,
        "expires_at": NOON,
        "deployment": "00112233445566aa",
    }
    return job(account, provider, serving=ServingView(**(called | values)))


def test_a_deployed_model_is_called_by_the_name_and_the_url_of_its_deployment() -> None:
    ready, stopped = deployed(), deployed("red", callable=False, state="stopped")
    [entry] = litellm(models(ready, stopped))
    assert entry["litellm_params"]["model"] == f"fireworks_ai/{FIREWORKS_NAME}"
    assert entry["litellm_params"]["api_base"] == CALLED
    assert "# Callable until 2026-09-21 14:13 UTC." in export(ExportFormat.LITELLM, models(ready)).text
    [profile] = profiles(models(ready, stopped))
    assert (profile["model"], profile["api-url"], profile["api"]) == (FIREWORKS_NAME, CALLED, "custom")
    assert shell(export(ExportFormat.ENV, models(ready, stopped)).text) == {
        "MODEL_ACME": FIREWORKS_NAME,
        "BASE_URL_ACME": CALLED,
    }
    entry = tomllib.loads(export(ExportFormat.TOML, models(ready)).text)["models"]["acme"]
    assert (entry["model_string"], entry["base_url"]) == (FIREWORKS_NAME, CALLED)
    assert entry["fine_tuned_model"] == "ft:gpt-4.1-mini:acme"


def test_lists_say_until_when_a_deployed_model_is_callable() -> None:
    wanted = models(deployed(), deployed("red", callable=False, state="stopped"))
    table = export(ExportFormat.TABLE, wanted).text
    assert "until 2026-09-21 14:13 UTC" in table
    rows = {row["account"]: row for row in csv.DictReader(io.StringIO(export(ExportFormat.CSV, wanted).text))}
    assert (rows["acme"]["model_string"], rows["acme"]["base_url"]) == (FIREWORKS_NAME, CALLED)
    assert rows["acme"]["callable_until"] == "2026-09-21 14:13 UTC"
    assert (rows["red"]["model_string"], rows["red"]["callable_until"]) == ("", "")


def test_litellm_calls_a_deployment_of_bedrock_by_its_arn() -> None:
    arn = "arn:aws:bedrock:us-east-1:123456789012:custom-model-deployment/a1b2c3d4e5f6"
    url = "https://bedrock-runtime.us-east-1.amazonaws.com"
    [entry] = litellm(models(deployed(provider="bedrock", model=arn, base_url=url)))
    assert entry["litellm_params"]["model"] == f"bedrock/converse/{arn}"

"""What is particular to one provider: the answers nobody could confirm, and ways that only one has."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any, cast

import pytest
from fake_openai_dialects import (
    ForgetfulTranslator,
    MantleWithMetadataTranslator,
    RefusingTranslator,
    SilentTranslator,
)
from provider_bench import (
    LINES,
    TAG,
    AzureBench,
    CompatibleBench,
    FireworksBench,
    MantleBench,
    NebiusBench,
    OpenAIBench,
    TogetherBench,
    TranslatedBench,
)
from sandboxes import serving

from orchestrator.core.account import Account, ProviderName
from orchestrator.core.errors import (
    AmbiguousRemoteJob,
    DailyLimitReached,
    FileNotReady,
    QuotaExhausted,
    TemporaryError,
    UnknownOutcome,
    UploadAddressRefused,
)
from orchestrator.core.plans.price import Quote
from orchestrator.core.remote import RemoteJobStatus, RemoteModel
from orchestrator.core.secret import Redactor, Secret
from orchestrator.providers.base import Deadline, QuoteProvider
from orchestrator.providers.http.client import create_http_client
from orchestrator.providers.openai import openai_provider
from orchestrator.providers.openai.mapping import to_remote_model
from orchestrator.providers.openai.responses import MODEL_DECODER
from orchestrator.sandbox import Fault, SandboxSettings


class ForgetfulBench(TranslatedBench):
    name = ProviderName.OPENAI_COMPATIBLE
    translator = ForgetfulTranslator


class RefusingBench(ForgetfulBench):
    translator = RefusingTranslator


class SilentBench(ForgetfulBench):
    translator = SilentTranslator


def sent(bench: OpenAIBench) -> list[dict[str, Any]]:
    """The jobs the sandbox holds, as they were asked for."""
    jobs = bench.sandbox.state.sandbox.jobs.of("acme").values()
    return [{"suffix": job.suffix, "metadata": job.metadata, "seed": job.seed, "asked": job.asked} for job in jobs]


async def test_openai_keeps_the_suffix_and_the_tag_apart(tmp_path: Path) -> None:
    bench = OpenAIBench(tmp_path)
    await bench.job(bench.provider(), suffix="tone.v1", seed=0)
    (job,) = sent(bench)
    assert (job["suffix"], job["metadata"], job["seed"]) == ("tone.v1", {"orchestrator_job": TAG}, 0)


@pytest.mark.parametrize(
    ("suffix", "expected"),
    [
        (None, "0123456789abcdef-0"),
        ("tone.v1", "tone-v1-0123456789abcdef-0"),
        ("a-suffix-that-is-longer-than-it-may-be-there", "a-suffix-that-is-long-0123456789abcdef-0"),
    ],
)
async def test_suffix_carries_the_tag_and_a_shortened_name(tmp_path: Path, suffix: str | None, expected: str) -> None:
    bench = AzureBench(tmp_path)
    await bench.job(bench.provider(), suffix=suffix)
    assert [job["suffix"] for job in sent(bench)] == [expected]
    assert len(expected) <= 40


@pytest.mark.parametrize("kind", [CompatibleBench, ForgetfulBench, RefusingBench])
async def test_a_compatible_server_with_metadata_or_without(tmp_path: Path, kind: type[OpenAIBench]) -> None:
    bench = kind(tmp_path)
    provider = bench.provider()
    order = bench.order(await bench.ready_file(provider))
    bench.faults(Fault("lose_answer", operations=("jobs.create",), times=1))
    with pytest.raises(UnknownOutcome):
        await provider.create_job(order, bench.deadline())
    assert len(await provider.find_jobs(order)) == bench.jobs() == 1


async def test_daily_limit_is_distinguished_from_rate_limit(tmp_path: Path) -> None:
    bench = OpenAIBench(tmp_path)
    provider = bench.provider()
    order = bench.order(await bench.ready_file(provider))
    bench.faults(Fault("daily_limit"))
    with pytest.raises(DailyLimitReached):
        await provider.create_job(order, bench.deadline())
    assert bench.jobs() == 0


async def test_server_without_tags_makes_candidates_ambiguous(tmp_path: Path) -> None:
    bench = SilentBench(tmp_path)
    provider = bench.provider()
    file = await bench.ready_file(provider)
    assert await provider.find_jobs(bench.order(file)) == []
    job = await provider.create_job(bench.order(file), bench.deadline())
    with pytest.raises(AmbiguousRemoteJob) as caught:
        await provider.find_jobs(bench.order(file))
    assert job.id in caught.value.message
    assert "orchestrator release" in caught.value.hint
    assert await provider.find_jobs(bench.order(file, base_model="sandbox-large")) == []


async def test_a_refusal_because_the_file_is_still_processed_is_understood(tmp_path: Path) -> None:
    bench = OpenAIBench(tmp_path)
    bench.faults(Fault("file_not_ready"))
    provider = bench.provider()
    early = await provider.upload_file(bench.file(), bench.deadline())
    with pytest.raises(FileNotReady):
        await provider.create_job(bench.order(early), bench.deadline())
    bench.now += 10
    assert (await provider.create_job(bench.order(early), bench.deadline())).id
    assert bench.jobs() == 1


async def test_azure_early_create_is_not_confused_with_other_refusals(tmp_path: Path) -> None:
    bench = AzureBench(tmp_path)
    provider = bench.provider()
    early = await provider.upload_file(bench.file(), bench.deadline())
    with pytest.raises(FileNotReady):
        await provider.create_job(bench.order(early), bench.deadline())
    file = await bench.ready_file(provider, LINES * 2)
    bench.translated.error_answer = lambda error: error | {"code": "invalidPayload"}  # type: ignore[method-assign]
    with pytest.raises(TemporaryError) as caught:
        await provider.create_job(bench.order(file, base_model="no-such-model"), bench.deadline())
    assert caught.value.account == "acme"
    assert type(caught.value) is TemporaryError, "one that counts as an attempt, because the file is ready"


async def test_azure_names_its_model_and_its_training_type(tmp_path: Path) -> None:
    bench = AzureBench(tmp_path)
    provider = bench.provider()
    job = await bench.job(provider, training_type="Developer")
    bench.now += 100
    done = await provider.get_job(job.id)
    assert done.fine_tuned_model
    assert done.fine_tuned_model.startswith("sandbox-small.ft-")


async def test_nebius_result_is_the_last_checkpoint(tmp_path: Path) -> None:
    bench = NebiusBench(tmp_path)
    provider = bench.provider()
    job = await bench.job(provider, n_epochs=4, batch_size=2)
    bench.now += 30
    assert (await provider.get_job(job.id)).fine_tuned_model is None
    bench.now += 60
    done = await provider.get_job(job.id)
    listed = await bench.http.sdk_client.get(
        f"{bench.base_url}/fine_tuning/jobs/{job.id}/checkpoints", headers={"authorization": "Bearer sandbox-acme"}
    )
    saved = {checkpoint["step_number"]: checkpoint["id"] for checkpoint in listed.json()["data"]}
    assert len(saved) > 1
    assert done.fine_tuned_model == saved[max(saved)]
    assert done.organization is None


class MantleWithMetadataBench(MantleBench):
    translator = MantleWithMetadataTranslator


@pytest.mark.parametrize("kind", [MantleBench, MantleWithMetadataBench])
async def test_mantle_job_is_found_with_metadata_or_without(tmp_path: Path, kind: type[OpenAIBench]) -> None:
    bench = kind(tmp_path)
    provider = bench.provider()
    file = await bench.ready_file(provider)
    made = await provider.create_job(bench.order(file), bench.deadline())
    copy = await bench.ready_file(provider)
    assert [job.id for job in await provider.find_jobs(bench.order(copy))] == [made.id]
    await provider.delete_file(file.id)
    found = await provider.find_jobs(bench.order(copy))
    assert [job.id for job in found] == ([made.id] if kind is MantleWithMetadataBench else [])


async def test_retirement_date_of_a_base_model_is_read(tmp_path: Path) -> None:
    openais = await OpenAIBench(tmp_path).provider().find_model("gpt-4.1-mini-2025-04-14")
    assert openais == RemoteModel(id="gpt-4.1-mini-2025-04-14", shutdown=date(2027, 1, 14))
    bench = FireworksBench(tmp_path)
    provider, retiring = bench.provider(), "accounts/fireworks/models/retiring"
    assert await provider.find_model(retiring) == RemoteModel(id=retiring, tunable=True, shutdown=date(2027, 3, 1))
    assert await provider.find_model(bench.base_model) == RemoteModel(id=bench.base_model, tunable=True)
    ends = {"fine_tune": 1_790_000_000, "inference": 1_800_000_000}
    shown = {"id": "m", "capabilities": {"fine_tune": True, "inference": True}, "deprecation": ends}
    azure = to_remote_model(MODEL_DECODER.decode(json.dumps(shown)))
    assert azure == RemoteModel(id="m", tunable=True, shutdown=date(2027, 1, 15), training_ends=date(2026, 9, 21))


async def test_together_creates_no_job_beyond_the_account_limit(tmp_path: Path) -> None:
    bench = TogetherBench(tmp_path)
    provider = bench.provider("poor")
    file = await bench.ready_file(provider)
    with pytest.raises(QuotaExhausted, match=r"estimates \$1\.50 and the account's limit is \$1\.00"):
        await provider.create_job(bench.order(file), bench.deadline())
    assert bench.jobs("poor") == 0


async def test_together_quotes_a_price_once_the_file_exists(tmp_path: Path) -> None:
    bench = TogetherBench(tmp_path)
    quotes = {}
    for name in ("acme", "poor", "unestimated"):
        provider = bench.provider(name)
        order = bench.order(await bench.ready_file(provider))
        quotes[name] = await cast(QuoteProvider, provider).quote(order)
    refusal = "the provider estimates $1.50 and the account's limit is $1.00"
    assert quotes == {
        "acme": Quote(1.5, "together's estimate"),
        "poor": Quote(1.5, "together's estimate", refusal),
        "unestimated": None,
    }
    assert bench.jobs() == 0


async def test_together_continues_without_an_estimate(tmp_path: Path) -> None:
    bench = TogetherBench(tmp_path)
    provider = bench.provider("unestimated")
    file = await bench.ready_file(provider)
    assert (await provider.create_job(bench.order(file), bench.deadline())).status is RemoteJobStatus.PENDING


async def test_fireworks_progress_price_and_options_are_normalised(tmp_path: Path) -> None:
    bench = FireworksBench(tmp_path)
    provider = bench.provider()
    job = await bench.job(provider, n_epochs=2)
    assert (job.progress, job.quoted_usd) == (0.1, 1.5)
    assert job.hyperparameters == {"n_epochs": 2, "learning_rate": 0.0001, "lora_rank": 8}
    bench.now += 100
    assert (await provider.get_job(job.id)).progress == 1.0


async def test_fireworks_repeated_create_makes_one_job(tmp_path: Path) -> None:
    bench = FireworksBench(tmp_path)
    provider = bench.provider()
    order = bench.order(await bench.ready_file(provider))
    jobs = [await provider.create_job(order, bench.deadline()) for _ in range(3)]
    assert {job.id for job in jobs} == {f"accounts/org-acme/supervisedFineTuningJobs/orchestrator-{TAG[:-2]}-0"}
    assert bench.jobs() == 1
    bench.now += 100
    done = await provider.get_job(jobs[0].id)
    assert done.fine_tuned_model == f"accounts/org-acme/models/ft-tone-v1-{TAG[:-2]}-0"


async def test_fireworks_reports_why_an_account_is_suspended(tmp_path: Path) -> None:
    with pytest.raises(QuotaExhausted, match="CREDIT_DEPLETED"):
        await FireworksBench(tmp_path).provider("poor").verify()


async def test_fireworks_uploads_large_files_to_a_signed_url(tmp_path: Path) -> None:
    bench = FireworksBench(tmp_path)
    provider = bench.provider()
    lines = '{"x": "' + "a" * 1_000_000 + '"}\n'
    file = await bench.ready_file(provider, lines * 151)
    assert [len(content) for content in bench.contents()] == [len(lines) * 151]
    assert bench.world.counts["files.create", "200"] == 3
    assert await provider.find_file(bench.file(lines * 151)) == file


async def test_fireworks_resumes_an_interrupted_upload(tmp_path: Path) -> None:
    bench = FireworksBench(tmp_path)
    provider = bench.provider()
    bench.faults(Fault("lose_answer", operations=("files.create",), times=1))
    with pytest.raises(UnknownOutcome):
        await provider.upload_file(bench.file(), bench.deadline())
    assert await provider.find_file(bench.file()) is None
    assert (await bench.ready_file(provider)).id.endswith(bench.file().filename.removesuffix(".jsonl"))


async def test_a_request_that_waited_past_its_deadline_is_not_sent(tmp_path: Path) -> None:
    """On a real port: the deadline passes between the first look and the first byte."""
    bench = OpenAIBench(tmp_path)
    times = iter([0.0, 0.0, 0.0])
    async with serving(SandboxSettings()) as address, create_http_client(5) as http:
        account = Account(name="acme", provider=ProviderName.OPENAI, api_key="env:K", base_url=f"{address}/v1")
        provider = openai_provider.build_provider_factory(http, Redactor())(account, Secret("sandbox-acme"))
        await provider.verify()
        with pytest.raises(TemporaryError, match="nothing was sent"):
            await provider.upload_file(bench.file(), Deadline(30.0, lambda: next(times, 100.0)))
        state = (await http.sdk_client.get(f"{address}/sandbox/state")).json()
    assert "files.create" not in state["requests"]


async def test_dataset_is_not_sent_to_an_unencrypted_address(tmp_path: Path) -> None:
    bench = TogetherBench(tmp_path)
    bench.base_url = "http://far.example/v1"  # type: ignore[misc]
    with pytest.raises(UploadAddressRefused, match="is not encrypted"):
        await bench.provider().upload_file(bench.file(), bench.deadline())
    assert bench.contents() == []

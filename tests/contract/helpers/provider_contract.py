"""The contract of every provider: one base class with one fixture. A dialect's own test is its bench."""

from __future__ import annotations

import re
from collections.abc import Awaitable
from typing import Any, cast

import httpx2
import pytest
from provider_bench import LINES, PAIRS, TAG, ProviderBench, oversized

from orchestrator.core.account import Account, ProviderName
from orchestrator.core.capabilities import JobLookup
from orchestrator.core.errors import (
    AmbiguousRemoteJob,
    AuthenticationFailed,
    ProviderError,
    ProviderUnavailable,
    QuotaExhausted,
    RateLimited,
    RemoteNotFound,
    RequestRejected,
    TrainingNotAllowed,
    UnknownOutcome,
    WrongOrganization,
)
from orchestrator.core.jobs.checkpoint import number_checkpoints
from orchestrator.core.jobs.loss import merge_curves
from orchestrator.core.remote import RemoteFileStatus, RemoteJobStatus
from orchestrator.providers.base import CheckpointProvider
from orchestrator.sandbox import Fault
from orchestrator.sandbox.faults import MALFORMED_LISTS

OTHER = "fedcba9876543210.0"
DEEP = b"[" * 50_000 + b"]" * 50_000


async def error(call: Awaitable[Any], kind: type[ProviderError]) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await call
    assert type(caught.value) is kind, repr(caught.value)
    assert caught.value.account == "acme"
    return caught.value


class ProviderContract:
    """What every provider does, however its API says it."""

    @pytest.fixture
    def bench(self) -> ProviderBench:
        raise NotImplementedError

    async def test_verify_returns_the_identity_of_the_key(self, bench: ProviderBench) -> None:
        identity = await bench.provider().verify()
        assert identity.organization == ("org-acme" if bench.names_organization else None)

    async def test_wrong_key_is_reported_without_being_shown(self, bench: ProviderBench) -> None:
        found = await error(bench.provider(key="sk-canary-0042").verify(), AuthenticationFailed)
        assert "canary" not in found.message
        assert found.hint

    async def test_key_of_another_organisation_is_detected(self, bench: ProviderBench) -> None:
        if not bench.names_organization:
            pytest.skip("this provider does not say whose key it is")
        account = Account(name="acme", provider=bench.name, api_key="env:KEY", organization="org-other")

        async def verify() -> None:
            (await bench.provider(organization="org-other").verify()).check(account)

        await error(verify(), WrongOrganization)

    async def test_base_model_is_found_or_unknown(self, bench: ProviderBench) -> None:
        provider = bench.provider()
        model = await provider.find_model(bench.base_model)
        assert model is not None
        assert model.id == bench.base_model
        assert model.tunable is not False
        assert await provider.find_model("accounts/fireworks/models/none") is None

    async def test_base_models_are_listed_where_the_provider_lists_them(self, bench: ProviderBench) -> None:
        listed = await bench.provider().list_models()
        assert bench.base_model in listed if bench.lists_models else listed == []

    async def test_fine_tuned_model_is_found_until_it_is_deleted(self, bench: ProviderBench) -> None:
        provider = bench.provider()
        if not provider.capabilities.has_model_lookup:
            pytest.skip("this provider does not say whether a finished model is still there")
        job = await bench.job(provider)
        bench.now += 100
        done = await provider.get_job(job.id)
        model = await provider.find_model(done.fine_tuned_model or "")
        assert model is not None
        assert model.id == done.fine_tuned_model
        assert await provider.find_model(f"{done.fine_tuned_model}-gone") is None

    async def test_an_uploaded_file_becomes_ready(self, bench: ProviderBench) -> None:
        provider = bench.provider()
        sent = await provider.upload_file(bench.file(), bench.deadline())
        checked = {RemoteFileStatus.UPLOADED, RemoteFileStatus.PROCESSING}
        early = (await provider.get_file(sent.id)).status
        assert early in checked if bench.checks_files else early is RemoteFileStatus.READY
        bench.now += 10
        ready = await provider.get_file(sent.id)
        assert (ready.id, ready.status) == (sent.id, RemoteFileStatus.READY)

    async def test_the_canonical_bytes_arrive(self, bench: ProviderBench) -> None:
        await bench.provider().upload_file(bench.file(), bench.deadline())
        assert bench.contents() == [LINES.encode()]

    async def test_byte_order_mark_is_sent_where_required(self, bench: ProviderBench) -> None:
        provider = bench.provider()
        if "byte_order_mark" not in provider.capabilities.options:
            pytest.skip("this provider takes no mark")
        wanted = bench.file(mark=True)
        sent = await provider.upload_file(wanted, bench.deadline())
        assert bench.contents() == [b"\xef\xbb\xbf" + LINES.encode()]
        bench.now += 10
        found = await provider.find_file(wanted)
        assert found is not None
        assert (found.id, found.status) == (sent.id, RemoteFileStatus.READY)
        assert await provider.find_file(bench.file()) is None

    async def test_no_file_is_found_before_there_is_one(self, bench: ProviderBench) -> None:
        assert await bench.provider().find_file(bench.file()) is None

    async def test_uploaded_file_is_found(self, bench: ProviderBench) -> None:
        provider = bench.provider()
        sent = await bench.ready_file(provider)
        assert await provider.find_file(bench.file()) == sent

    async def test_find_file_ignores_other_files(self, bench: ProviderBench) -> None:
        provider = bench.provider()
        await bench.ready_file(provider)
        assert await provider.find_file(bench.file(LINES * 2)) is None

    async def test_find_file_ignores_files_of_other_accounts(self, bench: ProviderBench) -> None:
        await bench.ready_file(bench.provider("other"))
        assert await bench.provider().find_file(bench.file()) is None

    async def test_second_upload_of_a_file_is_allowed(self, bench: ProviderBench) -> None:
        provider = bench.provider()
        await bench.ready_file(provider)
        again = await provider.upload_file(bench.file(), bench.deadline())
        bench.now += 10
        assert (await provider.get_file(again.id)).status is RemoteFileStatus.READY

    async def test_lost_upload_answer_is_unknown_and_the_next_attempt_succeeds(self, bench: ProviderBench) -> None:
        provider = bench.provider()
        bench.faults(Fault("lose_answer", operations=("files.create",), times=1))
        found = await error(provider.upload_file(bench.file(), bench.deadline()), UnknownOutcome)
        assert found.hint
        bench.now += 10
        file = await provider.find_file(bench.file()) or await provider.upload_file(bench.file(), bench.deadline())
        bench.now += 10
        assert (await provider.get_file(file.id)).status is RemoteFileStatus.READY
        assert len(bench.contents()) == 1

    async def test_a_cut_upload_answer_is_unknown(self, bench: ProviderBench) -> None:
        bench.faults(Fault("truncate", operations=("files.create",), times=1))
        await error(bench.provider().upload_file(bench.file(), bench.deadline()), UnknownOutcome)

    async def test_no_file_is_sent_after_the_deadline(self, bench: ProviderBench) -> None:
        with pytest.raises(ProviderError):
            await bench.provider().upload_file(bench.file(), bench.deadline(-1))
        assert bench.contents() == []

    async def test_a_refused_file_says_why(self, bench: ProviderBench) -> None:
        provider = bench.provider()
        bench.faults(Fault("reject_file", message="line 3 is not JSON"))
        if not bench.checks_files:
            found = await error(provider.upload_file(bench.file(), bench.deadline()), RequestRejected)
            assert "line 3 is not JSON" in found.message
            assert bench.contents() == []
            return
        sent = await provider.upload_file(bench.file(), bench.deadline())
        bench.now += 10
        refused = await provider.get_file(sent.id)
        assert (refused.status, refused.message) == (RemoteFileStatus.REFUSED, "line 3 is not JSON")
        assert await provider.find_file(bench.file()) is None

    async def test_an_oversized_file_is_refused_before_it_is_opened(self, bench: ProviderBench) -> None:
        provider = bench.provider()
        found = await error(
            provider.upload_file(oversized(bench.file(), provider), bench.deadline()), RequestRejected
        )
        assert f"{provider.capabilities.maximum_bytes:,}" in found.message

    async def test_deleting_a_file_twice_is_allowed(self, bench: ProviderBench) -> None:
        provider = bench.provider()
        file = await bench.ready_file(provider)
        assert (await provider.get_file(file.id)).filename == bench.file().filename
        await provider.delete_file(file.id)
        await provider.delete_file(file.id)
        await error(provider.get_file(file.id), RemoteNotFound)

    async def test_a_created_job_is_pending_then_runs_then_has_a_model(self, bench: ProviderBench) -> None:
        provider = bench.provider()
        job = await bench.job(provider)
        assert job.status is RemoteJobStatus.PENDING
        assert job.base_model == bench.base_model
        bench.now += 30
        assert (await provider.get_job(job.id)).status is RemoteJobStatus.RUNNING
        bench.now += 60
        done = await provider.get_job(job.id)
        assert (done.status, done.id) == (RemoteJobStatus.SUCCEEDED, job.id)
        assert done.fine_tuned_model
        assert done.servable is provider.capabilities.servable

    async def test_created_job_has_the_requested_options(self, bench: ProviderBench) -> None:
        job = await bench.job(bench.provider(), n_epochs=2)
        assert 2 in {job.hyperparameters.get("n_epochs"), job.hyperparameters.get("epochs")}

    async def test_every_option_it_offers_is_accepted(self, bench: ProviderBench) -> None:
        provider = bench.provider()
        values: dict[str, Any] = {
            "method": "supervised",
            "n_epochs": 2,
            "batch_size": 4,
            "learning_rate": 1e-5,
            "learning_rate_multiplier": 0.5,
            "context_length": 4096,
            "lora": True,
            "lora_rank": 16,
            "lora_alpha": 32,
            "training_type": "Developer",
        }
        offered = {name: value for name, value in values.items() if name in provider.capabilities.options}
        job = await bench.job(provider, **offered, seed=7 if provider.capabilities.seed else None)
        assert job.status is RemoteJobStatus.PENDING

    async def test_every_method_it_offers_ends_with_a_model(self, bench: ProviderBench) -> None:
        provider = bench.provider()
        for method in provider.capabilities.methods:
            tag = f"{TAG[:-1]}{len(method)}"
            file = await bench.ready_file(provider, PAIRS if method == "dpo" else LINES, tag)
            order = bench.order(file, tag, method=method)
            made = await provider.create_job(order, bench.deadline())
            assert [job.id for job in await provider.find_jobs(order)] == [made.id]
            bench.now += 100
            done = await provider.get_job(made.id)
            assert done.fine_tuned_model, done
            assert done.base_model == bench.base_model

    async def test_spec_without_options_is_accepted(self, bench: ProviderBench) -> None:
        job = await bench.job(bench.provider(), n_epochs="auto", suffix=None)
        assert job.status is RemoteJobStatus.PENDING

    async def test_no_job_is_found_before_there_is_one(self, bench: ProviderBench) -> None:
        provider = bench.provider()
        file = await bench.ready_file(provider)
        assert await provider.find_jobs(bench.order(file)) == []

    async def test_a_job_whose_create_answer_was_lost_is_found(self, bench: ProviderBench) -> None:
        provider = bench.provider()
        order = bench.order(await bench.ready_file(provider))
        bench.faults(Fault("lose_answer", operations=("jobs.create",), times=1))
        await error(provider.create_job(order, bench.deadline()), UnknownOutcome)
        found = await provider.find_jobs(order)
        assert [job.training_file for job in found] == [order.training_file]
        assert bench.jobs() == 1

    async def test_a_cut_create_answer_is_unknown_and_found(self, bench: ProviderBench) -> None:
        provider = bench.provider()
        order = bench.order(await bench.ready_file(provider))
        bench.faults(Fault("truncate", operations=("jobs.create",), times=1))
        await error(provider.create_job(order, bench.deadline()), UnknownOutcome)
        assert len(await provider.find_jobs(order)) == bench.jobs() == 1

    async def test_a_server_error_on_create_is_unknown(self, bench: ProviderBench) -> None:
        provider = bench.provider()
        order = bench.order(await bench.ready_file(provider))
        bench.faults(Fault("server_error", operations=("jobs.create",), times=1))
        await error(provider.create_job(order, bench.deadline()), UnknownOutcome)
        assert await provider.find_jobs(order) == []
        await provider.create_job(order, bench.deadline())
        assert bench.jobs() == 1

    async def test_no_job_is_created_after_the_deadline(self, bench: ProviderBench) -> None:
        provider = bench.provider()
        order = bench.order(await bench.ready_file(provider))
        with pytest.raises(ProviderError):
            await provider.create_job(order, bench.deadline(-1))
        assert bench.jobs() == 0

    async def test_find_jobs_ignores_jobs_with_another_tag(self, bench: ProviderBench) -> None:
        provider = bench.provider()
        file = await bench.ready_file(provider)
        other = await bench.ready_file(provider, tag=OTHER)
        await provider.create_job(bench.order(other, OTHER), bench.deadline())
        assert await provider.find_jobs(bench.order(file)) == []

    async def test_retry_round_creates_another_job(self, bench: ProviderBench) -> None:
        provider = bench.provider()
        file = await bench.ready_file(provider)
        first = await provider.create_job(bench.order(file), bench.deadline())
        tag = TAG.replace(".0", ".1")
        again = bench.order(await bench.ready_file(provider, tag=tag), tag)
        assert await provider.find_jobs(again) == []
        second = await provider.create_job(again, bench.deadline())
        assert first.id != second.id
        assert [job.id for job in await provider.find_jobs(again)] == [second.id]

    async def test_find_jobs_returns_all_candidates(self, bench: ProviderBench) -> None:
        provider = bench.provider()
        order = bench.order(await bench.ready_file(provider))
        for _ in range(2):
            await provider.create_job(order, bench.deadline())
        expected = 1 if provider.capabilities.job_lookup is JobLookup.CLIENT_ID else 2
        assert len(await provider.find_jobs(order)) == bench.jobs() == expected

    async def test_a_job_is_found_behind_many_others(self, bench: ProviderBench) -> None:
        provider = bench.provider()
        file = await bench.ready_file(provider)
        ours = await provider.create_job(bench.order(file), bench.deadline())
        for number in range(6):
            tag = f"{number:016x}.0"
            other = await bench.ready_file(provider, tag=tag)
            await provider.create_job(bench.order(other, tag), bench.deadline())
        bench.faults(Fault("page_size", size=2), Fault("ignore_metadata_filter"))
        assert [job.id for job in await provider.find_jobs(bench.order(file))] == [ours.id]

    async def test_list_that_repeats_its_page_is_an_error(self, bench: ProviderBench) -> None:
        if not bench.pages:
            pytest.skip("this provider's lists have one page")
        provider = bench.provider()
        order = bench.order(await bench.ready_file(provider))
        await provider.create_job(order, bench.deadline())
        bench.faults(Fault("stuck_cursor"), Fault("page_size", size=1))
        await error(provider.find_jobs(order), ProviderUnavailable)

    @pytest.mark.parametrize("shape", MALFORMED_LISTS)
    async def test_answer_without_a_list_is_not_an_empty_list(self, bench: ProviderBench, shape: str) -> None:
        provider = bench.provider()
        if shape == "empty_object" and bench.empty_list_is_empty_object:
            pytest.skip("this provider's empty list has no key")
        order = bench.order(await bench.ready_file(provider))
        job = await provider.create_job(order, bench.deadline())
        with bench.answering(MALFORMED_LISTS[shape]({"data": [], "has_more": False})):
            await error(provider.find_jobs(order), ProviderUnavailable)
            await error(provider.find_file(bench.file()), ProviderUnavailable)
        assert [found.id for found in await provider.find_jobs(order)] == [job.id]
        assert await provider.find_file(bench.file()) is not None

    @pytest.mark.parametrize("status", [201, 204, 206])
    async def test_list_with_an_unexpected_status_is_not_an_empty_list(
        self, bench: ProviderBench, status: int
    ) -> None:
        provider = bench.provider()
        order = bench.order(await bench.ready_file(provider))
        with bench.answering({"object": "list", "data": [], "has_more": False}, status):
            await error(provider.find_jobs(order), ProviderUnavailable)
            await error(provider.find_file(bench.file()), ProviderUnavailable)

    async def test_a_malformed_answer_is_quoted_without_keys(self, bench: ProviderBench) -> None:
        provider = bench.provider()
        order = bench.order(await bench.ready_file(provider))
        with bench.answering({"error": {"message": "upstream timed out: Bearer sandbox-acme"}}):
            found = await error(provider.find_jobs(order), ProviderUnavailable)
        assert "upstream timed out" in found.message
        assert "sandbox-acme" not in found.message

    @pytest.mark.parametrize("shown", [{}, {"model": None, "training_file": None}])
    async def test_job_without_a_tag_is_reported_as_ambiguous(
        self, bench: ProviderBench, shown: dict[str, Any]
    ) -> None:
        """The only thing that is said of it is that it exists: it may be ours."""
        provider = bench.provider()
        if provider.capabilities.job_lookup is JobLookup.CLIENT_ID:
            pytest.skip("this provider's jobs are found by their id")
        order = bench.order(await bench.ready_file(provider))
        job = {"id": "ftjob-1", "object": "fine_tuning.job", "status": "running", **shown}
        with (
            bench.answering({"object": "list", "data": [job], "has_more": False}),
            pytest.raises((ProviderUnavailable, AmbiguousRemoteJob)),
        ):
            await provider.find_jobs(order)

    async def test_single_page_list_with_more_pages_is_an_error(self, bench: ProviderBench) -> None:
        provider = bench.provider()
        if bench.pages or provider.capabilities.job_lookup is JobLookup.CLIENT_ID:
            pytest.skip("this provider's lists have pages, or there is none")
        order = bench.order(await bench.ready_file(provider))
        job = {
            "id": "ft-1",
            "status": "running",
            "training_file": "file-1",
            "model": "m",
            "suffix": "theirs",
            "n_epochs": 1,
        }
        with bench.answering({"data": [job], "has_more": True}):
            await error(provider.find_jobs(order), ProviderUnavailable)

    async def test_answer_about_another_object_is_an_error(self, bench: ProviderBench) -> None:
        provider = bench.provider()
        file = await bench.ready_file(provider)
        job = await provider.create_job(bench.order(file), bench.deadline())
        other = await provider.create_job(bench.order(file, OTHER), bench.deadline())

        def swap(request: httpx2.Request, body: Any) -> Any:
            return bench.change_id(body, lambda identity: other.id if identity == job.id else identity + "0")

        with bench.changing(swap):
            about_job = await error(provider.get_job(job.id), ProviderUnavailable)
            assert f"is about {other.id} instead of {job.id}" in about_job.message
            if not bench.names_files:
                return
            about_file = await error(provider.get_file(file.id), ProviderUnavailable)
        assert f"is about {file.id}0 instead of {file.id}" in about_file.message

    @pytest.mark.parametrize("status", [202, 204, 300, 302, 307, 408, 425, 460, 499, 500, 520, 599])
    async def test_unclear_create_answer_is_an_unknown_outcome(self, bench: ProviderBench, status: int) -> None:
        provider = bench.provider()
        order = bench.order(await bench.ready_file(provider))
        with bench.answering_creates(b"<html>Please wait</html>", status):
            await error(provider.create_job(order, bench.deadline()), UnknownOutcome)

    @pytest.mark.parametrize("status", [400, 403, 405, 413, 422])
    async def test_refusal_without_json_keeps_its_text_and_path(self, bench: ProviderBench, status: int) -> None:
        provider = bench.provider()
        order = bench.order(await bench.ready_file(provider))
        page = f"<html>Blocked by  policy 7: {bench.key_of('acme')} ".encode() + b"x" * 10_000
        with bench.answering_creates(page, status), pytest.raises((RequestRejected, TrainingNotAllowed)) as caught:
            await provider.create_job(order, bench.deadline())
        assert "<html>Blocked by policy 7: [key " in caught.value.message
        assert re.search(r"at \S*(jobs|fine-tunes|Jobs): ", caught.value.message)

    @pytest.mark.parametrize("status", [301, 302, 307, 308])
    async def test_redirect_error_names_the_target_and_the_fix(self, bench: ProviderBench, status: int) -> None:
        provider = bench.provider()
        order = bench.order(await bench.ready_file(provider))
        moved = {"location": "https://new.example/v2/jobs?key=sk-secret"}
        with bench.answering(b"", status, moved), bench.answering_creates(b"", status, moved):
            messages = [
                (await error(provider.find_jobs(order), ProviderUnavailable)).message,
                (await error(provider.find_file(bench.file()), ProviderUnavailable)).message,
                (await error(provider.create_job(order, bench.deadline()), UnknownOutcome)).message,
            ]
        for message in messages:
            assert "to https://new.example/v2/jobs; if the API has moved, correct `base_url`" in message
            assert "sk-secret" not in message

    @pytest.mark.parametrize(
        "body", [b"<html>Sign in</html>", {}, [], {"data": "x"}, {"error": {"message": "no"}}, None]
    )
    async def test_key_is_verified_by_a_valid_answer_only(self, bench: ProviderBench, body: Any) -> None:
        with bench.answering(body):
            await error(bench.provider().verify(), ProviderUnavailable)

    @pytest.mark.parametrize("body", [[], 7, "x", None, {}, DEEP])
    async def test_malformed_base_model_answer_is_a_provider_error(self, bench: ProviderBench, body: Any) -> None:
        with bench.answering(body):
            await error(bench.provider().find_model(bench.base_model), ProviderUnavailable)

    async def test_account_without_training_permission_is_reported(self, bench: ProviderBench) -> None:
        provider = bench.provider()
        order = bench.order(await bench.ready_file(provider))
        bench.faults(Fault("forbidden", message="permission denied"))
        found = await error(provider.create_job(order, bench.deadline()), TrainingNotAllowed)
        assert "permission denied" in found.message
        assert bench.jobs() == 0

    async def test_account_without_credit_is_reported(self, bench: ProviderBench) -> None:
        provider = bench.provider()
        order = bench.order(await bench.ready_file(provider))
        bench.faults(Fault("quota"))
        await error(provider.create_job(order, bench.deadline()), QuotaExhausted)

    async def test_rate_limit_carries_the_retry_after_time(self, bench: ProviderBench) -> None:
        provider = bench.provider()
        order = bench.order(await bench.ready_file(provider))
        bench.faults(Fault("rate_limit", seconds=7))
        for call in (
            provider.get_file(order.training_file),
            provider.upload_file(bench.file(LINES * 2), bench.deadline()),
            provider.create_job(order, bench.deadline()),
        ):
            assert (await error(call, RateLimited)).retry_after == 7

    @pytest.mark.parametrize("kind", ["server_error", "drop", "lose_answer", "truncate"])
    async def test_failed_read_is_retryable(self, bench: ProviderBench, kind: str) -> None:
        provider = bench.provider()
        job = await bench.job(provider)
        bench.faults(Fault(kind, times=1))
        await error(provider.get_job(job.id), ProviderUnavailable)
        assert (await provider.get_job(job.id)).id == job.id

    async def test_an_unknown_base_model_is_refused(self, bench: ProviderBench) -> None:
        provider = bench.provider()
        file = await bench.ready_file(provider)
        order = bench.order(file, base_model="no-such-model")
        found = await error(provider.create_job(order, bench.deadline()), RequestRejected)
        assert "no-such-model" in found.message

    async def test_unknown_status_is_not_final_and_kept_verbatim(self, bench: ProviderBench) -> None:
        provider = bench.provider()
        bench.faults(Fault("unknown_status", seconds=1000))
        job = await bench.job(provider)
        bench.now += 100
        odd = await provider.get_job(job.id)
        assert odd.status is RemoteJobStatus.UNKNOWN
        assert odd.raw_status in {"reviewing", "JOB_STATE_POLISHING"}

    async def test_a_failed_job_says_why(self, bench: ProviderBench) -> None:
        provider = bench.provider()
        bench.faults(Fault("fail_job", message="loss is NaN"))
        job = await bench.job(provider)
        bench.now += 100
        failed = await provider.get_job(job.id)
        assert failed.status is RemoteJobStatus.FAILED
        assert failed.error_message == "loss is NaN"
        assert failed.fine_tuned_model is None

    async def test_a_vanished_job_is_missing(self, bench: ProviderBench) -> None:
        provider = bench.provider()
        bench.faults(Fault("vanish", seconds=5))
        job = await bench.job(provider)
        bench.now += 10
        await error(provider.get_job(job.id), RemoteNotFound)

    async def test_cancelled_job_ends(self, bench: ProviderBench) -> None:
        provider = bench.provider()
        job = await bench.job(provider)
        bench.now += 5
        assert (await provider.cancel_job(job.id)).status in {RemoteJobStatus.CANCELLING, RemoteJobStatus.CANCELLED}
        bench.now += 100
        assert (await provider.get_job(job.id)).status is RemoteJobStatus.CANCELLED

    async def test_cancelling_an_ended_job_returns_its_end(self, bench: ProviderBench) -> None:
        provider = bench.provider()
        job = await bench.job(provider)
        bench.now += 100
        done = await provider.cancel_job(job.id)
        assert done.status is RemoteJobStatus.SUCCEEDED
        assert done.fine_tuned_model

    async def test_cancelling_an_unknown_job_is_not_found(self, bench: ProviderBench) -> None:
        provider = bench.provider()
        job = await bench.job(provider)
        await error(provider.cancel_job(f"{job.id}0"), RemoteNotFound)

    async def test_loss_curve_is_read_incrementally(self, bench: ProviderBench) -> None:
        provider = bench.provider()
        job = await bench.job(provider)
        bench.now += 40
        first = merge_curves(await provider.losses(job.id, 0))
        assert bool(first) is provider.capabilities.losses
        assert all(loss.training and loss.step > 0 for loss in first)
        bench.now += 100
        last = first[-1].step if first else 0
        then = merge_curves(await provider.losses(job.id, last))
        assert bool(then) is provider.capabilities.losses
        assert all(loss.step > last for loss in then)
        assert await provider.losses(job.id, then[-1].step if then else 0) == []

    async def test_checkpoints_of_a_finished_job_are_listed(self, bench: ProviderBench) -> None:
        provider = bench.provider()
        job = await bench.job(provider)
        bench.now += 1000
        done = await provider.get_job(job.id)
        if not provider.capabilities.checkpoints:
            assert not hasattr(provider, "checkpoints") or bench.name is ProviderName.BEDROCK_MANTLE
            return
        kept = number_checkpoints(await cast(CheckpointProvider, provider).checkpoints(done.id))
        assert [each.number for each in kept] == list(range(1, len(kept) + 1))
        assert len({each.model for each in kept}) == len(kept) > 0
        bench.faults(Fault("server_error"))
        with pytest.raises(ProviderError):
            await cast(CheckpointProvider, provider).checkpoints(done.id)

    async def test_job_events_are_listed(self, bench: ProviderBench) -> None:
        provider = bench.provider()
        job = await bench.job(provider)
        bench.now += 100
        told = await provider.events(job.id)
        assert bool(told) is provider.capabilities.events
        assert all(event.message for event in told)
        assert [event.at for event in told] == sorted(event.at for event in told)

"""The error codes that each provider documents, and what the service does about them."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from orchestrator.core.errors import (
    AuthenticationFailed,
    DailyLimitReached,
    DeploymentNotReady,
    FileNotReady,
    JobLimitReached,
    ProviderError,
    ProviderUnavailable,
    QuotaExhausted,
    RateLimited,
    RemoteNotFound,
    RequestRejected,
    WrongOrganization,
)
from orchestrator.providers.azure.azure_provider import CALL_ERROR_CODES
from orchestrator.providers.bedrock import bedrock_client
from orchestrator.providers.dashscope import dashscope_provider
from orchestrator.providers.fireworks import fireworks_provider
from orchestrator.providers.http.status_errors import get_error_class
from orchestrator.providers.objects import s3_client
from orchestrator.providers.openai import dialects
from orchestrator.providers.together import together_provider
from orchestrator.providers.vertex import vertex_provider

Codes = Mapping[str | None, type[ProviderError]]


def check(codes: Codes, status: int, expected: dict[type[ProviderError], list[str]]) -> None:
    actual = {code: get_error_class(status, code, codes) for names in expected.values() for code in names}
    assert actual == {code: kind for kind, names in expected.items() for code in names}


@pytest.mark.parametrize("codes", [bedrock_client.ERROR_CODES, s3_client.ERROR_CODES])
def test_key_that_aws_does_not_accept_holds_the_account(codes: Codes) -> None:
    names = {
        "bedrock": [
            "UnrecognizedClientException", "InvalidSignatureException", "ExpiredTokenException",
            "MissingAuthenticationTokenException", "IncompleteSignatureException",
        ],
        "s3": [
            "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "RequestTimeTooSkewed",
        ],
    }  # fmt: skip
    service = "bedrock" if codes is bedrock_client.ERROR_CODES else "s3"
    check(codes, 403, {AuthenticationFailed: names[service]})
    check(codes, 400, {AuthenticationFailed: names[service]})


def test_other_codes_of_aws_have_their_reaction() -> None:
    check(
        bedrock_client.ERROR_CODES,
        400,
        {
            JobLimitReached: ["ServiceQuotaExceededException"],
            RateLimited: ["ThrottlingException"],
            RemoteNotFound: ["ResourceNotFoundException"],
            RequestRejected: ["ConflictException", "ValidationException"],
            ProviderUnavailable: ["InternalServerException", "ModelErrorException"],
            DeploymentNotReady: ["ModelNotReadyException"],
        },
    )
    check(
        s3_client.ERROR_CODES,
        400,
        {ProviderUnavailable: ["RequestTimeout"], RequestRejected: ["NoSuchBucket", "MalformedXML"]},
    )


def test_codes_of_openai_have_their_reaction() -> None:
    check(
        dialects.ERROR_CODES,
        429,
        {
            QuotaExhausted: ["insufficient_quota"],
            WrongOrganization: ["mismatched_organization", "mismatched_project"],
            FileNotReady: ["file_not_ready"],
            JobLimitReached: ["too_many_running_jobs"],
            DailyLimitReached: ["daily_rate_limit_exceeded"],
            RateLimited: ["rate_limit_exceeded"],
        },
    )


def test_codes_of_dashscope_have_their_reaction() -> None:
    check(
        dashscope_provider.ERROR_CODES,
        400,
        {
            AuthenticationFailed: ["InvalidApiKey"],
            QuotaExhausted: ["Arrearage"],
            RequestRejected: ["ModelNotFound", "InvalidParameter"],
            RemoteNotFound: ["NotFound"],
            JobLimitReached: ["Throttling"],
            RateLimited: ["Throttling.RateQuota", "Throttling.AllocationQuota"],
        },
    )


def test_account_without_credit_is_held_at_every_provider_that_says_so() -> None:
    check(together_provider.ERROR_CODES, 403, {QuotaExhausted: ["insufficient_quota", "insufficient_funds"]})
    check(vertex_provider.ERROR_CODES, 403, {QuotaExhausted: ["BILLING_DISABLED"]})
    assert get_error_class(412, None, fireworks_provider.ERROR_CODES) is QuotaExhausted


def test_deployment_of_azure_that_is_not_routed_yet_is_called_again() -> None:
    assert get_error_class(404, None, CALL_ERROR_CODES) is DeploymentNotReady
    check(CALL_ERROR_CODES, 400, {DeploymentNotReady: ["DeploymentNotFound"], RequestRejected: ["BadRequest"]})

"""The names that clouds give to the resources of an account: regions, buckets, roles, subscriptions.

They become parts of host names and paths, so their characters are checked.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator


def _validate_region(value: str) -> str:
    """Validate a region, which becomes part of a host's name."""
    if not re.fullmatch(r"[a-z]+(?:-[a-z0-9]+)+", value):
        raise ValueError('must be the name of a region, such as "us-central1" or "us-east-1"')
    return value


def _validate_bucket(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]", value):
        raise ValueError("must be the name of a bucket, without gs:// or s3:// and without a folder")
    return value


def _validate_role_arn(value: str) -> str:
    if not re.fullmatch(r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+", value):
        raise ValueError('must be the ARN of a role, such as "arn:aws:iam::123456789012:role/BedrockTraining"')
    return value


def _validate_subscription_id(value: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", value):
        raise ValueError('must be the id of a subscription, such as "00000000-0000-0000-0000-000000000000"')
    return value


def _validate_resource_group(value: str) -> str:
    """Validate a resource group, which becomes part of a path."""
    if not re.fullmatch(r"[\w().-]{0,89}[\w()-]", value):
        raise ValueError("must be the name of a resource group: letters, digits and _ - . ( ), at most 90")
    return value


def _validate_resource(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{1,63}", value):
        raise ValueError("must be the name of the resource, 2 to 64 of the characters A-Z a-z 0-9 . _ -")
    return value


def _validate_api_version(value: str) -> str:
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}(?:-preview)?", value):
        raise ValueError('must be a version of the API, such as "2025-09-01"')
    return value


Region = Annotated[str, AfterValidator(_validate_region)]
BucketName = Annotated[str, AfterValidator(_validate_bucket)]
RoleArn = Annotated[str, AfterValidator(_validate_role_arn)]
SubscriptionId = Annotated[str, AfterValidator(_validate_subscription_id)]
ResourceGroup = Annotated[str, AfterValidator(_validate_resource_group)]
ResourceName = Annotated[str, AfterValidator(_validate_resource)]
ApiVersion = Annotated[str, AfterValidator(_validate_api_version)]

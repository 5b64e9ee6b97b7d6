"""The names of uploaded files: those of earlier versions are unchanged, and a job finds its own file by them."""

from __future__ import annotations

import pytest

from orchestrator.core.dataset import filename_has_tag, is_remote_filename, local_filename, remote_filename

CANONICAL, CONVERTED, TAG = "0123456789abcdef" * 4, "fedcba9876543210" * 4, "aaaabbbbccccdddd.1"


def test_filename_of_earlier_versions_is_unchanged() -> None:
    assert remote_filename(CANONICAL) == "orchestrator-0123456789abcdef.jsonl"


def test_filename_of_one_job_has_its_tag_and_the_hash_of_the_bytes_that_are_sent() -> None:
    assert remote_filename(CANONICAL, tag=TAG) == "orchestrator-0123456789abcdef-aaaabbbbccccdddd-1.jsonl"
    assert remote_filename(CANONICAL, converted_sha256=CONVERTED, tag=TAG) == (
        "orchestrator-0123456789abcdef_fedcba9876543210-aaaabbbbccccdddd-1.jsonl"
    )


@pytest.mark.parametrize(
    ("filename", "has_tag"),
    [
        (remote_filename(CANONICAL, tag=TAG), True),
        (remote_filename(CANONICAL, converted_sha256=CONVERTED, tag=TAG), True),
        (remote_filename(CANONICAL), False),
        (remote_filename(CANONICAL, tag="aaaabbbbccccdddd.11"), False),
        (remote_filename(CANONICAL, tag="aaaabbbbccccdddd.0"), False),
        ("somebody-aaaabbbbccccdddd-1.jsonl", False),
    ],
)
def test_tag_of_a_filename_is_compared_whole(filename: str, *, has_tag: bool) -> None:
    assert filename_has_tag(filename, TAG) is has_tag


@pytest.mark.parametrize("tag", [None, TAG])
def test_converted_file_is_recognised_without_the_hash_of_its_bytes(tag: str | None) -> None:
    expected = remote_filename(CANONICAL, tag=tag)
    assert is_remote_filename(expected, expected)
    assert is_remote_filename(remote_filename(CANONICAL, converted_sha256=CONVERTED, tag=tag), expected)
    assert not is_remote_filename(remote_filename(CONVERTED, tag=tag), expected)
    assert not is_remote_filename(remote_filename(CANONICAL, tag="eeee.0"), expected)
    assert not is_remote_filename(None, expected)


def test_file_is_recognised_whether_or_not_its_name_has_a_tag() -> None:
    """The option `file_per_job` may have been changed since the upload."""
    assert is_remote_filename(remote_filename(CANONICAL, tag=TAG), remote_filename(CANONICAL))
    assert not is_remote_filename(remote_filename(CONVERTED, tag=TAG), remote_filename(CANONICAL))
    assert not is_remote_filename(remote_filename(CANONICAL), remote_filename(CANONICAL, tag=TAG))


def test_local_file_is_named_by_the_first_half_of_its_hash() -> None:
    assert local_filename(CANONICAL) == "0123456789abcdef.jsonl"


def test_name_of_an_unknown_file_is_not_the_expected_one() -> None:
    assert is_remote_filename(None, remote_filename(CANONICAL)) is False

"""Tagging: how a remote job carries our tag where the provider keeps no metadata: at the end of its suffix."""

from __future__ import annotations

import re
from collections.abc import Iterable

from orchestrator.core.errors import AmbiguousRemoteJob
from orchestrator.core.jobs.remote_state import format_adopt_commands
from orchestrator.core.remote import RemoteJob, is_same_model
from orchestrator.providers.base import JobOrder


def short_tag(tag: str) -> str:
    """The tag in characters that every provider allows in a name."""
    return tag.replace(".", "-")


def tagged_suffix(order: JobOrder, max_length: int) -> str:
    """As much of the operator's suffix as fits, then the tag."""
    tag = short_tag(order.tag)
    room = max(max_length - len(tag) - 1, 0)
    own = re.sub(r"[^A-Za-z0-9_-]", "-", order.spec.suffix or "")[:room].strip("-")
    return f"{own}-{tag}" if own else tag


def suffix_has_tag(suffix: str, order: JobOrder) -> bool:
    """Whether this suffix was made for this order."""
    tag = short_tag(order.tag)
    return suffix == tag or suffix.endswith(f"-{tag}")


def select_tagged_jobs(candidates: Iterable[tuple[RemoteJob, str | None]], order: JobOrder) -> list[RemoteJob]:
    """The jobs whose suffix, or what else they are tagged with, carries the order's tag.

    None stands for one that the provider does not show: such a job, on our file and base model, may be anybody's.
    """
    found, unclear = [], []
    for job, suffix in candidates:
        if suffix is not None:
            found += [job] if suffix_has_tag(suffix, order) else []
        elif _may_belong_to(job, order):
            unclear.append(job)
    if unclear:
        seen = ", ".join(f"{job.id} ({job.raw_status})" for job in unclear)
        raise AmbiguousRemoteJob(
            f"remote job {seen} trains {unclear[0].base_model} on file {unclear[0].training_file or '(not shown)'}, "
            "as this job would, but does not show its tag: it may be this job's or somebody else's",
            hint=f"If it is this job's: {format_adopt_commands(order.tag, unclear)}. "
            f"If none is, delete what is there at the "
            "provider; then `orchestrator release` the account.",
        )
    return found


def _may_belong_to(job: RemoteJob, order: JobOrder) -> bool:
    """Whether nothing that is shown of the job says that it is another's."""
    same_file = job.training_file in ("", order.training_file)
    return same_file and is_same_model(job.base_model, order.spec.base_model)

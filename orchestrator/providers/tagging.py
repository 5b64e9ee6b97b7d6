"""Tagging: how a remote job carries our tag where the provider keeps no metadata: at the end of its suffix."""

from __future__ import annotations

import re
from collections.abc import Iterable

from orchestrator.core.errors import Ambiguous
from orchestrator.core.remote import RemoteJob
from orchestrator.providers.base import JobOrder


def short_tag(tag: str) -> str:
    """The tag in characters that every provider allows in a name."""
    return tag.replace(".", "-")


def tagged_suffix(order: JobOrder, length: int) -> str:
    """As much of the operator's suffix as fits, then the tag."""
    tag = short_tag(order.tag)
    own = re.sub(r"[^A-Za-z0-9_-]", "-", order.spec.suffix or "")[: length - len(tag) - 1].strip("-")
    return f"{own}-{tag}" if own else tag


def is_tagged(suffix: str, order: JobOrder) -> bool:
    """Whether this suffix was made for this order."""
    tag = short_tag(order.tag)
    return suffix == tag or suffix.endswith(f"-{tag}")


def pick(candidates: Iterable[tuple[RemoteJob, str | None]], order: JobOrder) -> list[RemoteJob]:
    """The jobs whose suffix carries the order's tag.

    A suffix of None is one the provider does not show: such a job, on our file and base model, may be anybody's.
    """
    found = []
    for job, suffix in candidates:
        if suffix is not None:
            found += [job] if is_tagged(suffix, order) else []
        elif job.training_file == order.training_file and _alike(job.base_model, order.spec.base_model):
            raise Ambiguous(
                f"remote job {job.id} trains {job.base_model} on file {job.training_file}, as this job would, "
                "but does not show its suffix: it may be this job's or somebody else's",
                hint="If it is not ours, delete it at the provider; then `orchestrator release` the account.",
            )
    return found


def _alike(shown: str, wanted: str) -> bool:
    """Equal, or the same model with and without its date."""
    return shown.startswith(wanted) or wanted.startswith(shown)

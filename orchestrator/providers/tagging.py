"""Tags remote jobs where the provider keeps no metadata: in the suffix, or in the name of a file of their own."""

# How it works
#
# The tag (`core.jobs`: the first 16 characters of the job id, a dot and the attempt) is what a remote job is found by
# after the response to its create was lost. If it is not found, the job is created, and paid for, again. So:
#
# * The tag is complete or not sent at all. A long suffix of the operator is shortened to make room for it; the tag
#   never is. Only letters, digits and "-" are used, which every provider accepts.
# * A suffix matches only if it *is* the tag or ends with "-" and the tag. A test for containment would confuse the
#   tag of attempt 1 with the one of attempt 10.
# * Some servers do not show the suffix of a job in lists, or not yet. Such a job matches nothing and is not ignored
#   either: if it trains our file and base model, a person decides (AmbiguousRemoteJob). With another file or model it
#   certainly is not ours. An operator's own jobs have a suffix without our tag, and are never touched.
# * A provider that keeps neither metadata nor a suffix shows at least the training file. There the file is uploaded
#   for one job alone, with the tag in its name (`core.dataset.remote_filename`). An upload whose response was lost
#   may have left a second file with that name, so a job belongs to the order if it trains any of them.

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from orchestrator.core.dataset import short_tag
from orchestrator.core.errors import AmbiguousRemoteJob
from orchestrator.core.jobs.remote_state import MAX_NAMED_CANDIDATES, format_adopt_commands
from orchestrator.core.remote import RemoteJob, is_same_model
from orchestrator.providers.base import JobOrder


def tagged_suffix(order: JobOrder, max_length: int) -> str:
    """Return as much of the operator's suffix as fits into `max_length` characters, followed by the tag."""
    tag = short_tag(order.tag)
    room = max(max_length - len(tag) - 1, 0)
    own = re.sub(r"[^A-Za-z0-9_-]", "-", order.spec.suffix or "")[:room].strip("-")
    return f"{own}-{tag}" if own else tag


def suffix_has_tag(suffix: str, order: JobOrder) -> bool:
    """Return whether a suffix was built for this order."""
    tag = short_tag(order.tag)
    return suffix == tag or suffix.endswith(f"-{tag}")


def select_tagged_jobs(candidates: Iterable[tuple[RemoteJob, str | None]], order: JobOrder) -> list[RemoteJob]:
    """Return the jobs whose suffix, or other tag, is the order's.

    A suffix is None if the provider does not show it. Raises AmbiguousRemoteJob for such a job that trains the
    order's file and base model.
    """
    matching, unclear = [], []
    for job, suffix in candidates:
        if suffix is not None:
            matching += [job] if suffix_has_tag(suffix, order) else []
        elif _may_belong_to(job, order):
            unclear.append(job)
    if unclear:
        raise _ambiguous_error(unclear, order, "its tag")
    return matching


def select_jobs_by_file(
    candidates: Iterable[RemoteJob], order: JobOrder, own_files: Collection[str]
) -> list[RemoteJob]:
    """Return the jobs that train the order's file, or another file that was uploaded for the order.

    `own_files` are the ids of the files whose name has the order's tag. Raises AmbiguousRemoteJob for a job with the
    order's base model whose training file is not shown.
    """
    files = {order.training_file, *own_files}
    jobs = list(candidates)
    unclear = [job for job in jobs if not job.training_file and _may_belong_to(job, order)]
    if unclear:
        raise _ambiguous_error(unclear, order, "its training file")
    return [job for job in jobs if job.training_file in files]


def _ambiguous_error(unclear: list[RemoteJob], order: JobOrder, missing: str) -> AmbiguousRemoteJob:
    listed = ", ".join(f"{job.id} ({job.raw_status})" for job in unclear[:MAX_NAMED_CANDIDATES])
    return AmbiguousRemoteJob(
        f"remote job {listed} trains {unclear[0].base_model} on file "
        f"{unclear[0].training_file or '(not shown)'}, "
        f"as this job would, but does not show {missing}: it may belong to this job or to somebody else",
        hint=f"If it belongs to this job: {format_adopt_commands(order.tag, unclear)}. "
        "If it does not, delete it at the provider if you can; then run `orchestrator release` for the account.",
    )


def _may_belong_to(job: RemoteJob, order: JobOrder) -> bool:
    """Return whether nothing that the provider shows rules out that the job is the order's."""
    same_file = job.training_file in ("", order.training_file)
    return same_file and is_same_model(job.base_model, order.spec.base_model)

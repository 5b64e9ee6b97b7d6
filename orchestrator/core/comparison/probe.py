"""The probes of a comparison, chosen from held-out examples of the dataset.

The choice is by the hash of seed and content within strata, so it is the same on every machine, does not depend on
the order of the file, and changes little when examples are added. Examples whose prompt is in the training set are
left out: every model knows their answers by heart.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from hashlib import sha256
from typing import Any, Final

from orchestrator.core.structs import Struct

DEFAULT_HELD_OUT_PROBES: Final = 100
MIN_HELD_OUT_PROBES: Final = 30  # fewer decide nothing
_ID_DIGITS: Final = 16
_MAX_TURNS: Final = 3


class ProbeKind(StrEnum):
    """Where a probe is from. These values are stored."""

    HELD_OUT = "held_out"
    BEHAVIOUR = "behaviour"  # shipped with the program


class Probe(Struct, frozen=True, kw_only=True):
    """One prompt that is sent to every model."""

    probe_id: str  # hash of prompt and reference
    prompt_id: str  # hash of the prompt alone
    kind: ProbeKind
    messages: str  # JSON array of the prompt's messages
    reference: str | None  # reference answer; None: the probe is not scored
    stratum: tuple[
        bool, int, int
    ]  # has a system message, user turns (at most 3), magnitude of the reference's length


def parse_probe(line: bytes) -> Probe | None:
    """Parse a canonical example as a held-out probe, or return None if its last answer is not plain text.

    Examples with tools are no probes: whether two calls of a tool are alike needs another measure.
    """
    body = json.loads(line)
    prompt, answer = _split_example(body)
    if not prompt or not isinstance(answer, dict) or answer.get("role") != "assistant" or "tools" in body:
        return None
    reference = answer.get("content")
    if not isinstance(reference, str) or not reference.strip():
        return None
    messages = _encode([{key: each[key] for key in each if key != "weight"} for each in prompt])
    turns = sum(each["role"] == "user" for each in prompt)
    return Probe(
        probe_id=_hash_text(_encode([messages, reference])),
        prompt_id=_hash_text(messages),
        kind=ProbeKind.HELD_OUT,
        messages=messages,
        reference=reference,
        stratum=(prompt[0]["role"] == "system", min(turns, _MAX_TURNS), len(reference).bit_length() // 2),
    )


def build_behaviour_probe(question: str) -> Probe:
    """Build a probe from one question without a reference answer."""
    messages = _encode([{"role": "user", "content": question}])
    identity = _hash_text(messages)
    return Probe(
        probe_id=identity,
        prompt_id=identity,
        kind=ProbeKind.BEHAVIOUR,
        messages=messages,
        reference=None,
        stratum=(False, 1, 0),
    )


def _split_example(body: Mapping[str, Any]) -> tuple[list[Any], Any]:
    """Return the messages before the last answer, and that answer: of a preference pair, the preferred one."""
    if "input" in body:
        answers = body.get("preferred_output") or [None]
        return body["input"]["messages"], answers[-1]
    messages = body.get("messages") or [None]
    return messages[:-1], messages[-1]


def list_prompt_ids(lines: Iterable[bytes]) -> set[str]:
    """List the hashes of the prompts of training examples, which must not be probes."""
    return {probe.prompt_id for probe in map(parse_probe, lines) if probe is not None}


def choose_probes(
    probes: Iterable[Probe], count: int, *, seed: int = 0, training_prompt_ids: Collection[str] = ()
) -> tuple[Probe, ...]:
    """Choose at most `count` probes in proportion to their strata, sorted by id.

    Equal prompts are chosen once, because a second one adds cost and no information.
    """
    distinct: dict[str, tuple[bytes, Probe]] = {}
    for probe in probes:
        if probe.prompt_id in training_prompt_ids:
            continue
        ranked = _rank_probe(probe, seed), probe
        kept = distinct.get(probe.prompt_id)
        if kept is None or ranked[0] < kept[0]:
            distinct[probe.prompt_id] = ranked
    strata: dict[tuple[bool, int, int], list[tuple[bytes, Probe]]] = {}
    for rank, probe in distinct.values():
        strata.setdefault(probe.stratum, []).append((rank, probe))
    sizes = {stratum: len(members) for stratum, members in strata.items()}
    chosen = []
    for stratum, quota in allocate_quotas(sizes, count).items():
        members = sorted(strata[stratum], key=lambda member: member[0])
        chosen += [probe for _, probe in members[:quota]]
    return tuple(sorted(chosen, key=lambda probe: probe.probe_id))


def allocate_quotas(sizes: Mapping[tuple[bool, int, int], int], count: int) -> dict[tuple[bool, int, int], int]:
    """Distribute a number of probes over strata in proportion to their sizes, by largest remainders."""
    total = sum(sizes.values())
    wanted = min(count, total)
    quotas = {stratum: wanted * size // total for stratum, size in sizes.items()}
    by_remainder = sorted(sizes, key=lambda stratum: (-(wanted * sizes[stratum] % total), stratum))
    for stratum in by_remainder[: wanted - sum(quotas.values())]:
        quotas[stratum] += 1
    return quotas


def hash_probe_set(probes: Sequence[Probe]) -> str:
    """Return the identity of a set of probes: two comparisons of the same set can be compared with each other."""
    return sha256("\n".join(sorted(probe.probe_id for probe in probes)).encode()).hexdigest()


def _rank_probe(probe: Probe, seed: int) -> bytes:
    return sha256(f"{seed}\n{probe.probe_id}".encode()).digest()


def _hash_text(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:_ID_DIGITS]


def _encode(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"), sort_keys=True)

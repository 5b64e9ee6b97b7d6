"""The choice of probes: stable, in proportion, never of the training set."""

from __future__ import annotations

import json
import random
from hashlib import sha256
from typing import Any

import pytest

from orchestrator.core.comparison.probe import (
    DEFAULT_HELD_OUT_PROBES,
    MIN_HELD_OUT_PROBES,
    Probe,
    ProbeKind,
    allocate_quotas,
    choose_probes,
    hash_probe_set,
    list_prompt_ids,
    parse_probe,
)


def encode_example(number: int, *, has_system: bool = False, answer: str = "") -> bytes:
    messages = [
        {"role": "user", "content": f"Question {number}"},
        {"role": "assistant", "content": answer or f"Answer {number}"},
    ]
    if has_system:
        messages.insert(0, {"role": "system", "content": "Be brief."})
    return json.dumps({"messages": messages}).encode()


def parse_all(lines: list[bytes]) -> list[Probe]:
    return [probe for probe in map(parse_probe, lines) if probe is not None]


LINES = [encode_example(number, has_system=number % 4 == 0) for number in range(400)]
PROBES = parse_all(LINES)


def test_choice_depends_neither_on_the_order_nor_on_the_process() -> None:
    shuffled = PROBES.copy()
    random.Random(1).shuffle(shuffled)
    chosen = choose_probes(PROBES, 50, seed=3)
    assert choose_probes(shuffled, 50, seed=3) == chosen
    assert choose_probes(PROBES, 50, seed=4) != chosen
    assert hash_probe_set(chosen) == hash_probe_set(chosen[::-1])
    # Stored reports name this hash: it must not change with the program.
    assert hash_probe_set(chosen).startswith("717af1554c62e623")


def test_added_examples_change_the_choice_little() -> None:
    before = {probe.probe_id for probe in choose_probes(PROBES, 100)}
    more = parse_all([encode_example(number, has_system=number % 4 == 0) for number in range(1000, 1020)])
    after = {probe.probe_id for probe in choose_probes(PROBES + more, 100)}
    assert len(before & after) >= 85


def test_strata_have_their_share() -> None:
    chosen = choose_probes(PROBES, 40)
    assert len(chosen) == 40
    assert sum(probe.stratum[0] for probe in chosen) == pytest.approx(10, abs=1)


def test_quotas_are_proportional_and_complete() -> None:
    one, two, three = (False, 1, 1), (False, 1, 2), (True, 1, 1)
    assert allocate_quotas({one: 70, two: 20, three: 10}, 10) == {one: 7, two: 2, three: 1}
    assert sum(allocate_quotas({one: 5, two: 5, three: 5}, 7).values()) == 7
    assert allocate_quotas({one: 2}, 9) == {one: 2}
    assert allocate_quotas({}, 9) == {}


def test_prompts_of_the_training_set_are_never_chosen() -> None:
    training = list_prompt_ids([encode_example(0, has_system=True, answer="Another answer"), *LINES[1:200]])
    chosen = choose_probes(PROBES, 400, training_prompt_ids=training)
    assert len(chosen) == 200
    assert not {probe.prompt_id for probe in chosen} & training


def test_equal_prompts_are_chosen_once() -> None:
    twins = parse_all([encode_example(1), encode_example(1, answer="Other"), encode_example(2)])
    assert len(choose_probes(twins, 3)) == 2
    assert choose_probes(twins, 3) == choose_probes(twins[::-1], 3)


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"role": "user", "content": "Hi"}]},
        {"messages": [{"role": "assistant", "content": "Hi"}]},
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": " "}]},
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "tool_calls": [{}]}]},
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}], "tools": [{}]},
        {"messages": []},
    ],
)
def test_example_without_a_text_answer_is_no_probe(body: dict[str, Any]) -> None:
    assert parse_probe(json.dumps(body).encode()) is None


def test_preference_pair_gives_the_preferred_answer() -> None:
    pair = {
        "input": {"messages": [{"role": "user", "content": "Hi"}]},
        "preferred_output": [{"role": "assistant", "content": "Good"}],
        "non_preferred_output": [{"role": "assistant", "content": "Bad"}],
    }
    probe = parse_probe(json.dumps(pair).encode())
    assert probe is not None
    assert (probe.reference, probe.messages) == ("Good", '[{"content":"Hi","role":"user"}]')


def test_weight_of_a_message_is_not_sent() -> None:
    line = b'{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b","weight":0},'
    line += b'{"role":"user","content":"c"},{"role":"assistant","content":"d"}]}'
    probe = parse_probe(line)
    assert probe is not None
    assert "weight" not in probe.messages
    assert probe.stratum[1] == 2


def create_chat(turns: int, *, length: int = 8, has_system: bool = False) -> bytes:
    messages = [{"role": "system", "content": "s"}] if has_system else []
    for number in range(turns):
        messages += [{"role": "user", "content": f"q{number}"}, {"role": "assistant", "content": "x" * length}]
    return json.dumps({"messages": messages}).encode()


@pytest.mark.parametrize(
    ("line", "stratum"),
    [
        (create_chat(1), (False, 1, 2)),  # 8 is four bits long
        (create_chat(3, has_system=True), (True, 3, 2)),
        (create_chat(5), (False, 3, 2)),
        (create_chat(1, length=7), (False, 1, 1)),
        (create_chat(1, length=31), (False, 1, 2)),
        (create_chat(1, length=32), (False, 1, 3)),
    ],
)
def test_stratum_is_system_message_turns_and_length(line: bytes, stratum: tuple[bool, int, int]) -> None:
    probe = parse_probe(line)
    assert probe is not None
    assert probe.stratum == stratum


def test_identity_of_a_probe_never_changes() -> None:
    # Stored answers name it: the hash of the canonical prompt, and of prompt and reference.
    messages = [{"role": "user", "content": "Wie geht's, Jürgen?"}, {"role": "assistant", "content": " gut "}]
    probe = parse_probe(json.dumps({"messages": messages}, ensure_ascii=False).encode())
    assert probe is not None
    prompt = '[{"content":"Wie geht\'s, J\\u00fcrgen?","role":"user"}]'
    assert (probe.messages, probe.reference, probe.kind) == (prompt, " gut ", ProbeKind.HELD_OUT)
    assert probe.prompt_id == sha256(prompt.encode()).hexdigest()[:16]
    both = json.dumps([prompt, " gut "], separators=(",", ":"))
    assert probe.probe_id == sha256(both.encode()).hexdigest()[:16]


def test_remainders_are_distributed_by_size_and_then_by_name() -> None:
    one, two, three = (False, 1, 1), (False, 1, 2), (True, 1, 1)
    # 4 · 5 / 10 = 2, 4 · 3 / 10 = 1.2 and 4 · 2 / 10 = 0.8: the last has the largest remainder.
    assert allocate_quotas({one: 5, two: 3, three: 2}, 4) == {one: 2, two: 1, three: 1}
    assert allocate_quotas({three: 1, two: 1, one: 1}, 2) == {three: 0, two: 1, one: 1}


def test_default_number_of_probes_is_that_of_the_documentation() -> None:
    assert (DEFAULT_HELD_OUT_PROBES, MIN_HELD_OUT_PROBES) == (100, 30)

"""The choice of probes: stable, in proportion, never of the training set."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from orchestrator.core.comparison.probe import (
    Probe,
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

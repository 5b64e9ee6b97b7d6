"""The models of the sandbox answer alike, and differently by as much as `[[answers]]` says."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sandboxes import MODEL, InProcess

from orchestrator.core.comparison.language.text_language import find_language
from orchestrator.core.structs import replace
from orchestrator.sandbox import AnswerBehaviour, FaultError, SandboxSettings, load_simulation

PROMPTS = [f"What is {number}?" for number in range(200)]


async def ask(client: httpx2.AsyncClient, prompt: str, **options: Any) -> httpx2.Response:
    body = {"model": MODEL, "messages": [{"role": "user", "content": prompt}]} | options
    return await client.post("/chat/completions", json=body)


async def list_answers(sandbox: InProcess, account: str) -> list[str]:
    async with sandbox.client(account) as client:
        responses = [await ask(client, prompt) for prompt in PROMPTS]
    return [
        str(response.json()["choices"][0]["message"]["content"]) if response.status_code == 200 else "blocked"
        for response in responses
    ]


def share_of_differences(first: list[str], second: list[str]) -> float:
    return sum(a != b for a, b in zip(first, second, strict=True)) / len(first)


def sandbox_with(*answers: AnswerBehaviour) -> InProcess:
    return InProcess(SandboxSettings(answers=answers))


async def test_models_answer_alike_without_a_behaviour() -> None:
    sandbox = sandbox_with()
    assert await list_answers(sandbox, "acme") == await list_answers(sandbox, "globex")


@pytest.mark.parametrize(
    ("behaviour", "share"),
    [(AnswerBehaviour(variation=0.3), 0.3), (AnswerBehaviour(changed=0.4), 0.4)],
    ids=["variation", "changed"],
)
async def test_share_of_different_answers(behaviour: AnswerBehaviour, share: float) -> None:
    sandbox = sandbox_with(replace(behaviour, accounts=("acme-*",)))
    usual, first, second = [await list_answers(sandbox, name) for name in ("globex", "acme-eu", "acme-us")]
    assert share_of_differences(usual, first) == pytest.approx(share, abs=0.1)
    assert first == await list_answers(sandbox, "acme-eu")
    assert (first == second) is (behaviour.variation == 0)


async def test_noise_changes_answers_from_call_to_call() -> None:
    sandbox = sandbox_with(AnswerBehaviour(noise=0.4))
    first, second = await list_answers(sandbox, "acme"), await list_answers(sandbox, "acme")
    assert share_of_differences(first, second) == pytest.approx(0.2, abs=0.1)
    again = sandbox_with(AnswerBehaviour(noise=0.4))
    assert await list_answers(again, "acme") == first


async def test_refusals_and_filters() -> None:
    sandbox = sandbox_with(AnswerBehaviour(accounts=("acme",), refused=0.2, filtered=0.2))
    answers = await list_answers(sandbox, "acme")
    assert answers.count("blocked") / len(PROMPTS) == pytest.approx(0.2, abs=0.1)
    assert sum(answer.startswith("I'm sorry") for answer in answers) / len(PROMPTS) == pytest.approx(0.16, abs=0.1)


async def test_share_of_german_answers() -> None:
    sandbox = sandbox_with(AnswerBehaviour(accounts=("acme",), other_language=0.3))
    usual, answers = await list_answers(sandbox, "globex"), await list_answers(sandbox, "acme")
    assert share_of_differences(usual, answers) == pytest.approx(0.3, abs=0.1)
    languages = Counter(find_language(answer) for answer in answers)
    assert languages["de"] / len(PROMPTS) == pytest.approx(0.3, abs=0.1)
    assert languages["en"] / len(PROMPTS) > 0.5
    assert find_language(" ".join(usual)) == "en"


async def test_tokens_logprobs_and_fingerprint() -> None:
    sandbox = sandbox_with(
        AnswerBehaviour(accounts=("acme",), prompt_tokens=9, logprobs=False, fingerprint="fp_1"), AnswerBehaviour()
    )
    async with sandbox.client("acme") as acme, sandbox.client("globex") as globex:
        own, other = (await ask(acme, "Hello")).json(), (await ask(globex, "Hello")).json()
        refused = await ask(acme, "Hello", logprobs=True)
    assert own["usage"]["prompt_tokens"] == other["usage"]["prompt_tokens"] + 9
    assert (own["system_fingerprint"], other["system_fingerprint"]) == ("fp_1", None)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "logprobs")


async def test_base_answers_are_those_of_the_untuned_model() -> None:
    sandbox = sandbox_with(AnswerBehaviour(accounts=("acme",), base=1.0))
    async with sandbox.client("acme") as client:
        job = await sandbox.start(client)
        sandbox.now += 1_000
        tuned = (await client.get(f"/fine_tuning/jobs/{job['id']}")).json()["fine_tuned_model"]
        assert tuned
        texts = [
            (await ask(client, "Hello", model=model)).json()["choices"][0]["message"]["content"]
            for model in (tuned, MODEL)
        ]
    assert texts[0] == texts[1]


async def test_behaviours_are_replaced_while_the_sandbox_runs() -> None:
    sandbox = sandbox_with()
    async with sandbox.client() as client:
        response = await client.put("http://sandbox/sandbox/answers", json={"answers": [{"refused": 1.0}]})
        assert response.json()["answers"][0]["refused"] == 1.0
        assert (await ask(client, "Hello")).json()["choices"][0]["message"]["content"].startswith("I'm sorry")
        wrong = await client.put("http://sandbox/sandbox/answers", json={"answers": [{"refused": 2}]})
    assert (wrong.status_code, "refused=2" in wrong.text) == (400, True)


def test_answers_are_loaded_from_the_file_of_the_faults(tmp_path: Path) -> None:
    path = tmp_path / "faults.toml"
    path.write_text('[[faults]]\nkind = "drop"\n[[answers]]\naccounts = ["acme"]\nnoise = 0.1\n', "utf-8")
    faults, answers = load_simulation(path)
    assert [fault.kind for fault in faults] == ["drop"]
    assert answers == (AnswerBehaviour(accounts=("acme",), noise=0.1),)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("answers = 1", "expected a list `answers`"),
        ("[[answers]]\nnois = 0.1", "answers 1: unknown option 'nois'"),
        ("[[answers]]\nnoise = 2", "answers 1: wrong value: noise=2"),
        ('[[answers]]\naccounts = "acme"', "wrong value: accounts='acme'"),
        ("[[answers]]\nprompt_tokens = -1", "wrong value: prompt_tokens=-1"),
        ("answers = [1]", "answers 1: expected a table"),
    ],
)
def test_wrong_answers_are_refused(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "faults.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(FaultError) as error:
        load_simulation(path)
    assert problem in str(error.value)
    assert json.dumps(str(error.value))

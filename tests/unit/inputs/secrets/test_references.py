from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path

import pytest

from orchestrator.core.account import Account, ProviderName
from orchestrator.core.errors import ConfigError
from orchestrator.core.hold import HoldKind
from orchestrator.core.secret import Redactor, Secret
from orchestrator.inputs.secrets import command
from orchestrator.inputs.secrets.references import (
    AccountKeys,
    SecretReference,
    looks_like_key,
    resolve_account_keys,
    resolve_each_key,
    resolve_reference,
    resolve_secrets,
)

KEY = "sk-canary-81c2"


@pytest.fixture
def redact() -> Redactor:
    return Redactor()


def program(folder: Path, code: str) -> str:
    """A reference to a program that runs this Python code."""
    script = folder / "program.py"
    script.write_text(code, encoding="utf-8")
    return f"cmd:{sys.executable} {script}"


def fault(reference: str, base: Path) -> str:
    """What resolving says; it never says the key."""
    with pytest.raises(ConfigError) as caught:
        resolve_reference(reference, base_folder=base, redact=Redactor())
    error = caught.value
    told = repr((str(error), error.hint, error.problems, error.__cause__))
    assert "canary" not in told
    return error.message


def test_key_is_read_from_the_environment(tmp_path: Path, redact: Redactor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", f" {KEY}\n")
    assert resolve_reference("env:A_KEY", base_folder=tmp_path, redact=redact).reveal() == KEY


def test_key_is_read_from_a_file_beside_the_accounts_file(tmp_path: Path, redact: Redactor) -> None:
    (tmp_path / "a.key").write_text(f"\ufeff{KEY}\r\n", encoding="utf-8")
    assert resolve_reference("file:a.key", base_folder=tmp_path, redact=redact).reveal() == KEY
    assert resolve_reference(f"file:{tmp_path / 'a.key'}", base_folder=Path("/"), redact=redact).reveal() == KEY


def test_key_is_read_from_a_command(tmp_path: Path, redact: Redactor) -> None:
    reference = program(tmp_path, f"print({KEY!r})")
    assert resolve_reference(reference, base_folder=tmp_path, redact=redact).reveal() == KEY


def test_a_command_starts_beside_the_accounts_file_and_without_a_shell(tmp_path: Path, redact: Redactor) -> None:
    reference = program(tmp_path, "import os, sys; print(os.path.basename(os.getcwd()) + sys.argv[1])")
    secret = resolve_reference(f"{reference} '$HOME;x'", base_folder=tmp_path, redact=redact)
    assert secret.reveal() == f"{tmp_path.name}$HOME;x"


def test_a_resolved_key_is_known_to_the_redactor(
    tmp_path: Path, redact: Redactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_KEY", KEY)
    secret = resolve_reference("env:A_KEY", base_folder=tmp_path, redact=redact)
    assert redact(f"using {KEY}!") == f"using [key {secret.fingerprint}]!"


def test_an_unset_variable_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("A_KEY", raising=False)
    assert fault("env:A_KEY", tmp_path) == "env:A_KEY is not set in the environment; export A_KEY before starting"


def test_a_missing_file_says_where_it_was_looked_for(tmp_path: Path) -> None:
    assert f"file:a.key does not exist (expected at {tmp_path / 'a.key'})" in fault("file:a.key", tmp_path)
    assert "is a folder, not a regular file" in fault("file:.", tmp_path)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "is empty"),
        (" \n", "is empty"),
        (f"{KEY}\n{KEY}", "has several lines"),
        (f"{KEY}\r{KEY}", "has several lines"),
        (f"{KEY} {KEY}", "has spaces"),
        (f"{KEY}\x00", "has spaces or characters"),
        (f"“{KEY}”", "has spaces or characters"),
        ("canary" * 3000, "has more than 16 KiB"),
        ("seven-7", "has fewer than 8 characters"),
    ],
)
def test_invalid_key_is_refused(tmp_path: Path, content: str, expected: str) -> None:
    (tmp_path / "a.key").write_text(content, encoding="utf-8", newline="")
    assert fault("file:a.key", tmp_path).startswith(f"file:a.key {expected}")


def test_an_empty_variable_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", "")
    assert "env:A_KEY is empty" in fault("env:A_KEY", tmp_path)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (f"import sys; print({KEY!r}); sys.exit({KEY!r})", "ended with exit code 1; run it in a shell"),
        ("", "is empty"),
        (f"print({KEY!r}); print({KEY!r})", "has several lines"),
        (f"while True: print({KEY!r})", "has more than 16 KiB"),
    ],
)
def test_a_failing_command_is_explained(tmp_path: Path, code: str, expected: str) -> None:
    message = fault(f"{program(tmp_path, code)} {KEY}", tmp_path)
    assert message.startswith(f"cmd:{sys.executable} … {expected}")


def test_a_missing_program_is_explained(tmp_path: Path) -> None:
    assert "cmd:no-such-program … cannot be run (No such file or directory)" in fault(
        f"cmd:no-such-program {KEY}", tmp_path
    )


def test_a_command_that_hangs_is_ended_with_its_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "COMMAND_TIMEOUT_SECONDS", 1)
    code = (
        "import os, time; pid = os.fork(); open('pid', 'w').write(str(os.getpid())) if not pid else 0; time.sleep(60)"
    )
    assert "printed nothing within 1 second" in fault(program(tmp_path, code), tmp_path)
    status = Path(f"/proc/{(tmp_path / 'pid').read_text()}/stat")
    for _ in range(500):  # a killed process takes a moment to die
        if not status.exists() or status.read_text().split()[2] == "Z":
            return
        time.sleep(0.01)
    pytest.fail("the command's child is still alive")


def test_a_command_that_answers_and_stays_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "COMMAND_TIMEOUT_SECONDS", 0.5)
    code = f"import os, time; os.write(1, {KEY.encode()!r}); os.close(1); time.sleep(60)"
    assert "did not end within 0.5 seconds" in fault(program(tmp_path, code), tmp_path)


@pytest.mark.parametrize("reference", [KEY, f"env:{KEY}", f"vault:{KEY}", "file:", "cmd:", "cmd:'x"])
def test_invalid_reference_is_refused(tmp_path: Path, reference: str) -> None:
    assert fault(reference, tmp_path).startswith("the reference ")


def account(name: str, api_key: str) -> Account:
    return Account(name=name, provider=ProviderName.OPENAI, api_key=api_key)


def test_keys_are_returned_by_account(tmp_path: Path, redact: Redactor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", KEY)
    counting = program(tmp_path, "open('count', 'a').write('x'); print('sk-counted')")
    keys = resolve_account_keys(
        [account("a", "env:A_KEY"), account("b", counting), account("c", counting)],
        base_folder=tmp_path,
        redact=redact,
    )
    assert {name: key.reveal() for name, key in keys.by_account.items()} == {
        "a": KEY,
        "b": "sk-counted",
        "c": "sk-counted",
    }
    assert (tmp_path / "count").read_text() == "x"


def test_all_key_problems_are_reported_at_once(
    tmp_path: Path, redact: Redactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("B_KEY", raising=False)
    accounts = [account("b", "env:B_KEY"), account("c", "file:no"), account("d", KEY)]
    with pytest.raises(ConfigError, match="no key for any of the 3 accounts") as caught:
        resolve_account_keys(accounts, base_folder=tmp_path, redact=redact)
    assert [problem.split(" ")[:4] for problem in caught.value.problems] == [
        ["[[accounts]]", "b:", "api_key:", "env:B_KEY"],
        ["[[accounts]]", "c:", "api_key:", "file:no"],
        ["[[accounts]]", "d:", "api_key:", "the"],
    ]
    assert "canary" not in repr(caught.value.problems)


def test_missing_key_does_not_affect_other_accounts(
    tmp_path: Path, redact: Redactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_KEY", KEY)
    found = resolve_each_key(
        [account("a", "env:A_KEY"), account("b", "file:no")], base_folder=tmp_path, redact=redact
    )
    assert isinstance(found["a"], Secret)
    assert found["a"].reveal() == KEY
    assert isinstance(found["b"], ConfigError)


def test_an_account_without_a_key_is_held_with_what_to_do(
    tmp_path: Path, redact: Redactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_KEY", KEY)
    monkeypatch.delenv("B_KEY", raising=False)
    accounts = [account("a", "env:A_KEY"), account("b", "env:B_KEY"), account("c", "file:no")]
    keys = resolve_account_keys(accounts, base_folder=tmp_path, redact=redact)
    assert list(keys.by_account) == ["a"]
    assert {name: hold.kind for name, hold in keys.missing.items()} == dict.fromkeys("bc", HoldKind.KEY_MISSING)
    assert "env:B_KEY is not set in the environment" in keys.missing["b"].reason
    assert "restart it" in keys.missing["b"].hint
    assert "file:no does not exist" in keys.missing["c"].reason
    assert "finds the new key" in keys.missing["c"].hint
    assert "the next `orchestrator run`, without a release" in keys.missing["c"].hint


def test_no_accounts_have_no_keys(tmp_path: Path, redact: Redactor) -> None:
    assert resolve_account_keys([], base_folder=tmp_path, redact=redact) == AccountKeys({}, {})


PASTED = "sk-proj-AbCdEf0123456789xyz"


@pytest.mark.parametrize(
    "reference",
    [
        f"cmd:{PASTED}",
        f"cmd:{PASTED} and more",
        f"file:{PASTED}",
        f"file:keys/{PASTED}",
        "env:AbCdEf0123456789xyzQW",
        "env:fw_3ZabcdefGH123456",
        f"env:{PASTED}",
    ],
)
def test_a_key_pasted_in_the_place_of_its_reference_is_not_repeated(tmp_path: Path, reference: str) -> None:
    text = fault(reference, tmp_path)
    assert reference.partition(":")[2].split()[0].removeprefix("keys/")[:8] not in text
    assert "looks like a key" in text or "must name an environment variable" in text


@pytest.mark.parametrize(
    "name",
    [
        "OPENAI_API_KEY_CUSTOMER_EU_2024",
        "secrets/acme-us-2024-production.key",
        "/run/secrets/openai_api_key_customer_17",
        "AcmeEuropeProductionOpenAiKey",
    ],
)
def test_a_name_does_not_look_like_a_key(name: str) -> None:
    assert not looks_like_key(name)


def test_a_command_gets_no_token_of_the_service_and_no_key_of_another_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = ("ORCHESTRATOR_TOKEN", "ORCHESTRATOR_DATABASE_URL", "OTHER_KEY", "SIGNING")
    for name in (*hidden, "VAULT_ADDRESS"):
        monkeypatch.setenv(name, "canary-0123456789")
    code = "import os, sys; sys.stdout.write('names:' + ','.join(sorted(os.environ)))"
    command = f"cmd:{shlex.quote(sys.executable)} -c {shlex.quote(code)}"
    accounts = [account("a", command), account("b", "env:OTHER_KEY")]
    keys = resolve_account_keys(accounts, base_folder=tmp_path, redact=Redactor(), hidden_variables={"SIGNING"})
    names = keys.by_account["a"].reveal().removeprefix("names:").split(",")
    assert "VAULT_ADDRESS" in names
    assert not set(hidden) & set(names)
    wanted = [
        SecretReference("here", command, lambda secret, redact: None),
        SecretReference("there", "env:SIGNING", lambda *_: None),
    ]
    found = resolve_secrets(wanted, base_folder=tmp_path, redact=Redactor())[command].reveal()
    assert "SIGNING" not in found

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import pytest

from orchestrator.core.errors import ConfigError
from orchestrator.core.notifications.delivery import Channel, NotificationTarget
from orchestrator.core.notifications.notification import Topic
from orchestrator.core.secret import Redactor
from orchestrator.inputs.accounts_file.loader import AccountsFile, load_accounts_file
from orchestrator.inputs.accounts_file.targets import list_proxy_references, list_secret_references
from orchestrator.inputs.secrets.references import resolve_secrets

HEAD = """\
[run]
name = "tone"
[run.openai]
base_model = "gpt-4.1-mini"
[run.together]
base_model = "m"
[[accounts]]
name = "a"
provider = "openai"
api_key = "env:A_KEY"
"""
WEBHOOK_TABLE = '[[webhooks]]\nurl = "https://host/path"\nsecret = "file:hook"\n'
ALERT = '[[alerts]]\nurl = "file:chat"\n'
CANARY = "canary-4f1d"
SIGNING = "whsec_" + b64encode(b"a key of sixteen").decode()


def read(folder: Path, text: str) -> AccountsFile:
    path = folder / "accounts.toml"
    path.write_text(HEAD + text, encoding="utf-8")
    return load_accounts_file(path)


def test_a_proxys_password_is_known_to_the_redactor(tmp_path: Path) -> None:
    (tmp_path / "proxy").write_text(f"http://works:{CANARY}@proxy:3128\n")
    text = HEAD + 'proxy = "file:proxy"\n'
    (tmp_path / "accounts.toml").write_text(text)
    file, redact = load_accounts_file(tmp_path / "accounts.toml"), Redactor()
    found = resolve_secrets(list(list_proxy_references(file.accounts)), base_folder=tmp_path, redact=redact)
    assert CANARY in found["file:proxy"].reveal()
    assert CANARY not in redact(f"cannot connect as works:{CANARY}")


@pytest.mark.parametrize("address", ["proxy.example.com:3128", f"works:{CANARY}@proxy.example.com:3128"])
def test_a_proxy_without_a_scheme_is_not_recognised_by_its_beginning(tmp_path: Path, address: str) -> None:
    """It begins with a host or a user, which messages about other things hold as well."""
    (tmp_path / "proxy").write_text(address)
    (tmp_path / "accounts.toml").write_text(HEAD + 'proxy = "file:proxy"\n')
    file, redact = load_accounts_file(tmp_path / "accounts.toml"), Redactor()
    resolve_secrets(list(list_proxy_references(file.accounts)), base_folder=tmp_path, redact=redact)
    for text in ("proxy.example.com is away", f"works:{CANARY[:8]} has no budget"):
        assert redact(text) == text
    assert CANARY not in redact(f"cannot connect to {address}")


def test_reference_without_a_proxy_is_named(tmp_path: Path) -> None:
    (tmp_path / "proxy").write_text(f"socks5://works:{CANARY}@proxy:1")
    (tmp_path / "accounts.toml").write_text(HEAD + 'proxy = "file:proxy"\n')
    file = load_accounts_file(tmp_path / "accounts.toml")
    with pytest.raises(ConfigError) as caught:
        resolve_secrets(list(list_proxy_references(file.accounts)), base_folder=tmp_path, redact=Redactor())
    assert caught.value.problems[0].startswith("[[accounts]] a: proxy: file:proxy is a SOCKS proxy")
    assert CANARY not in caught.value.problems[0]


def test_target_receives_all_or_its_selected_topics(tmp_path: Path) -> None:
    events = 'events = ["job.failed", "run.finished"]\n'
    file = read(tmp_path, f'webhook_secret = "env:S"\n{WEBHOOK_TABLE}{events}{ALERT}')
    assert file.accounts[0].webhook_secret == "env:S"
    assert file.targets == (
        NotificationTarget(
            channel=Channel.WEBHOOK,
            url="https://host/path",
            secret="file:hook",
            topics=frozenset({Topic.JOB_FAILED, Topic.RUN_FINISHED}),
        ),
        NotificationTarget(channel=Channel.ALERT, url="file:chat", topics=frozenset(Topic)),
    )


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/x", "http://localhost/", "env:URL", "cmd:pass show url"])
def test_a_webhook_may_lead_to_this_machine_or_be_a_secret(tmp_path: Path, url: str) -> None:
    assert read(tmp_path, WEBHOOK_TABLE.replace("https://host/path", url)).targets[0].url == url


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (WEBHOOK_TABLE.replace("https", "http"), "url: would send the notifications unencrypted"),
        (
            WEBHOOK_TABLE.replace("host/path", f"host/?sig={CANARY}"),
            "url: must consist of scheme, host and path only",
        ),
        (WEBHOOK_TABLE.replace("host/path", f"me:{CANARY}@host"), "url: must consist of scheme, host and path only"),
        (WEBHOOK_TABLE.replace("https://host/path", "host"), "url: must be an address"),
        (
            WEBHOOK_TABLE.replace("file:hook", f"whsec_{CANARY}"),
            "secret: must be a reference to the key and not the key itself",
        ),
        (
            WEBHOOK_TABLE.replace('secret = "file:hook"', ""),
            "[[webhooks]] number 1: secret: is missing; add secret =",
        ),
        (WEBHOOK_TABLE + "events = []\n", "events: must be a list of some of model.ready, job.failed"),
        (WEBHOOK_TABLE + 'events = ["model.redy"]\n', 'did you mean "model.ready"?'),
        (WEBHOOK_TABLE + 'event = ["model.ready"]\n', 'event: is not a known option; did you mean "events"?'),
        (WEBHOOK_TABLE + WEBHOOK_TABLE, "[[webhooks]] number 2: url: is already used in line 12"),
        (
            ALERT.replace("file:chat", f"slack://{CANARY}"),
            "url: must be a reference to the key and not the key itself; put the key els",
        ),
        (ALERT + 'secret = "file:x"\n', "secret: does not belong here but in [[webhooks]]"),
        (
            WEBHOOK_TABLE.replace("[[webhooks]]", "[webhooks]"),
            "webhooks: must be written [[webhooks]], with two brackets",
        ),
        (WEBHOOK_TABLE.replace("webhooks", "webhook"), 'webhook: is not known; did you mean "webhooks"?'),
        (
            f'webhook_secret = "{CANARY}"\n',
            "[[accounts]] a: webhook_secret: must be a reference to the key and not the key itself",
        ),
        ('webhook_secrets = "env:X"\n', 'did you mean "webhook_secret"?'),
        (
            '[[accounts]]\nname = "t"\nprovider = "together"\napi_key = "env:T"\nwebhook_secret = "env:X"\n',
            "[[accounts]] t: webhook_secret: is not an option for together, only for openai; remove the line",
        ),
    ],
)
def test_a_mistake_is_named_and_no_secret_repeated(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert [found for found in caught.value.problems if problem in found], caught.value.problems
    assert CANARY not in str((caught.value, caught.value.problems))


def test_every_secret_is_resolved_once_and_redacted(tmp_path: Path) -> None:
    (tmp_path / "hook").write_text(SIGNING + "\n")
    (tmp_path / "chat").write_text("slack://TokenAAAA/TokenBBBB?to=secret-channel\n")
    file, redact = read(tmp_path, f'webhook_secret = "file:hook"\n{WEBHOOK_TABLE}{ALERT}'), Redactor()
    found = resolve_secrets(
        list(list_secret_references(file.accounts, file.targets)), base_folder=file.folder, redact=redact
    )
    assert {name: secret.reveal() for name, secret in found.items()} == {
        "file:hook": SIGNING,
        "file:chat": "slack://TokenAAAA/TokenBBBB?to=secret-channel",
    }
    for part in (SIGNING, SIGNING.removeprefix("whsec_"), "TokenAAAA", "TokenBBBB", "secret-channel"):
        assert part not in redact(f"POST /{part} failed")


@pytest.mark.parametrize(
    "text", ["whsec_A=", "whsec_c2hvcnQ=", "whsec_!!!!", f"{'x' * 40}", SIGNING.replace("sec", "ec")]
)
def test_weak_or_malformed_signing_secret_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "hook").write_text(text)
    file = read(tmp_path, f'webhook_secret = "file:hook"\n{WEBHOOK_TABLE}')
    with pytest.raises(ConfigError) as caught:
        resolve_secrets(
            list(list_secret_references(file.accounts, file.targets)), base_folder=file.folder, redact=Redactor()
        )
    assert [problem.split(" must be ")[0] for problem in caught.value.problems] == [
        "[[accounts]] a: webhook_secret: file:hook",
        "[[webhooks]] https://host/path: secret: file:hook",
    ]
    assert text.removeprefix("whsec_") not in str(caught.value.problems) or text == "whsec_"


def test_a_secret_that_is_not_there_is_named_with_its_place(tmp_path: Path) -> None:
    file = read(tmp_path, WEBHOOK_TABLE + ALERT)
    with pytest.raises(ConfigError, match="no secret for 2 webhooks, alerts or proxies") as caught:
        resolve_secrets(
            list(list_secret_references(file.accounts, file.targets)), base_folder=file.folder, redact=Redactor()
        )
    assert caught.value.problems[1].startswith("[[alerts]]: url: file:chat does not exist")

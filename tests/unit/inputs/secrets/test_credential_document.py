from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.account import Account, ProviderName
from orchestrator.core.errors import ConfigError
from orchestrator.core.secret import Redactor, Secret
from orchestrator.inputs.secrets.references import (
    is_reference,
    parse_reference,
    resolve_each_key,
    resolve_reference,
)

LINES = ("MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSj", "AgEAAoIBAQCanaryCanaryCanaryCanaryCanary42")
PEM = "\n".join(("-----BEGIN PRIVATE KEY-----", *LINES, "-----END PRIVATE KEY-----", ""))
DOCUMENT: dict[str, Any] = {
    "type": "service_account",
    "project_id": "acme-training",
    "private_key_id": "0123456789abcdef",
    "private_key": PEM,
    "client_email": "trainer@acme-training.iam.gserviceaccount.com",
    "token_uri": "https://oauth2.googleapis.com/token",
}


def resolve(reference: str, folder: Path, redact: Redactor | None = None, *, accepts_document: bool = True) -> Secret:
    return resolve_reference(
        reference, base_folder=folder, redact=redact or Redactor(), accepts_document=accepts_document
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "service-account.json"
    path.write_text(json.dumps(DOCUMENT, indent=2))
    return path


def test_document_is_read_in_one_line(file: Path, tmp_path: Path) -> None:
    text = resolve("file:service-account.json", tmp_path).reveal()
    assert "\n" not in text
    assert json.loads(text) == DOCUMENT


def test_output_of_the_command_of_aws_is_read(tmp_path: Path) -> None:
    """`aws configure export-credentials` prints several lines."""
    exported = {
        "Version": 1,
        "AccessKeyId": "AKIA0042",
        "SecretAccessKey": "secret-canary",
        "SessionToken": "t-canary",
    }
    (tmp_path / "out").write_text(json.dumps(exported, indent=4))
    redact = Redactor()
    assert json.loads(resolve("cmd:cat out", tmp_path, redact).reveal()) == exported
    assert "canary" not in redact("used secret-canary and t-canary")
    assert redact("used AKIA0042") == "used AKIA0042"


@pytest.mark.parametrize(
    "text", [PEM, PEM.replace("\n", "\\n"), *LINES, LINES[0] + LINES[1], f"near {LINES[1][:20]}"]
)
def test_private_key_is_redacted_in_every_form(file: Path, tmp_path: Path, text: str) -> None:
    redact = Redactor()
    secret = resolve("file:service-account.json", tmp_path, redact)
    shown = redact(f"the endpoint says {text} and {secret.reveal()}")
    assert "Canary" not in shown
    assert "MIIEvQ" not in shown


def test_names_of_a_document_are_not_redacted(file: Path, tmp_path: Path) -> None:
    redact = Redactor()
    resolve("file:service-account.json", tmp_path, redact)
    text = f'{{"type":"service_account"}} {DOCUMENT["project_id"]} {DOCUMENT["client_email"]} {DOCUMENT["token_uri"]}'
    assert redact(text) == text


def test_redactor_forgets_a_document_with_its_members(file: Path, tmp_path: Path) -> None:
    redact = Redactor()
    secret = resolve("file:service-account.json", tmp_path, redact)
    redact.remove(secret.fingerprint)
    assert redact(LINES[1]) == LINES[1]


def test_document_is_no_key_where_it_would_be_sent_as_it_is(file: Path, tmp_path: Path) -> None:
    accounts = [
        Account(name=name, provider=ProviderName(name), api_key="file:service-account.json")
        for name in ("openai", "vertex", "bedrock", "together")
    ]
    keys = resolve_each_key(accounts, base_folder=tmp_path, redact=Redactor())
    assert {name for name, key in keys.items() if isinstance(key, Secret)} == {"vertex", "bedrock"}


def test_broken_document_is_not_repeated(tmp_path: Path) -> None:
    (tmp_path / "key.json").write_text(f'{{"private_key": "{LINES[1]}"')
    with pytest.raises(ConfigError) as broken:
        resolve("file:key.json", tmp_path)
    assert "is not valid JSON" in broken.value.message
    assert "Canary" not in repr((broken.value.message, broken.value.__cause__, broken.value.__context__))


class TestDefault:
    """`google:default`, where Google's own libraries look."""

    @pytest.fixture(autouse=True)
    def _no_home(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("GOOGLE_APPLICATION_CREDENTIALS", "CLOUDSDK_CONFIG"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HOME", str(tmp_path / "home"))

    def test_file_that_the_variable_names_comes_first(
        self, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.write_user_file(tmp_path / "home" / ".config" / "gcloud")
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
        assert json.loads(resolve("google:default", Path("/")).reveal()) == DOCUMENT

    def test_missing_file_of_the_variable_is_an_error(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "nowhere.json"))
        with pytest.raises(ConfigError, match=r"google:default does not exist \(expected at .*nowhere.json\)"):
            resolve("google:default", tmp_path)

    @pytest.mark.parametrize("by_variable", [True, False])
    def test_file_of_gcloud_comes_next(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_variable: bool
    ) -> None:
        folder = tmp_path / "gcloud" if by_variable else tmp_path / "home" / ".config" / "gcloud"
        if by_variable:
            monkeypatch.setenv("CLOUDSDK_CONFIG", str(folder))
        self.write_user_file(folder)
        assert json.loads(resolve("google:default", Path("/")).reveal())["type"] == "authorized_user"

    def test_metadata_server_is_the_last(self, tmp_path: Path) -> None:
        assert resolve("google:default", tmp_path).reveal() == '{"type":"metadata_server"}'

    def test_reference_is_one_to_a_key_only(self) -> None:
        assert parse_reference("google:default") == ("google", "default")
        assert not is_reference("google:default")
        for text in ("google:", "google:other", "google: default"):
            with pytest.raises(ValueError, match="must be a reference"):
                parse_reference(text)

    @staticmethod
    def write_user_file(folder: Path) -> None:
        folder.mkdir(parents=True)
        user = {
            "type": "authorized_user",
            "client_id": "c",
            "client_secret": "secret-one",
            "refresh_token": "token-one",
        }
        (folder / "application_default_credentials.json").write_text(json.dumps(user))

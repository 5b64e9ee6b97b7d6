"""Which authorities are trusted, and who signed a certificate."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trustme

from orchestrator.core.errors import ConfigError
from orchestrator.providers.http.certificates import build_ssl_context, find_issuer


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA(organization_name="Käse Works", organization_unit_name="Root")


def der(pem: trustme.Blob) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pem.bytes().decode())


def test_the_issuer_is_read_from_the_certificate(authority: trustme.CA) -> None:
    leaf = der(authority.issue_cert("api.example").cert_chain_pems[0])
    assert find_issuer(leaf) == "O=Käse Works, OU=Root"


def test_what_is_no_certificate_has_no_issuer(authority: trustme.CA) -> None:
    """Cut off at any place, changed at any place, or nothing of the kind: never an exception."""
    leaf = der(authority.issue_cert("api.example").cert_chain_pems[0])
    for cut in range(len(leaf)):
        assert find_issuer(leaf[:cut]) is None
    for place in range(min(len(leaf), 400)):
        for value in (0x00, 0x30, 0x7F, 0x80, 0x84, 0xFF):
            find_issuer(leaf[:place] + bytes([value]) + leaf[place + 1 :])
    assert find_issuer(b"\x30\x80" * 50) is None


def loaded(context: ssl.SSLContext) -> int:
    return context.cert_store_stats()["x509_ca"]


def test_the_extra_file_is_trusted_as_well_as_the_others(authority: trustme.CA, tmp_path: Path) -> None:
    mine, other = tmp_path / "mine.pem", tmp_path / "other.pem"
    authority.cert_pem.write_to_path(str(mine))
    trustme.CA().cert_pem.write_to_path(str(other))
    assert loaded(build_ssl_context(None, {"SSL_CERT_FILE": str(other)})) == 1
    assert loaded(build_ssl_context(mine, {"SSL_CERT_FILE": str(other)})) == 2
    assert loaded(build_ssl_context(mine, {})) == loaded(build_ssl_context(None, {})) + 1
    assert build_ssl_context(None, {"SSL_CERT_FILE": ""}).verify_mode is ssl.CERT_REQUIRED


def test_a_folder_of_hashed_names_is_taken(authority: trustme.CA, tmp_path: Path) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "0a1b2c3d.0"))
    assert build_ssl_context(None, {"SSL_CERT_DIR": str(tmp_path)}).check_hostname


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "ORCHESTRATOR_CA_FILE"])
@pytest.mark.parametrize(
    ("content", "fault"),
    [(None, "cannot be read"), ("", "contains no certificate"), ("not PEM", "contains no certificate")],
)
def test_a_file_that_is_not_there_or_holds_none_is_named(
    tmp_path: Path, name: str, content: str | None, fault: str
) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    ca_file, environ = (path, {}) if name == "ORCHESTRATOR_CA_FILE" else (None, {name: str(path)})
    with pytest.raises(ConfigError, match=f"{name}: .*ca.pem {fault}") as caught:
        build_ssl_context(ca_file, environ)
    assert caught.value.hint


@pytest.mark.parametrize(("folder", "fault"), [("nowhere", "is not a folder"), (".", "contains no certificate")])
def test_invalid_certificate_folder_is_named(tmp_path: Path, folder: str, fault: str) -> None:
    with pytest.raises(ConfigError, match=f"SSL_CERT_DIR: .* {fault}"):
        build_ssl_context(None, {"SSL_CERT_DIR": str(tmp_path / folder)})

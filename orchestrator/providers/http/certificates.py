"""Builds the TLS context with the trusted certificate authorities, and reads the issuer of a certificate.

`SSL_CERT_FILE` and `SSL_CERT_DIR` replace the system's authorities, as in OpenSSL; the file of `ORCHESTRATOR_CA_FILE`
is trusted in addition. The issuer is parsed from the certificate's DER bytes here, because it is needed after a
failed verification, when Python provides nothing but those bytes.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import httpx2

from orchestrator.core.errors import ConfigError

VERSION_TAG: Final = 0xA0  # the tag of a certificate's version, which may be left out
BMP_STRING_TAG: Final = 0x1E
NAME_PARTS: Final = {b"\x55\x04\x03": "CN", b"\x55\x04\x0a": "O", b"\x55\x04\x0b": "OU"}
MAX_ISSUER_CHARACTERS: Final = 120


def build_ssl_context(ca_file: Path | None, environ: Mapping[str, str]) -> ssl.SSLContext:
    """Build the TLS context. Raises ConfigError for a file or folder without certificates."""
    file, folder = environ.get("SSL_CERT_FILE") or None, environ.get("SSL_CERT_DIR") or None
    if folder:
        _check_ca_folder(folder)
    if file or folder:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if folder:
            context.load_verify_locations(capath=folder)
    else:
        context = httpx2.create_ssl_context(trust_env=False)
    for name, path in (("SSL_CERT_FILE", file), ("ORCHESTRATOR_CA_FILE", ca_file)):
        if path:
            _load_ca_file(context, name, Path(path))
    context.set_alpn_protocols(["http/1.1"])  # so that a server without HTTP/1.1 refuses in the handshake
    return context


def _load_ca_file(context: ssl.SSLContext, name: str, path: Path) -> None:
    try:
        context.load_verify_locations(cafile=path)
    except ssl.SSLError:
        raise ConfigError(
            f"{name}: {path} contains no certificate",
            hint="Use PEM text: the authority's certificate between BEGIN CERTIFICATE and END CERTIFICATE. "
            "Convert DER with: openssl x509 -inform der -in FILE -out FILE.pem",
        ) from None
    except OSError as error:
        raise ConfigError(
            f"{name}: {path} cannot be read: {error.strerror}",
            hint=f"Correct the path in {name} or the file's permissions, or unset {name}.",
        ) from None


def _check_ca_folder(folders: str) -> None:
    """Check the folders here: OpenSSL reads them when it needs an authority, and ignores a missing one silently."""
    paths = [Path(folder) for folder in folders.split(":")]
    for path in paths:
        if not path.is_dir():
            raise ConfigError(
                f"SSL_CERT_DIR: {path} is not a folder", hint="Correct the path in SSL_CERT_DIR, or unset it."
            )
    if not any(re.fullmatch(r"[0-9a-f]{8}\.\d+", file.name) for path in paths for file in path.iterdir()):
        raise ConfigError(
            f"SSL_CERT_DIR: {folders} contains no certificate that is named by its hash",
            hint=f"Run: openssl rehash {folders}; or set SSL_CERT_FILE to one PEM file.",
        )


def find_issuer(certificate: bytes) -> str | None:
    """Return the issuer of a DER certificate, such as `CN=Corp Root CA, O=Corp`; None if it cannot be parsed."""
    try:
        start, end = _content_bounds(
            certificate, *_content_bounds(certificate, 0, len(certificate))[:1], len(certificate)
        )
        fields = list(_iter_children(certificate, start, end))
        if fields[0][0] == VERSION_TAG:
            del fields[0]
        _, start, end = fields[2]  # after the serial number and the signature's algorithm
        parts = [part for part in map(_format_name_part, _iter_name_parts(certificate, start, end)) if part]
    except (IndexError, ValueError):
        return None
    text = "".join(character for character in ", ".join(parts) if character.isprintable())
    return text[:MAX_ISSUER_CHARACTERS] or None


def _iter_name_parts(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, bytes]]:
    """Yield the parts of a name: object identifier, tag of the text, and text."""
    for _, set_start, set_end in _iter_children(data, start, end):
        for _, pair_start, pair_end in _iter_children(data, set_start, set_end):
            (_, id_start, id_end), (tag, text_start, text_end) = _iter_children(data, pair_start, pair_end)
            yield data[id_start:id_end], tag, data[text_start:text_end]


def _format_name_part(part: tuple[bytes, int, bytes]) -> str:
    identifier, tag, text = part
    if identifier not in NAME_PARTS:
        return ""
    return (
        f"{NAME_PARTS[identifier]}={text.decode('utf-16-be' if tag == BMP_STRING_TAG else 'utf-8', errors='replace')}"
    )


def _iter_children(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield tag, start and end of each value inside another one."""
    while start < end:
        inner_start, inner_end = _content_bounds(data, start, end)
        yield data[start], inner_start, inner_end
        start = inner_end


def _content_bounds(data: bytes, at: int, limit: int) -> tuple[int, int]:
    """Return start and end of the content of a value. Raises IndexError or ValueError if it is incomplete."""
    length, start = data[at + 1], at + 2
    if length & 0x80:
        size = length & 0x7F
        length, start = int.from_bytes(data[start : start + size], "big"), start + size
    if start + length > limit:
        raise ValueError("cut off")
    return start, start + length

"""Parses multipart forms while they arrive: fields into memory, the file into a blob on disk."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from msgspec import Struct, field
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from orchestrator.sandbox.blob_store import IncomingBlob
from orchestrator.sandbox.response import SandboxApiError

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MAX_FIELD_BYTES = 64 * 1024


class MultipartForm(Struct):
    """A parsed form. `file` has the content of the part with a filename."""

    file: IncomingBlob
    fields: dict[str, str] = field(default_factory=dict)
    file_field: str | None = None
    filename: str = ""


async def parse_multipart_form(
    content_type: str, body: AsyncIterator[bytes], file: IncomingBlob, max_file_bytes: int
) -> MultipartForm:
    """Parse a form.

    `file` receives the content of its file, at most `max_file_bytes`. Raises SandboxApiError (400, 413).
    """
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data" or b"boundary" not in options:
        raise SandboxApiError(400, "Invalid Content-Type: expected multipart/form-data with a boundary.")
    reader = _FormBuilder(MultipartForm(file))
    parser = MultipartParser(options[b"boundary"], reader.callbacks())
    with _translate_parse_errors():
        async for chunk in body:
            parser.write(chunk)
            if file.size > max_file_bytes:
                raise SandboxApiError(
                    413, f"The file is larger than {max_file_bytes} bytes.", param="file", code="file_too_large"
                )
        parser.finalize()
    return reader.form


@contextmanager
def _translate_parse_errors() -> Iterator[None]:
    try:
        yield
    except (FormParserError, UnicodeDecodeError) as error:
        raise SandboxApiError(400, f"The form cannot be parsed: {error}") from error


class _FormBuilder:
    """Builds a form from the parser's callbacks, which are looked up by their names."""

    def __init__(self, form: MultipartForm) -> None:
        self.form = form
        self._name = b""
        self._value = b""
        self._disposition = b""
        self._field: str | None = None
        self._data = bytearray()

    def callbacks(self) -> MultipartCallbacks:
        names = (
            "part_begin",
            "header_field",
            "header_value",
            "header_end",
            "headers_finished",
            "part_data",
            "part_end",
        )
        return cast("MultipartCallbacks", {f"on_{name}": getattr(self, name) for name in names})

    def part_begin(self) -> None:
        self._disposition, self._field = b"", None
        self._data.clear()

    def header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def header_end(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._disposition = self._value
        self._name = self._value = b""

    def headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        name = options.get(b"name", b"").decode()
        if b"filename" not in options:
            self._field = name
        elif self.form.file_field is None:
            self.form.file_field = name
            self.form.filename = options[b"filename"].decode()
        else:
            raise SandboxApiError(400, "The form holds more than one file.", param=name)

    def part_data(self, data: bytes, start: int, end: int) -> None:
        if self._field is None:
            self.form.file.write(memoryview(data)[start:end])
        elif len(self._data) + end - start > MAX_FIELD_BYTES:
            raise SandboxApiError(400, f"The field {self._field!r} is too long.", param=self._field)
        else:
            self._data += data[start:end]

    def part_end(self) -> None:
        if self._field is not None:
            self.form.fields[self._field] = self._data.decode()

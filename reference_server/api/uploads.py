"""Multipart forms with one large file, which goes to its sink as it comes in: nothing of it stays in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from reference_server.services.errors import Invalid

MOST_FIELDS = 50
MOST_TEXT = 16 * 1024
"""Bytes of all fields that are no file."""

BATCH = 512 * 1024
"""Bytes that go to the sink at once."""


class FormCutOff(Invalid):
    """The body ended before the form did."""


class Sink(Protocol):
    def write(self, piece: bytes) -> None: ...


@dataclass(slots=True)
class LargeForm:
    """`filename`: what the sender calls the file; None: there was no file."""

    fields: dict[str, str] = field(default_factory=dict)
    filename: str | None = None


class _Parts:
    """What the parser tells, part by part."""

    def __init__(self, file_field: str) -> None:
        self._file_field = file_field
        self.form = LargeForm()
        self.pieces: list[bytes] = []
        self.waiting = 0
        self._header, self._value = b"", b""
        self._disposition = b""
        self._name = ""
        self._is_file = self._skipped = False
        self._text = bytearray()
        self._all_text = self._parts = 0
        self.ended = False

    def callbacks(self) -> dict[str, Callable[..., None]]:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._data,
            "on_part_end": self._end,
            "on_end": self._all,
        }

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > MOST_FIELDS:
            raise Invalid(f"A form has at most {MOST_FIELDS} fields.")
        self._header = self._value = self._disposition = b""
        self._text = bytearray()

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header = (self._header + data[start:end])[:200]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value = (self._value + data[start:end])[:4000]

    def _header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header = self._value = b""

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        self._is_file = self._name == self._file_field and b"filename" in options
        self._skipped = not self._is_file and b"filename" in options
        if self._is_file:
            if self.form.filename is not None:
                raise Invalid.field(self._file_field, "One file is needed.")
            self.form.filename = options[b"filename"].decode("utf-8", "replace")

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self.pieces.append(data[start:end])
            self.waiting += end - start
        elif not self._skipped:
            self._all_text += end - start
            if self._all_text > MOST_TEXT:
                raise Invalid(f"The fields are larger than {MOST_TEXT} bytes.")
            self._text += data[start:end]

    def _end(self) -> None:
        if not self._is_file and not self._skipped:
            self.form.fields[self._name] = self._text.decode("utf-8", "replace")

    def _all(self) -> None:
        self.ended = True

    def take(self) -> bytes:
        found = b"".join(self.pieces)
        self.pieces, self.waiting = [], 0
        return found


async def receive(request: Request, file_field: str, sink: Sink) -> LargeForm:
    """Read the whole form; the file's bytes go to `sink`. Raises Invalid (FormCutOff), HTTPException 415, what the sink
    raises."""
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise HTTPException(415, "A multipart form is needed.")
    parts = _Parts(file_field)
    try:
        parser = MultipartParser(boundary, parts.callbacks())  # type: ignore[arg-type] # a TypedDict of the same keys
        async for chunk in request.stream():
            parser.write(chunk)
            if parts.waiting >= BATCH:
                await run_in_threadpool(sink.write, parts.take())
        parser.finalize()
    except FormParserError:
        raise Invalid("The form cannot be read: it is no well-formed multipart body.") from None
    if not parts.ended:
        raise FormCutOff("The form ends before its last part does: the upload was cut off.")
    if parts.waiting:
        await run_in_threadpool(sink.write, parts.take())
    return parts.form

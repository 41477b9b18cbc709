"""The BSON subset that tunnels need (bsonspec.org, version 1.1): document, array, string, binary, bool, null,
double, int32, int64.

A codec of our own, since the packages named `bson` on the package index clash inside OctoPrint's shared environment
(architecture.md, decision 6). Tested against pymongo's.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

MAX_DEPTH = 32
"""Nesting; a tunnel message has three levels."""

_DOUBLE, _STRING, _DOCUMENT, _ARRAY, _BINARY, _BOOL, _NULL, _INT32, _INT64 = 1, 2, 3, 4, 5, 8, 10, 16, 18


class WireError(ValueError):
    """A frame that is no message, or a message that cannot be a frame. The text is for a person."""


def encode(document: Mapping[str, Any]) -> bytes:
    """The document as BSON. Raises WireError for a value outside the subset."""
    try:
        return _encode_document(document, 0)
    except UnicodeEncodeError:
        raise WireError("a text with half a character (a lone surrogate)") from None


def _encode_document(document: Mapping[str, Any], depth: int) -> bytes:
    if depth > MAX_DEPTH:
        raise WireError(f"nested deeper than {MAX_DEPTH}")
    body = b"".join(_encode_element(str(name), value, depth) for name, value in document.items())
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def _encode_element(name: str, value: object, depth: int) -> bytes:
    kind, payload = _encode_value(value, depth)
    key = name.encode()
    if b"\0" in key:
        raise WireError("a BSON key with a NUL character")
    return bytes((kind,)) + key + b"\0" + payload


def _encode_value(value: object, depth: int) -> tuple[int, bytes]:
    match value:
        case None:
            return _NULL, b""
        case bool():
            return _BOOL, b"\1" if value else b"\0"
        case int() if -(2**31) <= value < 2**31:
            return _INT32, struct.pack("<i", value)
        case int() if -(2**63) <= value < 2**63:
            return _INT64, struct.pack("<q", value)
        case float():
            return _DOUBLE, struct.pack("<d", value)
        case str():
            text = value.encode()
            return _STRING, struct.pack("<i", len(text) + 1) + text + b"\0"
        case bytes():
            return _BINARY, struct.pack("<iB", len(value), 0) + value
        case Mapping():
            return _DOCUMENT, _encode_document(value, depth + 1)
        case list() | tuple():
            numbered = {str(index): item for index, item in enumerate(value)}
            return _ARRAY, _encode_document(numbered, depth + 1)
    raise WireError(f"no BSON form for {type(value).__name__}")


def decode(data: bytes) -> dict[str, Any]:
    """The document in `data`, which must be exactly one. Raises WireError."""
    try:
        document, end = _decode_document(data, 0, len(data), 0)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise WireError(f"not BSON: {error}") from None
    if end != len(data):
        raise WireError(f"not BSON: {len(data) - end} bytes after the document")
    return document


def _decode_document(data: bytes, start: int, limit: int, depth: int) -> tuple[dict[str, Any], int]:
    if depth > MAX_DEPTH:
        raise WireError(f"not BSON: nested deeper than {MAX_DEPTH}")
    (size,) = struct.unpack_from("<i", data, start)
    end = start + size
    if size < 5 or end > limit or data[end - 1] != 0:
        raise WireError("not BSON: a wrong document size")
    document: dict[str, Any] = {}
    position = start + 4
    while position < end - 1:
        kind = data[position]
        name_end = data.find(b"\0", position + 1, end - 1)
        if name_end < 0:
            raise WireError("not BSON: a key without end")
        name = data[position + 1 : name_end].decode()
        document[name], position = _decode_value(kind, data, name_end + 1, end - 1, depth)
    return document, end


def _decode_value(kind: int, data: bytes, at: int, limit: int, depth: int) -> tuple[Any, int]:
    fixed = _FIXED.get(kind)
    if fixed is not None:
        size, form = fixed
        if at + size > limit:
            raise WireError("not BSON: cut short")
        value = struct.unpack_from(form, data, at)[0] if size else None
        if kind == _BOOL:
            if value not in {0, 1}:
                raise WireError("not BSON: a truth value that is neither")
            value = bool(value)
        return value, at + size
    if kind in {_DOCUMENT, _ARRAY}:
        document, end = _decode_document(data, at, limit, depth + 1)
        return (list(document.values()) if kind == _ARRAY else document), end
    if kind not in {_STRING, _BINARY}:
        raise WireError(f"not of the BSON subset in use: type {kind}")
    (size,) = struct.unpack_from("<i", data, at)
    begin = at + (4 if kind == _STRING else 5)
    end = begin + size
    if size < (1 if kind == _STRING else 0) or end > limit:
        raise WireError("not BSON: a wrong length")
    if kind == _STRING and data[end - 1] != 0:
        raise WireError("not BSON: a text without end")
    return (data[begin : end - 1].decode() if kind == _STRING else data[begin:end]), end


_FIXED = {_DOUBLE: (8, "<d"), _BOOL: (1, "<B"), _NULL: (0, ""), _INT32: (4, "<i"), _INT64: (8, "<q")}

"""The small BSON codec against pymongo's, both ways, and against rubbish."""

from __future__ import annotations

import math
import struct
from typing import Any

import bson as theirs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_core.wire import bson
from agent_core.wire.bson import WireError

KEYS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
LEAVES = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8")) | st.binary(max_size=40)
)  # fmt: skip
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=20
)
DOCUMENTS = st.dictionaries(KEYS, VALUES, max_size=6)

TUNNEL: dict[str, Any] = {
    "http.tunnelv2": {
        "ref": "5", "response": {
            "status": 200, "headers": {"Content-Type": "text/html"}, "content": b"\0\1<html>", "compressed": False,
            "cookies": ["a=b", "c=d"], "none": None, "big": 2**40, "double": 0.1,
        },
    }
}  # fmt: skip
WHOLE = bson.encode(TUNNEL)


@settings(max_examples=60)
@given(DOCUMENTS)
def test_the_same_bytes_and_the_same_values(document: dict[str, Any]) -> None:
    data = bson.encode(document)
    assert data == theirs.encode(document)
    assert theirs.decode(data) == document
    assert bson.decode(data) == document


def test_types_survive() -> None:
    found = bson.decode(bson.encode({"t": True, "i": 1, "f": 1.0, "l": 2**31, "b": b"", "s": ""}))
    assert [type(value) for value in found.values()] == [bool, int, float, int, bytes, str]


def test_tuples_are_arrays_and_not_a_number_passes() -> None:
    assert bson.decode(bson.encode({"a": (1, "x")})) == {"a": [1, "x"]}
    assert math.isnan(bson.decode(bson.encode({"a": math.nan}))["a"])


@pytest.mark.parametrize(
    "document",
    [{"a": 2**63}, {"a": -(2**63) - 1}, {"a": object()}, {"a": {1, 2}}, {"a\0b": 1}, {"a": "\ud800"}, {"\ud800": 1}],
)
def test_what_has_no_form(document: dict[str, Any]) -> None:
    with pytest.raises(WireError):
        bson.encode(document)


def _nested(levels: int) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for _ in range(levels):
        document = {"a": document}
    return document


def test_depth_is_bounded_both_ways() -> None:
    assert bson.decode(bson.encode(_nested(bson.MAX_DEPTH))) == _nested(bson.MAX_DEPTH)
    with pytest.raises(WireError, match="deeper"):
        bson.encode(_nested(bson.MAX_DEPTH + 1))
    with pytest.raises(WireError, match="deeper"):
        bson.decode(theirs.encode(_nested(bson.MAX_DEPTH + 1)))


@pytest.mark.parametrize("length", range(len(WHOLE)))
def test_every_truncation_is_refused(length: int) -> None:
    with pytest.raises(WireError):
        bson.decode(WHOLE[:length])


def test_bytes_after_the_end_are_refused() -> None:
    with pytest.raises(WireError, match="after the document"):
        bson.decode(WHOLE + b"\0")


@pytest.mark.parametrize(
    "body",
    [
        b"\x07_id\0" + bytes(12),  # an object id: not of the subset
        b"\x02a\0" + struct.pack("<i", 0) + b"\0",  # a string without its NUL
        b"\x02a\0" + struct.pack("<i", 2) + b"xy",  # … with another byte there
        b"\x02a\0" + struct.pack("<i", 3) + b"\xff\xfe\0",  # no UTF-8
        b"\x02a\0" + struct.pack("<i", -1) + b"\0",
        b"\x02a\0" + struct.pack("<i", 2**31 - 1) + b"x\0",
        b"\x05a\0" + struct.pack("<iB", -1, 0),
        b"\x05a\0" + struct.pack("<iB", 100, 0) + b"short",
        b"\x03a\0" + struct.pack("<i", 100) + b"\0",
        b"\x03a\0" + struct.pack("<i", -5) + b"\0",
        b"\x01a\0\0\0",
        b"\x08a\0\x07",  # a truth that is neither
        b"\x0aabc",  # a key whose NUL is the document's
        b"\x10",
        b"\xff\xff\0",
    ],
)
def test_damaged_elements(body: bytes) -> None:
    data = struct.pack("<i", len(body) + 5) + body + b"\0"
    with pytest.raises(WireError):
        bson.decode(data)
    if not body.startswith(b"\x07"):  # theirs knows more types
        with pytest.raises(theirs.errors.BSONError):
            theirs.decode(data)


@given(st.binary(max_size=200))
def test_rubbish(data: bytes) -> None:
    try:
        found = bson.decode(data)
    except WireError:
        return
    assert set(bson.decode(bson.encode(found))) == set(found)


@given(st.integers(0, len(WHOLE) - 1), st.integers(0, 255))
def test_any_flipped_byte(at: int, value: int) -> None:
    data = bytearray(WHOLE)
    data[at] = value
    try:
        found = bson.decode(bytes(data))
    except WireError:
        return
    assert isinstance(found, dict)

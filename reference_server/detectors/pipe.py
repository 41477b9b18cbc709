"""What server and vision process say to each other over pipes: a JSON object and some bytes, each with its length.

    4 bytes: length of the JSON, 4 bytes: length of the bytes (both big-endian), the JSON in UTF-8, the bytes

A request has `op` and `limit` (seconds until the process ends itself); an answer has `error` (one line) or the result.
"""

from __future__ import annotations

import json
import struct
from typing import Any

HEAD = struct.Struct(">II")
MOST_JSON, MOST_BYTES = 1_000_000, 16_000_000
"""More is no message but a pipe out of step."""

Message = dict[str, Any]


class OutOfStep(Exception):
    """What came is no message; the pipe is of no use any more."""


def pack(message: Message, data: bytes = b"") -> bytes:
    text = json.dumps(message).encode()
    return HEAD.pack(len(text), len(data)) + text + data


def lengths(head: bytes) -> tuple[int, int]:
    """Raises OutOfStep."""
    json_length, data_length = HEAD.unpack(head)
    if json_length > MOST_JSON or data_length > MOST_BYTES:
        raise OutOfStep(f"lengths {json_length} and {data_length}")
    return json_length, data_length


def message_of(text: bytes) -> Message:
    """Raises OutOfStep."""
    try:
        message = json.loads(text)
    except ValueError:
        raise OutOfStep("no JSON") from None
    if not isinstance(message, dict):
        raise OutOfStep("no JSON object")
    return message

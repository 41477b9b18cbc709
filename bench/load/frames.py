"""WebSocket frames as clients send them, made cheaply: statuses of a recorded agent with values that change."""

from __future__ import annotations

import gzip
import json
import struct
from pathlib import Path
from typing import Any

RECORDING = Path(__file__).resolve().parents[2] / "tests/data/recordings/obico/12-long-print-viewing.jsonl.gz"

NO_MASK = b"\0\0\0\0"
"""A client must mask; with this key the bytes stay what they are. The server unmasks them like any others."""

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


def frame(opcode: int, payload: bytes) -> bytes:
    """A client's frame."""
    return header(opcode, len(payload)) + payload


def header(opcode: int, size: int) -> bytes:
    if size < 126:
        return struct.pack("!BB", 0x80 | opcode, 0x80 | size) + NO_MASK
    if size < 65536:
        return struct.pack("!BBH", 0x80 | opcode, 0xFE, size) + NO_MASK
    return struct.pack("!BBQ", 0x80 | opcode, 0xFF, size) + NO_MASK


def recorded_status() -> dict[str, Any]:
    """The last plain status of a recorded print: `{"status", "current_print_ts"}`, 1.8 kB."""
    found: dict[str, Any] | None = None
    with gzip.open(RECORDING, "rt", encoding="utf-8") as lines:
        for line in lines:
            said = json.loads(line)
            message = said.get("frame")
            if (
                said["dir"] == "agent->server" and isinstance(message, dict) and "event" not in message
                and "settings" not in message and (message.get("current_print_ts") or 0) > 0
            ):  # fmt: skip
                found = message
    assert found is not None, f"{RECORDING} holds no status"
    return found


class StatusFrames:
    """Frames of one message: all of one length, with time, temperatures, height and progress as told."""

    def __init__(self, message: dict[str, Any]) -> None:
        message = json.loads(json.dumps(message))
        status = message["status"]
        status["_ts"] = "@%.3f@"
        status["temperatures"]["tool0"]["actual"] = "@%.2f@"
        status["temperatures"]["bed"]["actual"] = "@%.2f@"
        status["currentZ"] = "@%.2f@"
        status["progress"].update(completion="@%.13f@", filepos="@%d@", printTime="@%d@")
        text = json.dumps(message).replace('"@', "").replace('@"', "")
        self._template = text.encode()
        assert self._template.count(b"%") == 7, "the recorded message has a % of its own"
        self._header = header(TEXT, len(self._payload(1_700_000_000.0, 0)))

    def _payload(self, ts: float, step: int) -> bytes:
        step %= 1000
        # As in the recording a nozzle at its 215 °C and a bed that is off: a heater that arrives at its target, or
        # leaves it, is an event.
        values = {
            b"_ts": ts, b"tool0": 214.5 + step % 97 / 100, b"bed": 21.5 + step % 37 / 100, b"z": 10 + step / 100,
            b"completion": 10 + step * 0.0771, b"filepos": 1_000_000 + step * 97, b"print_time": 2000 + step,
        }  # fmt: skip
        # In the order of the recorded message.
        return self._template % (
            values[b"z"], values[b"completion"], values[b"filepos"], values[b"print_time"], values[b"tool0"],
            values[b"bed"], values[b"_ts"],
        )  # fmt: skip

    def make(self, ts: float, step: int) -> bytes:
        """`ts` Unix seconds; `step` changes the other values."""
        return self._header + self._payload(ts, step)

    @property
    def size(self) -> int:
        """Bytes of a message."""
        return len(self._payload(1_700_000_000.0, 0))

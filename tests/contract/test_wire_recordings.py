"""Every frame between a real agent and a real server, as recorded, through our codec."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_core.wire import bson
from agent_core.wire import messages as wire
from agent_core.wire.codec import WireError, decode_agent_frame, decode_server_frame, encode
from agent_core.wire.status import Status

RECORDINGS = Path(__file__).parent.parent / "data" / "recordings" / "obico"
FILES = sorted(each.name for each in RECORDINGS.iterdir() if ".jsonl" in each.name)


def _frames(name: str, direction: str) -> Iterator[tuple[str, str | bytes]]:
    """(opcode, frame) of the agent's socket, without the recorder's own notes."""
    opener = gzip.open if name.endswith(".gz") else open
    with opener(RECORDINGS / name, "rt", encoding="utf-8") as file:
        for line in file:
            record: dict[str, Any] = json.loads(line)
            body = record.get("frame")
            if record["via"] != "ws" or record["dir"] != direction or not isinstance(body, dict) or "_ctl" in body:
                continue
            opcode = record.get("opcode") or "text"
            yield opcode, bson.encode(_with_bytes(body)) if "binary" in opcode else json.dumps(body)


def _with_bytes(value: Any) -> Any:
    """The recorder keeps binary content as its size only."""
    if isinstance(value, dict):
        return bytes(value["_bytes"]) if set(value) == {"_bytes"} else {k: _with_bytes(v) for k, v in value.items()}
    return [_with_bytes(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", FILES)
def test_what_the_agent_said(name: str) -> None:
    for _, frame in _frames(name, "agent->server"):
        try:
            found = decode_agent_frame(frame)
        except WireError as error:  # pragma: no cover - the message is the point
            pytest.fail(f"{frame[:200]!r}: {error}")
        body = bson.decode(frame) if isinstance(frame, bytes) else json.loads(frame)
        if isinstance(found, wire.StatusMessage):
            _check_status(found, body)
        elif isinstance(found, wire.PassthruUp):
            assert found.to_wire() == {"passthru": body["passthru"]}
        else:
            assert isinstance(found, wire.TunnelResponse | wire.TunnelSocketData)
            assert isinstance(encode(found), bytes)


def _check_status(found: wire.StatusMessage, body: dict[str, Any]) -> None:
    assert found.current_print_ts == (body.get("current_print_ts") or None)
    # Handed on verbatim.
    assert found.status == (body.get("status") or None)
    assert found.settings == body.get("settings")
    if body.get("event"):
        assert found.event is not None
        assert found.event.name == body["event"]["event_type"]
        assert found.event.filename == (body["event"].get("data") or {}).get("name")
    if found.status and "state" in found.status:
        read = Status.from_wire(found.status)
        assert read.ts == found.status["_ts"]
        assert read.state.text == found.status["state"]["text"]
        assert read.state.flags.printing is found.status["state"]["flags"]["printing"]
        assert set(read.temperatures) == set(found.status.get("temperatures") or {})
        assert read.progress.completion == (found.status.get("progress") or {}).get("completion")
        file = (found.status.get("job") or {}).get("file") or {}
        assert read.job.file.name == file.get("name")


@pytest.mark.parametrize("name", FILES)
def test_what_the_server_said(name: str) -> None:
    known = ("remote_status", "commands", "passthru", "http.tunnelv2", "ws.tunnel", "janus")
    for _, frame in _frames(name, "server->agent"):
        found = decode_server_frame(frame)
        body = bson.decode(frame) if isinstance(frame, bytes) else json.loads(frame)
        assert len(found) == sum(key in body for key in known), body
        for message in found:
            if isinstance(message, wire.RemoteStatus):
                assert message.to_wire()["remote_status"] == body["remote_status"]
            if isinstance(message, wire.Commands):
                assert [command.name for command in message.commands] == [each["cmd"] for each in body["commands"]]
                assert all(command.type is not None for command in message.commands)
                assert [dict(command.args) for command in message.commands] == [
                    each["args"] for each in body["commands"]
                ]


def test_the_recordings_hold_what_they_should() -> None:
    """So that the tests above do not pass on nothing."""
    agent: Counter[str] = Counter()
    server: Counter[str] = Counter()
    for name in FILES:
        for opcode, frame in _frames(name, "agent->server"):
            found = decode_agent_frame(frame)
            agent[type(found).__name__] += 1
            agent[opcode] += 1
        for _, frame in _frames(name, "server->agent"):
            server.update(type(message).__name__ for message in decode_server_frame(frame))
    assert agent["StatusMessage"] > 300
    assert agent["PassthruUp"] > 5
    assert agent["TunnelResponse"] > 0
    assert agent["TunnelSocketData"] > 0
    assert server["RemoteStatus"] > 20
    assert server["Commands"] > 20
    assert server["PassthruCall"] > 5
    assert server["TunnelRequest"] > 0
    assert server["TunnelSocketData"] > 0

"""Foreign input: whatever comes becomes a message, nothing, or a WireError, and never anything else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_core.wire import bson, codec, read
from agent_core.wire import messages as wire
from agent_core.wire.codec import WireError, decode_agent_frame, decode_server_frame, encode
from agent_core.wire.settings import Webcam
from agent_core.wire.status import Status

GOLDEN = Path(__file__).parents[2] / "golden" / "wire"
FRAMES: dict[str, dict[str, Any]] = {file.stem: json.loads(file.read_text()) for file in sorted(GOLDEN.iterdir())}
TEXT_FRAMES = [frame for frame in FRAMES.values() if set(frame) != {"binary"}]

WORDS = sorted(
    {"janus", "passthru", "command_ack", "http.tunnelv2", "ws.tunnel", "remote_status", "server", "ack", "commands",
     "event", "settings", "status", "octoprint_data", "octoprint_event", "octoprint_settings", "tsd_gcode_file_id",
     "current_print_ts", "capabilities", "event_type", "data", "id", "at", "ref", "response", "cookies", "headers",
     "content", "type", "viewing", "cmd", "args", "events", "target", "func", "job", "file", "method", "path", "state",
     "why", "by", "text", "score", "picture", "page"}
)  # fmt: skip
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8)
    | st.sampled_from(["PrintDone", "pause", "done", "connect", "event_ack", -1, 0, 1e300, 2**53 + 1, "", "get"])
)  # fmt: skip
NAMES = st.sampled_from(WORDS) | st.text(max_size=4)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=25,
)
BSON_LEAVES = LEAVES.filter(lambda leaf: not isinstance(leaf, int) or abs(leaf) < 2**63) | st.binary(max_size=9)
BSON_TREES = st.recursive(
    BSON_LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4),
    max_leaves=15,
)
OBJECTS = st.dictionaries(st.sampled_from(WORDS), TREES, max_size=6)


def _harmless(frame: str | bytes) -> None:
    """Decodes as both sides would, reads all that can be read lazily, and writes it again."""
    try:
        found = decode_agent_frame(frame)
    except WireError:
        pass
    else:
        if isinstance(found, wire.StatusMessage):
            if found.status is not None:
                Status.from_wire(found.status).to_wire()
            if found.event is not None:
                assert found.event.type is None or isinstance(found.event.type, wire.EventType)
                assert found.event.filename is None or isinstance(found.event.filename, str)
            for entry in read.items((found.settings or {}).get("webcams")):
                Webcam.from_wire(read.mapping(entry) or {})
            assert found.current_print_ts is None or found.current_print_ts == -1 or found.current_print_ts > 0
        assert encode(found) is not None
    try:
        messages = decode_server_frame(frame)
    except WireError:
        return
    for message in messages:
        if isinstance(message, wire.Commands):
            assert all(command.type is None or command.name == command.type.value for command in message.commands)
        assert encode(message) is not None


@settings(max_examples=60)
@given(OBJECTS)
def test_any_json_object(tree: dict[str, Any]) -> None:
    _harmless(json.dumps(tree))


@settings(max_examples=60)
@given(st.sampled_from(TEXT_FRAMES), st.data())
def test_a_wrong_type_anywhere(frame: dict[str, Any], data: st.DataObject) -> None:
    """Walks down a good message and puts something else in place of what stands there."""
    copy: dict[str, Any] = json.loads(json.dumps(frame))
    node: Any = copy
    while isinstance(node, dict | list) and node:
        keys: list[Any] = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(node[key], dict | list) or not node[key] or data.draw(st.booleans()):
            node[key] = data.draw(TREES)
            break
        node = node[key]
    _harmless(json.dumps(copy))


@settings(max_examples=60)
@given(
    st.sampled_from(sorted(FRAMES)),
    st.dictionaries(st.text(min_size=1, max_size=8).map("x-".__add__), TREES, max_size=3),
)
def test_unknown_keys_change_nothing(name: str, more: dict[str, Any]) -> None:
    frame = FRAMES[name]
    decode: Any = decode_agent_frame if name.startswith("agent_") else decode_server_frame
    unknown = {"type": "printer.message", "as_binary": True}
    if set(frame) == {"binary"}:
        known = bson.decode(bytes.fromhex(frame["binary"]))
        assert decode(bson.encode(known)) == decode(bson.encode({**unknown, **known}))
    else:
        assert decode(json.dumps({**more, **unknown, **frame})) == decode(json.dumps(frame))


@given(st.text(max_size=60) | st.binary(max_size=60))
def test_rubbish(frame: str | bytes) -> None:
    _harmless(frame)


@settings(max_examples=60)
@given(st.dictionaries(st.sampled_from(WORDS), BSON_TREES))
def test_any_bson_document(tree: dict[str, Any]) -> None:
    _harmless(bson.encode(tree))


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[]", "not a JSON object but list"),
        ("null", "NoneType"),
        ('{"a": NaN}', "NaN is no JSON number"),
        ('{"a": -Infinity}', "no JSON number"),
        ('{"status": {"_ts": 1e999}}', "too large a number"),
        ('{"a": ' + "9" * 5000 + "}", "not JSON"),
        ("[" * 200_000, "not JSON"),
        (b"", "not BSON"),
        (b"{}", "not BSON"),
    ],
)
def test_what_is_no_message_is_named(frame: str | bytes, words: str) -> None:
    for decode in (decode_agent_frame, decode_server_frame):
        with pytest.raises(WireError, match=words) as caught:
            decode(frame)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["http.tunnelv2", "ws.tunnel", "command_ack"])
def test_a_frame_that_lacks_what_makes_it_one(key: str) -> None:
    with pytest.raises(WireError, match="lacks"):
        decode_agent_frame(json.dumps({key: {"ref": 5}}))
    assert decode_server_frame(json.dumps({key: {"ref": 5}})) == ()


def test_the_first_key_wins() -> None:
    """wire-protocol.md §3.2"""
    both = {"passthru": {"ref": "1", "ret": None}, "status": {"_ts": 1}, "current_print_ts": 5}
    assert decode_agent_frame(json.dumps(both)) == wire.PassthruUp({"ref": "1", "ret": None})
    assert decode_agent_frame(json.dumps({"janus": "x", **both})) == wire.Janus("x")


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (None, None), (0, None), (-1, -1), (5, 5), (5.0, 5), (5.5, None), (-7, None), (2**60, None), ("5", None),
        (True, None), (1e300, None),
    ],
)  # fmt: skip
def test_current_print_ts(said: Any, meant: int | None) -> None:
    frame = json.dumps({"current_print_ts": said})
    assert decode_agent_frame(frame) == wire.StatusMessage(current_print_ts=meant)


def test_legacy_names() -> None:
    frame = {
        "octoprint_data": {"_ts": 5, "job": {"file": {"name": "a"}}}, "octoprint_event": {"event_type": "PrintDone"},
        "octoprint_settings": {"agent": {"name": "x"}}, "tsd_gcode_file_id": 31,
    }  # fmt: skip
    found = decode_agent_frame(json.dumps(frame))
    assert isinstance(found, wire.StatusMessage)
    assert found.status == {"_ts": 5, "job": {"file": {"name": "a", "obico_g_code_file_id": 31}}}
    assert found.event == wire.PrintEvent("PrintDone")
    assert found.settings == {"agent": {"name": "x"}}


def test_a_file_id_in_its_own_place_wins() -> None:
    frame = {"status": {"job": {"file": {"obico_g_code_file_id": 7}}}, "tsd_gcode_file_id": 31}
    found = decode_agent_frame(json.dumps(frame))
    assert isinstance(found, wire.StatusMessage)
    assert found.status == frame["status"]


def test_an_event_without_type_is_none() -> None:
    assert decode_agent_frame('{"event": {"data": {}}}') == wire.StatusMessage()


def test_words_we_do_not_know_are_kept() -> None:
    found = decode_agent_frame('{"event": {"event_type": "PrinterStateChanged", "data": {"name": 5}}}')
    assert isinstance(found, wire.StatusMessage)
    assert found.event is not None
    assert (found.event.name, found.event.type, found.event.filename) == ("PrinterStateChanged", None, None)
    (commands,) = decode_server_frame('{"commands": [{"cmd": "dance"}, 5, {"args": {}}]}')
    assert commands == wire.Commands((wire.Command("dance"),))
    (server,) = decode_server_frame('{"server": {"capabilities": ["event_ack", "telepathy", 5]}}')
    assert server == wire.ServerInfo("", "", frozenset({wire.Capability.EVENT_ACK}))


def test_one_frame_may_carry_several_messages_of_a_server() -> None:
    found = decode_server_frame('{"remote_status": {"viewing": true}, "server": {"name": "s", "version": "1"}}')
    assert [type(message) for message in found] == [wire.ServerInfo, wire.RemoteStatus]


def test_a_numeric_ref_becomes_text() -> None:
    (call,) = decode_server_frame('{"passthru": {"target": "t", "func": "f", "ref": 0.73}}')
    assert isinstance(call, wire.PassthruCall)
    assert call.ref == "0.73"


def test_a_tunnels_failure_told_as_text() -> None:
    frame = bson.encode({"http.tunnelv2": {"ref": "1", "response": {"status": 502, "content": "gone", "headers": {}}}})
    found = decode_agent_frame(frame)
    assert isinstance(found, wire.TunnelResponse)
    assert (found.status, found.content, found.cookies) == (502, b"gone", None)


def test_final_acks() -> None:
    assert [state.final for state in wire.AckState] == [False, True, True, True]


# --- bounds -------------------------------------------------------------------------------------------------------


def test_large_frames_are_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "MAX_TEXT_BYTES", 50)
    monkeypatch.setattr(codec, "MAX_BINARY_BYTES", 50)
    for frame in ("x" * 51, b"x" * 51):
        with pytest.raises(WireError, match="over the limit of 50"):
            decode_agent_frame(frame)
        with pytest.raises(WireError, match="over the limit of 50"):
            decode_server_frame(frame)


def test_large_messages_are_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "MAX_TEXT_BYTES", 50)
    monkeypatch.setattr(codec, "MAX_BINARY_BYTES", 50)
    with pytest.raises(WireError, match="over the limit of 50"):
        encode(wire.Janus("x" * 50))
    with pytest.raises(WireError, match="over the limit of 50"):
        encode(wire.TunnelRequest("r", "get", "/", {}, bytes(50)))


def test_too_many_commands_at_once() -> None:
    frame = json.dumps({"commands": [{"cmd": "pause"}] * (codec.MAX_COMMANDS + 1)})
    with pytest.raises(WireError, match="commands in one frame"):
        decode_server_frame(frame)


def test_what_json_cannot_say() -> None:
    with pytest.raises(WireError, match="cannot be written"):
        encode(wire.PassthruReply("1", float("nan")))
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(WireError, match="cannot be written"):
        encode(wire.PassthruReply("1", loop))
    # Anything else is written as its text (wire-protocol.md §8).
    assert json.loads(encode(wire.PassthruReply("1", {"a": Path("/x")})))["passthru"]["ret"] == {"a": "/x"}


def test_what_is_tunnelled_comes_as_bson_only() -> None:
    """A text of JSON may be half a character, which no answer can hold."""
    request = {"ref": "r", "method": "get", "headers": {}, "path": "/", "data": ""}
    assert decode_server_frame(json.dumps({"http.tunnelv2": {**request, "ref": "\ud800"}})) == ()
    assert len(decode_server_frame(bson.encode({"http.tunnelv2": {**request, "data": b""}}))) == 1

"""Every message as the JSON (or BSON) that peers already understand: tests/golden/wire holds it, one file each.

A change of these files is a change of the protocol. To write them anew after a meant one: `UPDATE_GOLDEN=1 pytest …`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from agent_core.wire import bson, status
from agent_core.wire import messages as wire
from agent_core.wire.codec import decode_agent_frame, decode_server_frame, encode
from agent_core.wire.settings import Settings, Webcam
from agent_core.wire.tunnel import TunnelFrame, TunnelKind

GOLDEN = Path(__file__).parents[2] / "golden" / "wire"

STATUS = status.Status(
    ts=1767001800.4,
    state=status.State("Printing", status.Flags(operational=True, printing=True, sd_ready=True)),
    job=status.Job(
        file=status.File("clip.gcode", "toys/clip.gcode", "clip.gcode", "local", 812345, 1766990000, 31),
        estimated_print_time=5400.0, filament={"tool0": status.Filament(4120.5, 9.91)},
    ),
    progress=status.Progress(32.4, 263200, 1800.0, 3690.0, "analysis", 1310.2),
    temperatures={
        "tool0": status.Temperature(214.8, 215.0), "bed": status.Temperature(60.0, 60.0, -2.0),
        "enclosure": status.Temperature(31.2, None), "chamber": status.Temperature(float("nan"), 0.0),
    },
    current_z=6.2, current_layer=31, total_layers=96, object_height=19.2, file_hash="21de07a3",
    feed_rate=1.0, flow_rate=0.95, fan_speed=0.6, message="hello", user_interaction_required=False,
)  # fmt: skip

SETTINGS = Settings(
    agent=wire.AgentInfo("moonraker_obico", "3.0.0"),
    webcams=(
        Webcam("Bed", is_primary_camera=True, flip_v=True, rotation=90, stream_ratio="16:9"),
        Webcam("Nozzle", is_nozzle_camera=True, flip_h=True, stream_mode="mjpeg_webrtc", stream_id=3),
    ),
    temperature_profiles=({"name": "PLA", "extruder": 210, "bed": 60, "chamber": None},),
    platform_uname=("Linux", "octopi", "6.1", "aarch64", "Raspberry Pi 4"),
    installed_plugins=("timelapse",),
    printer_metadata={"FIRMWARE_NAME": "Marlin"},
    extra={"octoprint_version": "1.11.8"},
)

FROM_AGENT: dict[str, wire.AgentOutgoing] = {
    "status": wire.StatusMessage(1767000000, STATUS.to_wire()),
    "status_unknown_print": wire.StatusMessage(None, status.Status(1.0, status.State("Offline")).to_wire()),
    "status_with_settings": wire.StatusMessage(
        wire.NOT_PRINTING, status.Status(5, status.State("Operational")).to_wire(), settings=SETTINGS.to_wire()
    ),
    "status_with_event": wire.StatusMessage(
        1767000000,
        STATUS.to_wire(),
        wire.PrintEvent("PrintPaused", {"name": "clip.gcode"}, "6f1c1f2e-0000-4000-8000-000000000001", 1767001800.25),
    ),
    "status_with_bare_event": wire.StatusMessage(1767000000, STATUS.to_wire(), wire.PrintEvent("PrintDone")),
    "nothing": wire.StatusMessage(),
    "command_ack_done": wire.CommandAck("c-1", wire.AckState.DONE),
    "command_ack_failed": wire.CommandAck("c-1", wire.AckState.FAILED, "the printer said no"),
    "passthru_reply": wire.PassthruReply("0.73", {"x": [1, None]}),
    "passthru_error": wire.PassthruReply("0.73", error="Printer busy!"),
    "terminal_feed": wire.TerminalFeed("ok T:205", 1716900000.5),
    "printer_event_toast": wire.PrinterEventToast("Filament", "Change it", "WARNING", "FILAMENT_CHANGE"),
    "printer_event_toast_link": wire.PrinterEventToast("a", "b", "ERROR", "PRINTER_ERROR", "https://help.example"),
    "janus": wire.Janus('{"janus": "ack"}'),
    "tunnel_response": wire.TunnelResponse("r1", 200, {"Content-Type": "text/html"}, b"\0<html>", True, ("a=b",)),
    "tunnel_socket_message": wire.TunnelSocketData("r2", wire.TunnelEnd.MESSAGE_UP, b"\1\2"),
    "tunnel_socket_close": wire.TunnelSocketData("r2", wire.TunnelEnd.CLOSE_UP),
    "tunnel_hello": TunnelFrame(TunnelKind.HELLO),
    "tunnel_stream_response": TunnelFrame(
        TunnelKind.RESPONSE, "7", status=200, headers=(("Set-Cookie", "a=b"), ("Set-Cookie", "c=d")), body=True
    ),
    "tunnel_stream_opened": TunnelFrame(TunnelKind.OPENED, "8", credit=131072, protocol="janus-protocol"),
    "tunnel_stream_message": TunnelFrame(TunnelKind.MESSAGE, "8", data=b"half a ", text=True, more=True),
}

FROM_SERVER: dict[str, wire.ServerMessage] = {
    "remote_status": wire.RemoteStatus(viewing=True, should_watch=False),
    "remote_status_partly": wire.RemoteStatus(should_watch=True),
    "greeting": wire.ServerInfo("reference_server", "3.0.0", frozenset(wire.Capability)),
    "pause": wire.Commands(
        (wire.Command("pause", {"retract": 6.5, "lift_z": 2.5, "tools_off": True}, "web", "c-1"),)
    ),
    "pause_with_why": wire.Commands(
        (
            wire.Command(
                "pause", {"retract": 6.5, "lift_z": 2.5}, "system", "c-2",
                wire.CommandWhy(
                    "failure_detection", "quick mean 0.7: above the pause threshold", 0.83,
                    "http://192.168.1.20:3334/media/events/1/a.jpg?expires=1&digest=2",
                    "http://192.168.1.20:3334/#/printers/1",
                ),
            ),
        )
    ),
    "resume_and_cancel": wire.Commands((wire.Command("resume", {}, "api"), wire.Command("cancel", {}, "system"))),
    "events_acked": wire.EventsAcked(("6f1c1f2e-0000-4000-8000-000000000001",)),
    "passthru_call": wire.PassthruCall("_printer", "jog", ({"x": 10},), {}, "0.73"),
    "passthru_call_without_ref": wire.PassthruCall("_printer", "home", (["x", "y"],), {"verb": "get"}),
    "janus": wire.Janus('{"janus": "create"}'),
    "tunnel_request": wire.TunnelRequest("r1", "get", "/api/version?x=1", {"Accept": "*/*"}, b"body"),
    "tunnel_socket_connect": wire.TunnelSocketData("r2", wire.TunnelEnd.CONNECT, None, "/sockjs/websocket"),
    "tunnel_socket_message": wire.TunnelSocketData("r2", wire.TunnelEnd.MESSAGE_DOWN, "text", "/x"),
    "tunnel_socket_close": wire.TunnelSocketData("r2", wire.TunnelEnd.CLOSE_DOWN, None),
    "tunnel_stream_request": TunnelFrame(
        TunnelKind.REQUEST, "7", method="POST", path="/api/files?x=1", headers=(("Accept", "*/*"),), body=True,
        credit=131072,
    ),
    "tunnel_stream_data": TunnelFrame(TunnelKind.DATA, "7", data=b"\0piece"),
    "tunnel_stream_end": TunnelFrame(TunnelKind.END, "7"),
    "tunnel_stream_credit": TunnelFrame(TunnelKind.CREDIT, "7", credit=65536),
    "tunnel_stream_abort": TunnelFrame(TunnelKind.ABORT, "7", reason="the visitor has left"),
    "tunnel_stream_open": TunnelFrame(TunnelKind.OPEN, "8", path="/websocket", credit=131072),
    "tunnel_stream_close": TunnelFrame(TunnelKind.CLOSE, "8", code=1000, reason="bye"),
}  # fmt: skip

RELAYED = (wire.PassthruReply, wire.TerminalFeed, wire.PrinterEventToast)
"""What a server hands on without reading: it decodes to PassthruUp."""

CASES = [("agent", name, message) for name, message in FROM_AGENT.items()] + [
    ("server", name, message) for name, message in FROM_SERVER.items()
]


def _as_json(frame: str | bytes) -> Any:
    """The frame for a file: text frames as they parse, binary ones as hexadecimal digits."""
    return {"binary": frame.hex()} if isinstance(frame, bytes) else json.loads(frame)


def _frame(golden: Any) -> str | bytes:
    return bytes.fromhex(golden["binary"]) if set(golden) == {"binary"} else json.dumps(golden)


def _file(side: str, name: str) -> Path:
    return GOLDEN / f"{side}_{name}.json"


@pytest.mark.parametrize(("side", "name", "message"), CASES)
def test_written_as_ever(side: str, name: str, message: Any) -> None:
    written = _as_json(encode(message))
    file = _file(side, name)
    if os.environ.get("UPDATE_GOLDEN"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(written, indent=1, sort_keys=True) + "\n")
    assert written == json.loads(file.read_text())


@pytest.mark.parametrize(("side", "name", "message"), CASES)
def test_read_as_ever(side: str, name: str, message: Any) -> None:
    frame = _frame(json.loads(_file(side, name).read_text()))
    if side == "server":
        assert decode_server_frame(frame) == (message,)
        return
    expected = wire.PassthruUp(message.to_wire()["passthru"]) if isinstance(message, RELAYED) else message
    assert decode_agent_frame(frame) == expected


def test_no_golden_file_without_its_message() -> None:
    assert {file.name for file in GOLDEN.iterdir()} == {_file(side, name).name for side, name, _ in CASES}


def test_every_kind_of_message_has_one() -> None:
    kinds = {type(message) for _, _, message in CASES}
    assert set(wire.AgentOutgoing.__args__) | set(wire.ServerMessage.__args__) <= kinds | {wire.PassthruUp}


def test_the_status_tree_is_read_back() -> None:
    found = status.Status.from_wire(STATUS.to_wire())
    assert found.job == STATUS.job
    assert found.progress == STATUS.progress
    assert found.state == STATUS.state
    assert found.temperatures["bed"] == STATUS.temperatures["bed"]
    # What is no number goes out as null and comes back as unknown.
    assert found.temperatures["chamber"].actual is None
    assert (found.current_layer, found.total_layers, found.object_height) == (31, 96, 19.2)
    assert (found.file_hash, found.message, found.user_interaction_required) == ("21de07a3", "hello", False)
    assert status.Status.from_wire(found.to_wire()) == found


def test_webcams_are_read_back() -> None:
    assert SETTINGS.webcams is not None
    assert tuple(Webcam.from_wire(webcam.to_wire()) for webcam in SETTINGS.webcams) == SETTINGS.webcams


def test_settings_that_say_little_leave_the_rest_alone() -> None:
    assert Settings(wire.AgentInfo("a", "1")).to_wire() == {"agent": {"name": "a", "version": "1"}}


def test_binary_frames_are_bson() -> None:
    frame = encode(FROM_SERVER["tunnel_request"])
    assert isinstance(frame, bytes)
    assert bson.decode(frame)["http.tunnelv2"]["data"] == b"body"

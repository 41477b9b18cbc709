"""Viewers' calls through the server to real hosts: the whole catalogue; the printer obeys, or it is said why not."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import threading
import time
from base64 import b64decode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import websocket

from demo.processes import wait_for
from tests.e2e.rig import KlipperPrinter, OctoPrintPrinter, Printer, klipper_file, octoprint_file
from tests.fakes.pictures import jpeg

pytestmark = pytest.mark.timeout(180)

PICTURE = jpeg(320, 240)
ANSWER_SECONDS = 60.0
"""After that a client gives up."""


class Viewer:
    """A page of the printer: calls its agent over `/ws/web/{id}/`, and keeps what the terminal says."""

    def __init__(self, printer: Printer) -> None:
        url = f"{printer.rest.url.replace('http', 'ws', 1)}/ws/web/{printer.number}/"
        key = printer.rest.key
        self._socket = websocket.create_connection(url, header=[f"Authorization: Bearer {key}"], timeout=ANSWER_SECONDS)
        self._refs = (f"{printer.number}.{number}" for number in itertools.count())
        self.terminal: list[str] = []

    def ask(self, name: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The whole answer: `ret` or `error`."""
        target, _, func = name.partition(".")
        ref = next(self._refs)
        call = {"target": target, "func": func, "args": list(args), "kwargs": kwargs, "ref": ref}
        self._socket.send(json.dumps({"passthru": call}))
        deadline = time.monotonic() + ANSWER_SECONDS
        while time.monotonic() < deadline:
            said = self._next()
            if said.get("ref") == ref:
                return said
        raise AssertionError(f"no answer to {name} {args} {kwargs}")

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        said = self.ask(name, *args, **kwargs)
        assert "error" not in said, said
        return said["ret"]

    def refused(self, name: str, *args: Any, **kwargs: Any) -> str:
        said = self.ask(name, *args, **kwargs)
        assert "ret" not in said, said
        return str(said["error"])

    def read_terminal(self, wanted: str) -> None:
        """Until a line with that in it has come."""
        deadline = time.monotonic() + ANSWER_SECONDS
        while not any(wanted in line for line in self.terminal):
            assert time.monotonic() < deadline, f"{wanted} is not in the terminal: {self.terminal[-20:]}"
            self._next()

    def _next(self) -> dict[str, Any]:
        said = json.loads(self._socket.recv()).get("passthru") or {}
        if "terminal_feed" in said:
            self.terminal.append(said["terminal_feed"]["msg"])
        return dict(said)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def viewer(printer: OctoPrintPrinter | KlipperPrinter) -> Iterator[Viewer]:
    printer.wait_state("Operational")
    found = Viewer(printer)
    yield found
    found.close()


@pytest.fixture(scope="module")
def camera() -> Iterator[str]:
    """Its address."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the library's name for it
            self.send_response(200)
            self.send_header("Content-Type", "image/jpeg")
            self.send_header("Content-Length", str(len(PICTURE)))
            self.end_headers()
            self.wfile.write(PICTURE)

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/snap.jpg"
        server.shutdown()
        thread.join()


def test_the_printer_obeys_its_viewer(
    printer: OctoPrintPrinter | KlipperPrinter, viewer: Viewer, camera: str
) -> None:
    everywhere(viewer)
    if isinstance(printer, KlipperPrinter):
        klipper_at_rest(printer, viewer)
        klipper_picture(printer, viewer, camera)
        klipper_in_a_print(printer, viewer)
    else:
        octoprint_at_rest(printer, viewer)
        octoprint_in_a_print(printer, viewer)
        octoprint_connection(printer, viewer)
        octoprint_picture(printer, viewer, camera)


def everywhere(viewer: Viewer) -> None:
    """What is the same on all hosts."""
    assert viewer.refused("_printer.__class__").startswith("Request not supported.")
    assert viewer.refused("_settings.get", ["plugins"]).startswith("Request not supported.")
    assert "does not stream video" in viewer.refused("webcam_streamer.start", [])
    assert viewer.call("webcam_streamer.shutdown") == "ok"
    assert "no nozzle camera" in viewer.refused("nozzlecam.start")
    assert "camera" in viewer.refused("jpeg_poster.web_snapshot_request", "http://169.254.169.254/latest/")
    assert "no such axis" in viewer.refused("_printer.home", "x\nM112")
    assert "no temperature" in viewer.refused("_printer.set_temperature", "tool0", 5000)


# --- OctoPrint --------------------------------------------------------------------------------------------------------


def octoprint_at_rest(printer: OctoPrintPrinter, viewer: Viewer) -> None:
    host = printer.host
    assert viewer.call("gcode_hooks.toggle_terminal_feed", "get") is False
    assert viewer.call("gcode_hooks.toggle_terminal_feed", "on") is True
    before = len(host.received_lines())
    viewer.call("_printer.home", ["x", "y", "z"])
    viewer.call("_printer.jog", {"x": 10, "z": 0.5})
    viewer.call("_printer.set_temperature", "tool0", 205)
    viewer.call("_printer.set_temperature", "heater_bed", 55)
    viewer.call("_printer.commands", "M83\nT0\nG1 E5 F300")
    wanted = ["G91", "G28 X0 Y0 Z0", "G90", "G91", "G0 X10 Z0.5 F", "G90", "M104 S205", "M140 S55", "M83", "T0",
              "G1 E5 F300"]  # fmt: skip
    wait_for(lambda: in_order(host.received_lines()[before:], wanted), 20, f"{wanted} at the printer")
    viewer.read_terminal("Send: G1 E5 F300")
    viewer.read_terminal("Recv: ")
    assert viewer.call("gcode_hooks.toggle_terminal_feed", "off") is False
    assert viewer.call("_printer.get_current_data")["state"]["flags"]["operational"] is True
    assert viewer.call("_printer.get_current_temperatures")["bed"]["target"] in {0.0, 55.0}
    for heater in ("extruder", "bed"):
        viewer.call("_printer.set_temperature", heater, 0)


def octoprint_in_a_print(printer: OctoPrintPrinter, viewer: Viewer) -> None:
    printer.host.upload("from_afar.gcode", octoprint_file().encode())
    files = viewer.call("_file_manager.list_files", path="", recursive=False, level=1)["local"]
    assert files["from_afar.gcode"]["size"] == len(octoprint_file())
    found = viewer.call("_file_manager.list_files", filter="FROM.afar|(a+)+$", recursive=True)["local"]
    assert found == {}
    assert set(viewer.call("_file_manager.list_files", filter="AFAR", recursive=True)["local"]) == {"from_afar.gcode"}
    assert "within" in viewer.refused("_file_manager.list_files", path="../..")
    assert "has no file" in viewer.refused("_printer.select_file", "../../config.yaml", None)
    viewer.call("_printer.select_file", "from_afar.gcode", None, printAfterSelect="true")
    printer.wait_state("Printing")
    before = len(printer.host.received_lines())
    assert "a print is under way" in viewer.refused("_printer.jog", {"x": 10})
    assert "a print is under way" in viewer.refused("_printer.home", ["x"])
    assert "a print is under way" in viewer.refused("_printer.select_file", "from_afar.gcode", None)
    assert "M109 could harm it" in viewer.refused("_printer.commands", "M104 S201\nM109 S200")
    viewer.call("_printer.set_temperature", "tool0", 202)
    viewer.call("_printer.commands", "M106 S99")
    wait_for(lambda: in_order(printer.host.received_lines()[before:], ["M104 S202", "M106 S99"]), 20, "both lines")
    assert "M104 S201" not in printer.host.received_lines()[before:]
    assert not any(line.startswith(("G28", "G0")) for line in printer.host.received_lines()[before:])
    printer.host_cancel()
    printer.wait_state("Operational")


def octoprint_connection(printer: OctoPrintPrinter, viewer: Viewer) -> None:
    assert "VIRTUAL" in viewer.call("_printer.get_connection_options")["ports"]
    assert "connected already" in viewer.refused("_printer.connect", "VIRTUAL", 250000)
    wait_for(lambda: printer.host.state() == "OPERATIONAL", 20, "OctoPrint to be idle")
    printer.host.disconnect()
    wait_for(lambda: printer.host.state() in {"OFFLINE", "CLOSED"}, 20, "OctoPrint to be disconnected")
    assert "not connected" in viewer.refused("_printer.jog", {"x": 1})
    assert "no port" in viewer.refused("_printer.connect", "/dev/mem", 250000)
    viewer.call("_printer.connect", "VIRTUAL", None)
    printer.host.wait_for_state("OPERATIONAL")


def octoprint_picture(printer: OctoPrintPrinter, viewer: Viewer, camera: str) -> None:
    def set_camera(url: str) -> None:
        printer.host.post("/api/settings", {"plugins": {"classicwebcam": {"snapshot": url}}})

    def come() -> bool:
        said = viewer.ask("jpeg_poster.web_snapshot_request", camera)
        return "ret" in said and b64decode(said["ret"]["pic"]) == PICTURE

    with contextlib.ExitStack() as at_end:
        at_end.callback(set_camera, "")
        set_camera(camera)  # the plugin takes its cameras anew, which is another agent
        wait_for(come, 30, "a picture of the new camera")
    printer.wait_connected()


# --- Klipper ----------------------------------------------------------------------------------------------------------


def klipper_at_rest(printer: KlipperPrinter, viewer: Viewer) -> None:
    control = printer.klipper.control
    viewer.call("_printer.home", ["x", "y", "z"])
    assert control.state().homed_axes == "xyz"
    viewer.call("moonraker_api.printer.gcode.script", script="G90\nG1 X50 Y50 Z10 F6000 ;there")
    viewer.call("_printer.jog", {"x": 10, "y": -2.5})
    viewer.call("_printer.jog", {"z": 0.5})
    state = control.state()
    assert state.position[:3] == (60.0, 47.5, 10.5)
    assert state.absolute_coordinates
    assert "it reaches" in viewer.refused("_printer.jog", {"z": -50})
    viewer.call("_printer.set_temperature", "extruder", 205)
    viewer.call("_printer.set_temperature", "bed", 55)
    assert (control.state().extruder.target, control.state().heater_bed.target) == (205.0, 55.0)
    for heater in ("tool0", "heater_bed"):
        viewer.call("_printer.set_temperature", heater, 0)
    assert viewer.call("gcode_hooks.toggle_terminal_feed", "get") is True
    viewer.call("moonraker_api.printer/gcode/script", script="M114")
    viewer.read_terminal("X:60.000")

    status = viewer.call("moonraker_api.printer/objects/query?gcode_move&toolhead=homed_axes")["status"]
    assert status["gcode_move"]["absolute_coordinates"] is True
    assert status["toolhead"] == {"homed_axes": "xyz"}
    assert viewer.call("moonraker_api.machine/device_power/devices") == {"devices": []}
    words = viewer.refused("moonraker_api.printer/gcode/script", script="G1 X9999 F600")
    assert words.startswith('Error in calling "printer/gcode/script" - "get": ')
    assert "out of range" in words
    assert "only the G-code folder" in viewer.refused("moonraker_api.server/files/directory", path="config")
    for path in ("server/config", "machine/reboot", "access/api_key", "server/files/config/moonraker.conf"):
        assert viewer.refused(f"moonraker_api.{path}").startswith("Request not supported.")


def klipper_picture(printer: KlipperPrinter, viewer: Viewer, camera: str) -> None:
    def listed() -> list[str]:
        return [each["name"] for each in viewer.call("moonraker_api.server/webcams/list")["webcams"]]

    def come() -> bool:
        said = viewer.ask("jpeg_poster.web_snapshot_request", camera)
        return "ret" in said and b64decode(said["ret"]["pic"]) == PICTURE

    assert listed() == []
    with contextlib.ExitStack() as at_end:
        at_end.callback(printer.klipper.control.release)
        printer.klipper.call("/server/webcams/item", name="bench", snapshot_url=camera, stream_url=camera)
        at_end.callback(delete_webcam, printer, "bench")
        assert listed() == ["bench"]
        wait_for(come, 20, "a picture of the new camera")


def delete_webcam(printer: KlipperPrinter, name: str) -> None:
    url = printer.klipper.url.replace("http", "ws", 1) + "/websocket"
    with contextlib.closing(websocket.create_connection(url, timeout=20)) as socket:
        method, params = "server.webcams.delete_item", {"name": name}
        socket.send(json.dumps({"jsonrpc": "2.0", "method": method, "params": params, "id": 1}))
        while json.loads(socket.recv()).get("id") != 1:
            pass


def klipper_in_a_print(printer: KlipperPrinter, viewer: Viewer) -> None:
    control = printer.klipper.control
    printer.klipper.upload("from_afar.gcode", klipper_file().encode())
    names = [entry["filename"] for entry in viewer.call(
        "moonraker_api.server/files/directory", path="gcodes", extended=True)["files"]]  # fmt: skip
    assert "from_afar.gcode" in names
    control.hold("CURRENT_LAYER=3")
    assert viewer.call("moonraker_api.printer/print/start", verb="post", filename="from_afar.gcode") == {"result": "ok"}
    control.wait_for(lambda s: s.held and not s.moving, 60)
    printer.wait_state("Printing")
    where = control.state().position
    assert "a print is under way" in viewer.refused("_printer.jog", {"x": 10})
    assert "a print is under way" in viewer.refused("_printer.home", ["x"])
    assert "G28 could harm it" in viewer.refused("moonraker_api.printer/gcode/script", script="M106 S1\nG28")
    assert "a print is under way" in viewer.refused(
        "moonraker_api.printer/print/start", verb="post", filename="from_afar.gcode"
    )
    assert control.state().position == where
    viewer.call("moonraker_api.printer/gcode/script", script="M106 S255")
    assert control.state().fan == 1.0
    viewer.call("moonraker_api.printer/gcode/script", script="M112")
    assert control.wait_for(lambda s: s.state == "shutdown", 10).state == "shutdown"
    viewer.call("moonraker_api.printer/gcode/script", script="FIRMWARE_RESTART")
    printer.wait_state("Operational")
    control.release()


def in_order(lines: list[str], wanted: list[str]) -> bool:
    rest = iter(lines)
    return all(any(re.match(re.escape(each), line) for line in rest) for each in wanted)

"""Events for people, on every kind of host at once: a filament change and a run-out reach the server with the picture
of their moment; what happens while the server is away is kept, over a kill of the agent too, and arrives once."""

from __future__ import annotations

import contextlib
import io
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from PIL import Image

from demo.parts import Server
from demo.processes import wait_for
from tests.e2e.rig import HOLD, KlipperPrinter, OctoPrintPrinter, Printer, klipper_file, octoprint_file, unix

pytestmark = [pytest.mark.octoprint, pytest.mark.moonraker, pytest.mark.timeout(240)]

CHANGED, OUT = (10, 120, 40), (150, 20, 30)
"""Colours of what the camera shows when the filament is changed, and when it has run out."""


class Camera:
    """Shows one colour."""

    def __init__(self) -> None:
        self.colour = (40, 40, 40)
        self.url = ""

    def picture(self) -> bytes:
        file = io.BytesIO()
        Image.new("RGB", (320, 240), self.colour).save(file, "JPEG", quality=95)
        return file.getvalue()


@pytest.fixture
def camera() -> Iterator[Camera]:
    found = Camera()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = found.picture()
            with contextlib.suppress(OSError):
                self.send_response(200)
                self.send_header("Content-Type", "image/jpeg")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{server.server_address[1]}/snapshot"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


def watch_with(printer: OctoPrintPrinter | KlipperPrinter, url: str) -> None:
    """Gives the host a camera, as a person does on its pages; with an empty `url` takes it away."""
    if isinstance(printer, OctoPrintPrinter):
        classic = {"snapshot": url or None, "stream": url or None}
        printer.host.post("/api/settings", {"plugins": {"classicwebcam": classic}})
    elif url:
        printer.klipper.call("/server/webcams/item", name="events", service="mjpegstreamer", snapshot_url=url,
                             stream_url=url)  # fmt: skip
    if url:
        printer.wait(lambda p: p["settings"] and p["settings"].get("webcams"), 30, "the camera")
        printer.wait_connected()


def begin(printer: OctoPrintPrinter | KlipperPrinter, name: str) -> int:
    """A print whose file asks for filament as soon as it is let go; the Print's id."""
    if isinstance(printer, KlipperPrinter):
        text = klipper_file().replace(" CURRENT_LAYER=4\n", " CURRENT_LAYER=4\nM600\n")
        printer.klipper.upload(name, text.encode())
        printer.klipper.control.hold(HOLD)
        printer.klipper.print(name)
        printer.klipper.control.wait_for(lambda s: s.held and not s.moving, 60)
    else:
        printer.host.upload(name, octoprint_file().encode(), start=True)
    printer.wait_state("Printing")
    return int(printer.current()["id"])


def change_filament(printer: OctoPrintPrinter | KlipperPrinter) -> None:
    if isinstance(printer, KlipperPrinter):
        printer.klipper.control.release()
    else:
        # Not M600: the virtual printer then waits so well that OctoPrint gives the connection up after 10 s.
        printer.host.gcode("M701" if "2.0" in printer.name else "!!DEBUG:send echo:busy: paused for user")


def run_out(printer: OctoPrintPrinter | KlipperPrinter) -> None:
    if isinstance(printer, KlipperPrinter):
        printer.klipper.control.filament_runout()
    else:
        printer.host.gcode("!!DEBUG:action_custom paused")


def filament_events(printer: Printer) -> list[dict[str, Any]]:
    return [event for event in printer.rest.events(printer.number) if event["event_type"] == "FILAMENT_CHANGE"]


def has_more(printer: Printer, before: int) -> bool:
    return len(filament_events(printer)) > before


def has_noted(printer: Printer, before: int) -> bool:
    return printer.log().count("Filament") > before


def colour_of(printer: Printer, event: dict[str, Any]) -> tuple[int, ...]:
    with Image.open(io.BytesIO(printer.rest.picture(event["image_url"]))) as picture:
        assert picture.size == (320, 240)
        found = picture.convert("RGB").getpixel((160, 120))
    assert isinstance(found, tuple)
    return found


def near(found: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return all(abs(each - other) < 12 for each, other in zip(found, wanted, strict=True))


def test_filament_events_with_their_picture_here_and_after_an_outage(
    server: Server, printers: list[OctoPrintPrinter | KlipperPrinter], camera: Camera
) -> None:
    try:
        for printer in printers:
            watch_with(printer, camera.url)
        _a_filament_change(printers, camera)
        _a_run_out_in_an_outage(server, printers, camera)
    finally:
        for printer in printers:
            watch_with(printer, "")
            if isinstance(printer, KlipperPrinter):
                printer.klipper.control.insert_filament()


def _a_filament_change(printers: list[OctoPrintPrinter | KlipperPrinter], camera: Camera) -> None:
    jobs = {printer: begin(printer, "change.gcode") for printer in printers}
    camera.colour = CHANGED
    for printer in printers:
        change_filament(printer)
    for printer in printers:
        (event,) = wait_for(partial(filament_events, printer), 30, f"the event of {printer.name}")
        assert (event["event_title"], event["event_class"]) == ("Filament Change Required", "WARNING")
        assert event["print"] == jobs[printer]
        assert any(word in event["event_text"] for word in ("M600", "M701", "filament change", "paused for user"))
        assert near(colour_of(printer, event), CHANGED)
    camera.colour = (40, 40, 40)
    for printer in printers:
        printer.host_cancel()
    for printer in printers:
        printer.ended(jobs[printer])
        printer.settle()


def _a_run_out_in_an_outage(
    server: Server, printers: list[OctoPrintPrinter | KlipperPrinter], camera: Camera
) -> None:
    jobs = {}
    for printer in printers:
        printer.start("out.gcode")
        jobs[printer] = int(printer.current()["id"])
    before = {printer: len(filament_events(printer)) for printer in printers}
    shown = {printer: printer.log().count("Filament") for printer in printers}
    assert server.stop() == 0
    camera.colour = OUT
    for printer in printers:
        run_out(printer)
    for printer in printers:
        wait_for(partial(has_noted, printer, shown[printer]), 30, f"{printer.name} to note it")
    threading.Event().wait(1.0)  # the snapshot follows at once
    camera.colour = (40, 40, 40)
    for printer in printers:
        printer.restart_agent("kill")
    server.start()
    for printer in printers:
        printer.wait_connected(60)
        wait_for(partial(has_more, printer, before[printer]), 40, f"the event of {printer.name}")
        events = filament_events(printer)
        assert len(events) == before[printer] + 1
        assert events[0]["print"] == jobs[printer]
        assert near(colour_of(printer, events[0]), OUT)
        assert unix(events[0]["created_at"]) < unix(printer.rest.events(printer.number)[0]["created_at"]) + 60
    for printer in printers:
        printer.host_cancel()
        printer.ended(jobs[printer])
        assert len(filament_events(printer)) == before[printer] + 1

"""An alert reaches mail and web hook with picture and link, on every kind of printer; acknowledge, mute and resume
behave as the seeds say. The pictures and the ML service are the test's; printer, agent and server are real."""

from __future__ import annotations

import contextlib
import io
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import Image

from demo.parts import Server, from_sources
from demo.processes import wait_for
from tests.e2e import rig
from tests.e2e.conftest import Fleet
from tests.fakes.receivers import HookReceiver, SmtpCatcher, hook_receiver, smtp_catcher

pytestmark = pytest.mark.timeout(240)


def _picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (640, 480), (90, 90, 120)).save(file, "JPEG")
    return file.getvalue()


PICTURE = _picture()


@dataclass
class MlService:
    """Speaks the public ML API; fetches each picture, and finds in all of them what it is told to."""

    url: str = ""
    failing: bool = False
    seen: int = 0


@contextlib.contextmanager
def ml_service() -> Iterator[MlService]:
    service = MlService()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            # Three strong findings: the pause level is above the alert level, and the printer's usual rises with both.
            boxes = [["failure", 0.9, [x, 240.0, 80.0, 80.0]] for x in (100.0, 320.0, 540.0)]
            found = boxes if service.failing else []
            body = json.dumps({"detections": found}).encode()
            service.seen += 1
            with contextlib.suppress(OSError):
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class Place:
    server: Server
    mail: SmtpCatcher
    hook: HookReceiver
    ml: MlService
    secret: str


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with smtp_catcher() as mail, hook_receiver() as hook, ml_service() as ml:
        options = [
            "--smtp-host", "127.0.0.1", "--smtp-port", str(mail.port), "--smtp-security", "none",
            "--smtp-from", "printers@example.org", "--allow-loopback-addresses", "yes",
            "--detector", "remote", "--ml-api-url", ml.url, "--detection-every", "0.05",
        ]  # fmt: skip
        server = Server(from_sources(), tmp_path_factory.mktemp("server"), more=options)
        server.start()
        try:
            server.set_up(rig.PASSWORD)
            channels = "/api/v1/notification_channels/"
            server.rest.post(channels, {"kind": "email", "name": "mail", "target": "ada@example.org"})
            made = server.rest.post(channels, {"kind": "webhook", "name": "hook", "target": hook.url})
            yield Place(server, mail, hook, ml, made["secret"])
        finally:
            server.stop()


@pytest.fixture(params=rig.KINDS)
def printer(
    request: pytest.FixtureRequest, place: Place, short_folder: Path
) -> Iterator[rig.OctoPrintPrinter | rig.KlipperPrinter]:
    if not Fleet.possible(request.param):
        pytest.skip(f"there is no {request.param} here (make envs)")
    made = rig.make_printer(request.param, place.server, short_folder / f"alerts-{request.param}")
    with rig.running(made) as found:
        yield found
        found.settle()


class Camera:
    """Posts pictures as the printer's agent does, only faster."""

    def __init__(self, place: Place, printer: rig.Printer) -> None:
        self._url = f"{place.server.url}/api/v1/octo/pic/"
        self._headers = {"Authorization": f"Token {printer.printer()['auth_token']}"}
        self._ml = place.ml

    def shoot(self) -> None:
        """One picture, and the ML service's word on it."""
        before = self._ml.seen
        answer = requests.post(self._url, files={"pic": PICTURE}, headers=self._headers, timeout=10)
        assert answer.status_code == 200, answer.text
        with contextlib.suppress(Exception):
            wait_for(lambda: self._ml.seen > before, 0.5, "the ML service")
        threading.Event().wait(0.06)  # as --detection-every has it

    def until(self, done: Any, seconds: float, what: str) -> None:
        def shot() -> Any:
            self.shoot()
            return done()

        wait_for(shot, seconds, what, every=0.0)


def test_a_failure_is_told_paused_acknowledged_resumed_muted(
    place: Place, printer: rig.OctoPrintPrinter | rig.KlipperPrinter
) -> None:
    rest, hook, mail = place.server.rest, place.hook, place.mail
    hook.calls.clear()
    mail.mails.clear()
    place.ml.failing = False
    printer.start("alerts.gcode")
    number = int(printer.current()["id"])
    printer.wait_state("Printing")
    path = f"/api/v1/printers/{printer.number}"

    def events() -> list[str]:
        return [call.json["event"] for call in list(hook.calls)]

    def job() -> dict[str, Any]:
        return dict(rest.get(f"/api/v1/prints/{number}/"))

    # What looks well is not told.
    camera = Camera(place, printer)
    before = place.ml.seen
    camera.until(lambda: place.ml.seen - before >= 40, 40, "forty good pictures")
    assert job()["alerted_at"] is None

    # What fails is told, then paused.
    place.ml.failing = True
    camera.until(lambda: job()["paused_at"], 40, "the pause for failure")
    printer.wait_state("Paused")
    assert printer.acted() == "done"
    wait_for(lambda: "paused_by_detection" in events(), 20, "the web hook")
    wait_for(lambda: len(mail.mails) >= len(set(events())), 20, "the mail")
    assert set(events()) <= {"failure_detected", "paused_by_detection"}
    call = next(call for call in hook.calls if call.json["event"] == "paused_by_detection")
    data = call.json["data"]
    assert (data["url"], data["print"]["id"]) == (f"{place.server.url}/#/prints/{number}", number)
    assert "Why:" in data["text"]
    assert requests.get(data["image_url"], timeout=10).content[:2] == b"\xff\xd8"
    assert len({call.json["id"] for call in hook.calls}) == len(hook.calls)
    letter = mail.mails[-1]
    plain = letter.get_body(("plain",))
    assert plain is not None
    assert data["url"] in plain.get_content()
    assert [part.get_content_type() for part in letter.walk() if part.get_content_maintype() == "image"] == [
        "image/jpeg"
    ]

    # Resuming says that it has not failed; nothing is told or done for a while, whatever is seen.
    assert printer.act("resume_print") == "done"
    printer.wait_state("Printing")
    found = job()
    assert (found["alert_overwrite"], found["alert_acknowledged_at"] is not None) == ("NOT_FAILED", True)
    told = len(events())
    for _ in range(10):
        camera.shoot()
    assert printer.printer()["status"]["state"]["text"] == "Printing"
    assert len(events()) == told

    # Acknowledging by hand has the last word.
    answer = rest.post(f"{path}/acknowledge_alert/?alert_overwrite=FAILED")
    assert (answer["succeeded"], job()["alert_overwrite"]) == (True, "FAILED")

    # Muted: not watched, and says so.
    answer = rest.post(f"{path}/mute_current_print/")
    assert answer["succeeded"]
    assert answer["printer"]["should_watch"] is False
    assert answer["printer"]["not_watching_reason"] == "Alerts are muted for current print"
    looked = place.ml.seen
    for _ in range(5):
        camera.shoot()
    assert place.ml.seen <= looked + 1
    assert rest.post(f"{path}/mute_current_print/?mute_alert=false")["printer"]["should_watch"] is True

    # The end of a short print is told like any other.
    place.ml.failing = False
    printer.finish()
    printer.ended(number)
    wait_for(lambda: "print_done" in events(), 20, "the word of the end")
    log = rest.get("/api/v1/notification_deliveries/?limit=100")
    wait_for(
        lambda: {one["state"] for one in rest.get("/api/v1/notification_deliveries/?limit=100")} == {"delivered"}, 20,
        "the end of every delivery",
    )
    assert {one["notice"]["kind"] for one in log} >= {"paused_by_detection", "print_done"}

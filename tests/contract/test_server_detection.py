"""The server program with a detector elsewhere that speaks the public ML API: pictures in, alert and pause out.

The pictures are judged ten times a second here (`--detection-every`), so that thirty of them take seconds.
"""

from __future__ import annotations

import io
import json
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.contract.test_server_program import PASSWORD, program
from tests.fakes.agent import FakeAgent, job_status
from tests.unit.reference_server.live_server import PATIENCE, wait_until

TS = 1_795_197_000


def _grey() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (120, 80), (90, 90, 90)).save(stream, "JPEG")
    return stream.getvalue()


PICTURE = _grey()


class MlApi(ThreadingHTTPServer):
    """`GET /p/?img=…` fetches the picture as the real one does; `confidence` is what it then sees."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.confidence, self.judged, self.status = 0.0, 0, 200
        self.pictures: list[str] = []
        self.places = ([60.0, 40.0, 20.0, 16.0], [30.0, 20.0, 10.0, 10.0])
        self.tokens: set[str | None] = set()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def has_judged(self, number: int) -> bool:
        return self.judged >= number

    @property
    def detections(self) -> list[Any]:
        return [["failure", self.confidence, place] for place in self.places] if self.confidence else []


class _Answers(BaseHTTPRequestHandler):
    server: MlApi

    def log_message(self, *_: object) -> None:
        """Silent."""

    def do_GET(self) -> None:
        image = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)["img"][0]
        with urllib.request.urlopen(image, timeout=5) as picture:
            assert picture.read().startswith(b"\xff\xd8")
        self.server.pictures.append(image)
        self.server.tokens.add(self.headers["Authorization"])
        body = json.dumps({"detections": self.server.detections}).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.server.judged += 1


@pytest.fixture
def ml_api() -> Iterator[MlApi]:
    api = MlApi()
    thread = threading.Thread(target=api.serve_forever, args=(0.05,))
    thread.start()
    yield api
    api.shutdown()
    api.server_close()
    thread.join(10)


def test_pictures_become_an_alert_and_a_pause_that_explain_themselves(
    tmp_path: Path, ml_api: MlApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("http_proxy", raising=False)
    options = ("--detector", "remote", "--ml-api-url", ml_api.url, "--detection-every", "0.05")
    with program(tmp_path, tmp_path / "log", *options) as (_, base, token), httpx.Client(
        base_url=base, timeout=PATIENCE
    ) as http:
        made = http.post("/api/v1/auth/setup/", json={"token": token, "name": "ada", "password": PASSWORD})
        http.headers["X-CSRFToken"] = made.json()["csrf_token"]
        code = http.get("/api/v1/onetimeverificationcodes/").json()["code"]
        agent = FakeAgent.link(base, code, acks=("accepted", "done")).connect()
        try:
            number = http.get("/api/v1/printers/").json()[0]["id"]

            def shown() -> dict[str, Any]:
                found: dict[str, Any] = http.get(f"/api/v1/printers/{number}/").json()
                return found

            def judge_more(most: int, until: Any) -> None:
                for _ in range(most):
                    wanted = ml_api.judged + 1
                    agent.post_picture(PICTURE)
                    wait_until(partial(ml_api.has_judged, wanted))
                    threading.Event().wait(0.06)
                    if until():
                        return

            agent.send_status(job_status(completion=40), print_ts=TS, event="PrintStarted")
            wait_until(lambda: shown()["current_print"] is not None)
            judge_more(30, lambda: False)
            assert shown()["detection"]["detector"] == "remote"
            assert shown()["normalized_p"] == 0
            ml_api.confidence = 0.9
            judge_more(40, lambda: shown()["current_print"]["paused_at"])
            command = agent.wait_for_command("pause")
            assert command["initiator"] == "system"
            assert command["args"] == {"retract": 6.5, "lift_z": 2.5, "tools_off": True}
            # An agent of ours is told why, with a picture that it can fetch.
            why = command["why"]
            assert (why["by"], why["page"]) == ("failure_detection", f"{base}/#/printers/{number}")
            assert "above the pause threshold" in why["text"]
            assert 2 / 3 < why["score"] <= 1
            assert httpx.get(why["picture"]).content.startswith(b"\xff\xd8")

            printer = shown()
            assert printer["normalized_p"] > 2 / 3
            picture = httpx.get(printer["pic"]["img_url"]).content
            assert "tagged" in printer["pic"]["img_url"]
            assert _green(picture)
            job = printer["current_print"]["id"]
            newest = http.get(f"/api/v1/prints/{job}/decisions/").json()[0]
            assert (newest["level"], newest["action"]) == ("pause", "pause")
            wait_until(lambda: http.get(f"/api/v1/prints/{job}/decisions/").json()[0]["command"] == "sent")
            assert "above the pause threshold" in newest["rule"]
            assert len(newest["frames"]) == 30
            events = http.get("/api/v1/printer_events/?filter_by_types[]=FAILURE_ALERTED").json()
            assert "above the pause threshold" in events[0]["event_text"]
            assert httpx.get(events[0]["image_url"]).content.startswith(b"\xff\xd8")
            assert len(http.get(f"/api/v1/prints/{job}/prediction_json/").json()) == ml_api.judged
        finally:
            agent.close()
        assert ml_api.tokens == {None}


def _green(picture: bytes) -> bool:
    """Whether a box was drawn."""
    pixels = Image.open(io.BytesIO(picture)).convert("RGB")
    colours = (pixels.getpixel((x, y)) for x in range(pixels.width) for y in range(pixels.height))
    return any(isinstance(c, tuple) and c[1] > 180 and c[0] < 90 and c[2] < 90 for c in colours)

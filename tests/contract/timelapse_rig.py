"""A server program, its owner, and an agent whose prints of minutes take seconds: `event.at` tells other times."""

from __future__ import annotations

import io
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx
from PIL import Image, ImageDraw

from tests.contract.test_server_crash import Program, link
from tests.unit.reference_server.live_server import PATIENCE, Socket, status, wait_until
from tests.unit.reference_server.support import PASSWORD


def drawn(number: int, size: tuple[int, int] = (640, 480), turn: int = 0) -> bytes:
    """A JPEG whose upper left corner is red, with a bar that moves; `turn`: noise, so that it takes long to encode."""
    image = Image.effect_noise(size, turn).convert("RGB") if turn else Image.new("RGB", size, (40, 44, 50))
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 0, size[0] // 4, size[1] // 4), (220, 30, 30))
    x = (number * 7) % size[0]
    pen.rectangle((x, size[1] // 2, x + 20, size[1] // 2 + 60), (240, 150, 20))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


class Rig:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._agents: list[Socket] = []
        self.token, _ = link(folder)
        self.program = Program(folder)
        self.program.start()
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.program.port}", timeout=PATIENCE)
        self.log_in()

    def log_in(self) -> None:
        found = self.http.post("/api/v1/auth/login/", json={"name": "ada", "password": PASSWORD}).json()
        self.http.headers["X-CSRFToken"] = found["csrf_token"]

    def agent(self) -> Socket:
        return Socket(
            f"ws://127.0.0.1:{self.program.port}/ws/dev/", {"authorization": f"bearer {self.token}"}
        )

    def post(self, picture: bytes) -> None:
        answer = self.http.post(
            "/api/v1/octo/pic/", files={"pic": ("pic.jpg", picture, "image/jpeg")}, data={"viewing_boost": "false"},
            headers={"Authorization": f"Token {self.token}"},
        )  # fmt: skip
        assert answer.status_code == 200, answer.text

    def print(
        self, pictures: Iterable[bytes], seconds: float = 120.0, end: str = "PrintDone",
        webcam: dict[str, Any] | None = None,
    ) -> int:  # fmt: skip
        """A whole print that ended just now; its id."""
        began = time.time() - seconds
        ts = int(began)
        agent = self.agent()
        settings = {"agent": {"name": "octoprint_obico", "version": "3.0.0"}, "webcams": [webcam] if webcam else []}

        def tell(kind: str, at: float) -> None:
            event = {"event_type": kind, "id": f"{kind}-{ts}-{at}", "at": at, "data": {"name": "cube.gcode"}}
            agent.send({"current_print_ts": ts, "event": event, "status": status(at), "settings": settings})
            agent.until(lambda frame: event["id"] in frame.get("ack", {}).get("events", []))

        tell("PrintStarted", began)
        for picture in pictures:
            self.post(picture)
        found: int = max(job["id"] for job in self.http.get("/api/v1/prints/").json())
        tell(end, time.time())
        agent.send({"current_print_ts": -1, "status": status(time.time(), "Operational")})
        self._agents.append(agent)  # closing takes a moment, in which a video may be done
        return found

    def shown(self, print_id: int) -> dict[str, Any]:
        found: dict[str, Any] = self.http.get(f"/api/v1/prints/{print_id}/").json()
        return found

    def wait(self, print_id: int, state: str, patience: float = 60.0) -> dict[str, Any]:
        """The print when its time-lapse has come to that state."""
        wait_until(lambda: self.shown(print_id)["timelapse"]["state"] == state, patience)
        return self.shown(print_id)

    def change(self, **fields: Any) -> None:
        assert self.http.patch("/api/v1/printers/1/", json=fields).status_code == 200

    def close(self) -> None:
        for agent in self._agents:
            agent.close()
        self.http.close()
        if self.program.process is not None:
            self.program.process.kill()
            self.program.process.wait(20)
            if self.program.process.stdout is not None:
                self.program.process.stdout.close()

"""Posts a camera's pictures as its printer's agent does, but twice a second.

Failure detection wants thirty pictures before it says anything, and an agent posts one in ten seconds: five minutes
that nobody wants to wait for in a demonstration. The agent's own pictures come besides.
"""

from __future__ import annotations

import contextlib
import http.client
import secrets
import threading
import urllib.error
import urllib.request

from demo.rest import Refused, Rest

EVERY = 0.5
"""Seconds."""

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Feeder:
    """Begins at once; `close` returns when the last picture is through."""

    def __init__(self, rest: Rest, printer: int, snapshot_url: str) -> None:
        self._rest, self._printer, self._snapshot_url = rest, printer, snapshot_url
        self._ended = threading.Event()
        self.posted = 0
        self._thread = threading.Thread(target=self._run, name="feeder", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ended.set()
        self._thread.join(10)

    def _run(self) -> None:
        while not self._ended.wait(EVERY):
            with contextlib.suppress(Refused, OSError, http.client.HTTPException):
                self._post()

    def _post(self) -> None:
        seen = self._rest.printer(self._printer)
        primary = next((camera for camera in seen["cameras"] if camera["is_primary_camera"]), None)
        if primary is None or not seen["current_print"]:
            return  # its agent has posted none yet: the camera's name is not known
        with _OPENER.open(self._snapshot_url, timeout=5) as answer:
            jpeg = answer.read()
        boundary = secrets.token_hex(16)
        head = ""
        for name, value in (("is_primary_camera", "true"), ("camera_name", primary["name"])):
            head += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        head += (
            f'--{boundary}\r\nContent-Disposition: form-data; name="pic"; filename="pic.jpg"\r\n'
            "Content-Type: image/jpeg\r\n\r\n"
        )
        request = urllib.request.Request(
            f"{self._rest.url}/api/v1/octo/pic/", data=head.encode() + jpeg + f"\r\n--{boundary}--\r\n".encode(),
            headers={
                "Authorization": f"Token {seen['auth_token']}",
                "Content-Type": f"multipart/form-data; boundary={boundary}",
            },
        )  # fmt: skip
        with _OPENER.open(request, timeout=10) as answer:
            answer.read()
        self.posted += 1


def fail(camera_url: str, mode: str) -> None:
    """Lets the drawn camera's print fail from now on; `none`: it is well again (demo/camera.py)."""
    request = urllib.request.Request(f"{camera_url}/fail?mode={mode}", data=b"", method="POST")
    with _OPENER.open(request, timeout=5) as answer:
        answer.read()

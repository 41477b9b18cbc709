"""One camera: a JPEG from its snapshot address, from the first frame of its stream, or from a file."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from agent_core.config import CameraConfig
from agent_core.errors import AgentError, CameraFault, ServerTrouble, TlsRefused
from agent_core.features.camera_urls import shown, without_credentials
from agent_core.features.digest import Challenge, Credentials, authorization, challenge
from agent_core.features.jpeg import inspect
from agent_core.features.mjpeg import FirstFrame, is_stream
from agent_core.ports import Http, HttpRequest, HttpResponse
from agent_core.transport.http_form import target

FETCH_SECONDS = 5.0
"""For the whole fetch, a second request for credentials included (wire-protocol.md §4)."""

MAX_BYTES = 7_000_000


class HttpCamera:
    """The Camera port for a CameraConfig. Not for two threads at once."""

    def __init__(
        self,
        config: CameraConfig,
        http: Http,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._config = config
        self._http = http
        self._monotonic = monotonic
        self._random = random
        # What the camera asked for last time, so that the next picture takes one request instead of two.
        self._challenge: Challenge | None = None
        self._count = 0

    def fetch(self) -> bytes:
        """One whole JPEG. Raises CameraFault with the reason."""
        if self._config.file is not None:
            picture = _read_file(self._config.file)
        else:
            url = self._config.snapshot_url or self._config.stream_url
            if not url:
                raise CameraFault("it has neither a snapshot nor a stream address")
            picture = self._fetch(*without_credentials(url))
        inspect(picture)
        return picture

    def _fetch(self, url: str, who: Credentials | None) -> bytes:
        end = self._monotonic() + FETCH_SECONDS
        for final in (False, True):
            first = FirstFrame()
            response = self._send(url, who, first, end - self._monotonic())
            if response.status == 401 and who is not None and not final:
                self._challenge = challenge(response.headers.get("www-authenticate", ""))
                self._count = 0
                if self._challenge is not None:
                    continue
            break
        _check(response, who)
        return first.frame(response.body) if is_stream(response.headers) else response.body

    def _send(self, url: str, who: Credentials | None, first: FirstFrame, seconds: float) -> HttpResponse:
        try:
            request = HttpRequest(
                "GET", url, timeout=seconds, limit=MAX_BYTES, verify_tls=self._config.verify_tls, until=first
            )
            if who is not None and self._challenge is not None:
                self._count += 1
                path = target(url, {}).path
                said = authorization(self._challenge, who, "GET", path, self._random(8).hex(), self._count)
                request = replace(request, headers={"Authorization": said})
            return self._http.send(request)
        except TlsRefused as error:
            raise CameraFault(f"{error} (the check can be switched off for this camera alone)") from None
        except ServerTrouble as error:
            raise CameraFault(f"{error}; is this a picture's address?") from None
        except AgentError as error:
            raise CameraFault(str(error)) from None


def _check(response: HttpResponse, who: Credentials | None) -> None:
    """Raises CameraFault unless the camera meant to give a picture."""
    status = response.status
    if status == 200:
        return
    if status == 401 and who is None:
        raise CameraFault(
            "it asks for a user name and password; write them in its address: http://user:password@host/…"
        )
    if status in {401, 403}:
        raise CameraFault(f"it refuses with {status}; check the user name and password in its address")
    if 300 <= status < 400:
        raise CameraFault(f"it sends us on to {shown(response.headers.get('location', '?'))}; enter the final address")
    if status == 404:
        raise CameraFault("it has nothing at that address (404); check the path")
    raise CameraFault(f"it answers with error {status}")


def _read_file(name: str) -> bytes:
    path = Path(name)
    try:
        if not path.is_file():
            raise CameraFault("there is no such file")
        with path.open("rb") as file:
            picture = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise CameraFault(f"its file cannot be read: {error.strerror}") from None
    if len(picture) > MAX_BYTES:
        raise CameraFault(f"its file is larger than {MAX_BYTES} bytes")
    return picture

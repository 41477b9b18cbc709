"""The websocket to Moonraker: opening it, with an API key where one is needed, and writing to it from any thread."""

from __future__ import annotations

import contextlib
import socket
import threading
from dataclasses import dataclass

import websocket

from agent_core.config import Secret
from agent_core.errors import AuthRefused, Unreachable, WrongPeer
from agent_core.ports import Http
from moonraker_obico.oneshot import oneshot_token

CONNECT_SECONDS = 2.5
"""For connecting and for the upgrade each: Moonraker is next door, and a stop has to get through within 3 s."""
SEND_SECONDS = 5.0

KEY_WANTED = (
    "Moonraker wants an API key: put `api_key: ...` into the [moonraker] section "
    "(the key stands in Mainsail or Fluidd under Settings, or `GET /access/api_key`)"
)
KEY_REFUSED = "Moonraker refuses the api_key of the [moonraker] section: copy it again from Mainsail or Fluidd"


@dataclass(frozen=True, slots=True)
class Address:
    host: str
    port: int
    api_key: Secret | None = None

    @property
    def shown(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def bracketed(self) -> str:
        """As in a URL."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else self.shown


class Lost(Exception):
    """The session is over; the text says why."""


class MoonrakerSocket:
    """One connection at a time. `hang_up` and `write` may be called from any thread."""

    def __init__(self, address: Address, http: Http) -> None:
        self._address = address
        self._http = http
        self._lock = threading.Lock()  # guards the two below, never held during I/O
        self._sock: socket.socket | None = None
        self._ws: websocket.WebSocket | None = None

    def open(self, stopping: threading.Event) -> websocket.WebSocket:
        """Raises Lost, AuthRefused, WrongPeer."""
        try:
            return self._upgrade(f"ws://{self._address.bracketed}/websocket", stopping)
        except websocket.WebSocketBadStatusException as error:
            if error.status_code not in {401, 403}:
                raise WrongPeer(
                    f"what answers at {self._address.shown} is not Moonraker (HTTP {error.status_code} for "
                    "/websocket): check host and port in the [moonraker] section"
                ) from None
            return self._open_with_token(stopping)
        except (OSError, UnicodeError, websocket.WebSocketException) as error:
            raise Lost(f"no connection to Moonraker at {self._address.shown}: {plain(error)}") from None

    def hang_up(self) -> None:
        """Wakes whoever waits for the socket, wherever."""
        with self._lock:
            sock = self._sock
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with self._lock:
            ws, self._ws, sock, self._sock = self._ws, None, self._sock, None
        with contextlib.suppress(OSError):
            if ws is not None:
                ws.shutdown()
            if sock is not None:
                sock.close()

    def write(self, frame: str) -> None:
        """Raises Unreachable."""
        with self._lock:
            ws = self._ws
        if ws is None:
            raise Unreachable("Moonraker is not reachable")
        try:
            ws.send(frame)
        except (OSError, websocket.WebSocketException) as error:
            self.hang_up()
            raise Unreachable(f"the connection to Moonraker broke: {plain(error)}") from None

    def _open_with_token(self, stopping: threading.Event) -> websocket.WebSocket:
        """The second way in, for what does not let an API key through in an upgrade's header."""
        if self._address.api_key is None:
            raise AuthRefused(KEY_WANTED)
        try:
            token = oneshot_token(self._http, self._address.host, self._address.port, self._address.api_key)
            return self._upgrade(f"ws://{self._address.bracketed}/websocket?token={token}", stopping)
        except websocket.WebSocketBadStatusException:
            raise AuthRefused(KEY_REFUSED) from None
        except (OSError, websocket.WebSocketException, Unreachable) as error:
            raise Lost(f"no connection to Moonraker at {self._address.shown}: {plain(error)}") from None

    def _upgrade(self, url: str, stopping: threading.Event) -> websocket.WebSocket:
        self.close()
        sock = socket.create_connection((self._address.host, self._address.port), timeout=CONNECT_SECONDS)
        with self._lock:
            self._sock = sock
        if stopping.is_set():
            raise Lost("the agent stops")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # UTF-8 is checked in Python by this library, character by character; the JSON decoder does it in C.
        ws = websocket.WebSocket(skip_utf8_validation=True)
        ws.settimeout(CONNECT_SECONDS)
        headers = [] if self._address.api_key is None else [f"X-Api-Key: {self._address.api_key.reveal()}"]
        try:
            # A redirect is not followed: it would be handed the API key.
            ws.connect(url, socket=sock, header=headers, suppress_origin=True, redirect_limit=0)
        except websocket.WebSocketException:
            answer = ws.handshake_response
            if answer is not None and 300 <= (answer.status or 0) < 400:
                raise self._redirects() from None
            raise
        if ws.getstatus() != 101:
            raise self._redirects()
        ws.settimeout(SEND_SECONDS)
        with self._lock:
            self._ws = ws
        return ws


    def _redirects(self) -> WrongPeer:
        return WrongPeer(
            f"what answers at {self._address.shown} redirects elsewhere: name Moonraker's own port in the [moonraker] "
            "section (7125 as a rule), without a web server in between"
        )


def plain(error: Exception) -> str:
    """The reason without class names and addresses (an address could hold a token)."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    if isinstance(error, (TimeoutError, websocket.WebSocketTimeoutException)):
        return "no answer in time"
    if isinstance(error, websocket.WebSocketConnectionClosedException):
        return "closed by the other side"
    if isinstance(error, UnicodeError):
        return "that is no host name, check its spelling in the [moonraker] section"
    return type(error).__name__ if "://" in str(error) else str(error) or type(error).__name__

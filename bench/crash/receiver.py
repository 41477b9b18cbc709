"""Who is told by web hooks: notes everything that comes, and refuses some of it."""

from __future__ import annotations

import hashlib
import hmac
import json
import random
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MOST_BODY = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Told:
    """One request. `accepted`: it was answered with 200; `signed`: the signature was right."""

    id: str
    event: str
    object_id: str
    body: bytes
    accepted: bool
    signed: bool


class Receiver:
    """`refuses`: of how many requests one is answered with 500, in the mean; 0: none."""

    def __init__(self, secret: str, refuses: int, seed: int) -> None:
        self.told: list[Told] = []
        self._secret = secret
        self._refuses = refuses
        self._chance = random.Random(seed)
        self._lock = threading.Lock()  # guards the list and the chance: requests come side by side
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,))

    def __enter__(self) -> Receiver:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def accept_all(self) -> None:
        with self._lock:
            self._refuses = 0

    def _take(self, headers: Any, body: bytes) -> bool:
        stamp = headers.get("X-Webhook-Timestamp", "")
        wanted = hmac.new(self._secret.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
        message = json.loads(body)
        ident = str(message["id"])
        signed = headers.get("X-Webhook-Signature") == f"v1={wanted}" and headers.get("X-Webhook-Id") == ident
        with self._lock:
            accepted = not (self._refuses and self._chance.randrange(self._refuses) == 0)
            self.told.append(Told(ident, str(message["event"]), object_of(message), body, accepted, signed))
        return accepted

    def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:  # noqa: N805 - the inner class has a self too
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(min(int(self.headers.get("Content-Length", "0")), MOST_BODY))
                self.send_response(200 if receiver._take(self.headers, body) else 500)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None: ...  # noqa: A002 - the base's name

        return Handler


def object_of(message: dict[str, Any]) -> str:
    """Whose event it is: `data` has the object under its kind."""
    kind = str(message["event"]).partition(".")[0]
    told = message["data"].get(kind)
    return str(told.get("id", "")) if isinstance(told, dict) else ""

"""A camera over HTTP that draws the part as far as it is printed; for the demo and the tests.

`python -m demo.camera --port 0` prints "ready http://127.0.0.1:PORT" when it listens and ends on SIGTERM.

    /snapshot, /?action=snapshot                one JPEG; any folder in front will do: /camera/snapshot
    /stream, /?action=stream                    MJPEG (multipart/x-mixed-replace)
    /bad/<mode>/snapshot, /bad/<mode>/stream    a broken camera, see `Mode`; `--mode` breaks every path
    /count                                      {"snapshot": n, "stream": n, "open_streams": n}
    POST /fail?mode=MODE                        the print fails from now on, see `scene.Failure`; none: it is well again

`--fail MODE` begins so, `--fail-at 0.3` when the print has come that far.

Needs Pillow.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import enum
import hashlib
import hmac
import json
import math
import secrets
import signal
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from PIL import Image

from demo.scene import Failure, Fault, Look, Progress, draw, to_jpeg

BOUNDARY = "boundarydonotcross"
STREAM_FPS = 5.0
USER, PASSWORD = "maker", "s3cret"  # what the modes basic and digest want
HANG_SECONDS = 120.0
PROGRESS_EVERY = 1.0  # s between two looks at the progress
MAX_PROGRESS_BYTES = 256 * 1024


class Mode(enum.Enum):
    """How the camera behaves."""

    GOOD = "good"
    LOGIN = "login"
    """200, text/html: a login page."""
    TRUNCATED = "truncated"
    """A JPEG that stops in the middle, with a Content-Length that says so."""
    CUT = "cut"
    """The connection ends before Content-Length is reached."""
    ENDLESS = "endless"
    """A JPEG's beginning, then bytes for ever, no Content-Length."""
    SLOW = "slow"
    """Takes the request and does not answer."""
    DRIP = "drip"
    """Headers at once, then a byte a second."""
    BASIC = "basic"
    DIGEST = "digest"
    BLACK = "black"
    ERROR = "500"


ProgressSource = Callable[[], Progress]


def progress_of(document: object) -> Progress:
    """Read Moonraker's objects/query, OctoPrint's api/job, or `{"progress": 0.4}`; anything else is no progress."""
    match document:
        case {"result": {"status": {"display_status": {"progress": fraction}, "print_stats": {"state": state}}}}:
            return Progress(_fraction(fraction), str(state))
        case {"result": {"status": {"virtual_sdcard": {"progress": fraction}}}}:
            return Progress(_fraction(fraction))
        case {"progress": {"completion": int() | float() as percent}, "state": state}:
            return Progress(_fraction(percent / 100.0), str(state))
        case {"progress": fraction}:
            return Progress(_fraction(fraction))
    return Progress()


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _fraction(value: Any) -> float:
    return min(1.0, max(0.0, float(value))) if _number(value) else 0.0


def progress_from_file(path: Path) -> ProgressSource:
    """A file that holds a number from 0 to 1."""

    def read() -> Progress:
        try:
            return Progress(_fraction(float(path.read_text(encoding="utf-8"))))
        except (OSError, ValueError):
            return Progress()

    return read


def progress_from_url(url: str, headers: dict[str, str]) -> ProgressSource:
    """A JSON document, fetched when a picture is asked for."""

    def read() -> Progress:
        request = urllib.request.Request(url, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=1.0) as answer:
                return progress_of(json.loads(answer.read(MAX_PROGRESS_BYTES)))
        except (urllib.error.URLError, OSError, ValueError):
            return Progress(0.0, "no answer")

    return read


def digest_response(fields: dict[str, str], method: str, password: str) -> str:
    """The `response` of RFC 7616 with MD5 and qop=auth."""

    def md5(text: str) -> str:
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

    user = md5(f"{fields.get('username')}:{fields.get('realm')}:{password}")
    request = md5(f"{method}:{fields.get('uri')}")
    middle = f"{fields.get('nonce')}:{fields.get('nc')}:{fields.get('cnonce')}:{fields.get('qop')}"
    return md5(f"{user}:{middle}:{request}")


class Camera:
    """The camera as an object: `start`, `stop`, `url`. `mode` and `progress` may be changed while it runs, and `fail`
    makes the print fail."""

    def __init__(
        self,
        port: int = 0,
        host: str = "127.0.0.1",
        *,
        mode: Mode = Mode.GOOD,
        size: tuple[int, int] = (640, 480),
        title: str = "demo camera",
        progress: ProgressSource = Progress,
        fail: Failure | None = None,
        fail_at: float = 0.0,
    ) -> None:
        self.mode = mode
        self.size = size
        self.title = title
        self.progress = progress
        self.nonce = secrets.token_hex(8)
        self.stopping = threading.Event()
        self.counts = {"snapshot": 0, "stream": 0, "open_streams": 0}
        self._failure = fail
        self._fail_at = fail_at
        self._failing: tuple[float, float] | None = None  # since which fraction, and which Unix time
        self._frozen: bytes | None = None
        self._lock = threading.Lock()  # guards counts, the cached progress and the failure
        self._seen = Progress()
        self._seen_at = -PROGRESS_EVERY
        self._server = _Server((host, port), self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="camera", daemon=True)

    @property
    def url(self) -> str:
        """Without a slash at the end."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def start(self) -> Camera:
        self._thread.start()
        return self

    def stop(self) -> None:
        """Returns when the socket is closed; hanging answers end with it."""
        self.stopping.set()
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join(5.0)
        self._server.server_close()

    def count(self, what: str, step: int = 1) -> None:
        with self._lock:
            self.counts[what] += step

    def picture(self, mode: Mode) -> bytes:
        """One JPEG; for the modes that spoil it, spoilt."""
        if mode is Mode.BLACK:
            return to_jpeg(Image.new("RGB", self.size))
        progress, now = self._progress(), time.time()
        fault = self._fault(progress, now)
        if fault is not None and fault.failure is Failure.FROZEN:
            with self._lock:
                self._frozen = self._frozen or draw(progress, self.size, self.title, now)
                return self._frozen
        jpeg = draw(progress, self.size, self.title, now, Look(), fault)
        return jpeg[: len(jpeg) // 2] if mode is Mode.TRUNCATED else jpeg

    def fail(self, failure: Failure | None, at: float = 0.0) -> None:
        """The print fails from now on, or when it has come as far as `at`; None: it is well again."""
        with self._lock:
            self._failure, self._fail_at = failure, at
            self._failing = self._frozen = None

    def _fault(self, progress: Progress, now: float) -> Fault | None:
        with self._lock:
            if self._failure is None:
                return None
            if self._failing is not None and progress.fraction < self._failing[0]:
                self._failing = self._frozen = None  # another print has begun
            if self._failing is None:
                if progress.fraction < self._fail_at:
                    return None
                self._failing = (progress.fraction, now)
            since, begun = self._failing
            return Fault(self._failure, since, now - begun)

    def _progress(self) -> Progress:
        with self._lock:
            now = time.monotonic()
            if now - self._seen_at >= PROGRESS_EVERY:
                self._seen_at = now
                self._seen = self.progress()
            return self._seen


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], camera: Camera) -> None:
        self.camera = camera
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it
        """Silent."""

    def do_GET(self) -> None:
        camera = self.server.camera
        parts = urllib.parse.urlsplit(self.path)
        mode = camera.mode
        segments = [s for s in parts.path.split("/") if s]
        if segments[:1] == ["bad"] and len(segments) > 1:
            try:
                mode = Mode(segments[1])
            except ValueError:
                self.send_error(404, f"No such mode; known are {', '.join(m.value for m in Mode)}")
                return
        action = urllib.parse.parse_qs(parts.query).get("action", [segments[-1] if segments else ""])[0]
        if action == "count":
            self._send(200, "application/json", json.dumps(camera.counts).encode())
        elif action not in ("snapshot", "stream"):
            self.send_error(404, "Try /snapshot or /stream")
        elif self._allowed(mode):
            camera.count(action)
            self._answer(mode, action)

    def do_POST(self) -> None:
        parts = urllib.parse.urlsplit(self.path)
        word = urllib.parse.parse_qs(parts.query).get("mode", [""])[0]
        known = {"none": None, **{failure.value: failure for failure in Failure}}
        if parts.path != "/fail":
            self.send_error(404, "Try /fail?mode=spaghetti")
        elif word not in known:
            self.send_error(400, f"No such failure; known are {', '.join(known)}")
        else:
            self.server.camera.fail(known[word])
            self._send(200, "application/json", json.dumps({"fail": word}).encode())

    def _allowed(self, mode: Mode) -> bool:
        given = self.headers.get("Authorization", "")
        if mode is Mode.BASIC:
            wanted = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
            challenge = 'Basic realm="camera"'
            allowed = hmac.compare_digest(given, wanted)
        elif mode is Mode.DIGEST:
            challenge = f'Digest realm="camera", qop="auth", algorithm=MD5, nonce="{self.server.camera.nonce}"'
            allowed = self._digest_ok(given)
        else:
            return True
        if not allowed:
            self._send(401, "text/plain", b"Log in first\n", {"WWW-Authenticate": challenge})
        return allowed

    def _digest_ok(self, given: str) -> bool:
        scheme, _, rest = given.partition(" ")
        if scheme.lower() != "digest":
            return False
        fields = urllib.request.parse_keqv_list(urllib.request.parse_http_list(rest))
        return (
            fields.get("username") == USER
            and fields.get("nonce") == self.server.camera.nonce
            and fields.get("uri") == self.path
            and hmac.compare_digest(fields.get("response", ""), digest_response(fields, "GET", PASSWORD))
        )

    def _answer(self, mode: Mode, action: str) -> None:
        camera = self.server.camera
        if mode is Mode.SLOW:
            camera.stopping.wait(HANG_SECONDS)
            self.close_connection = True
        elif mode is Mode.LOGIN:
            page = b"<!doctype html><title>Log in</title><form method=post><input name=user></form>\n"
            self._send(200, "text/html; charset=utf-8", page)
        elif mode is Mode.ERROR:
            self._send(500, "text/plain", b"The camera is broken\n")
        elif mode in (Mode.ENDLESS, Mode.DRIP, Mode.CUT):
            self._spoilt(mode)
        elif action == "stream":
            self._stream(mode)
        else:
            self._send(200, "image/jpeg", camera.picture(mode), {"Cache-Control": "no-store"})

    def _send(self, status: int, kind: str, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _spoilt(self, mode: Mode) -> None:
        """Answers whose end does not come, or comes too early."""
        camera = self.server.camera
        jpeg = camera.picture(Mode.GOOD)
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "image/jpeg")
        if mode is not Mode.ENDLESS:
            self.send_header("Content-Length", str(len(jpeg)))
        self.send_header("Connection", "close")
        self.end_headers()
        if mode is Mode.CUT:
            self.wfile.write(jpeg[: len(jpeg) // 2])
        elif mode is Mode.DRIP:
            for byte in jpeg:
                self.wfile.write(bytes([byte]))
                if camera.stopping.wait(1.0):
                    return
        else:
            self.wfile.write(jpeg[:200])
            while not camera.stopping.wait(0.01):
                self.wfile.write(b"\x55" * 65536)

    def _stream(self, mode: Mode) -> None:
        camera = self.server.camera
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={BOUNDARY}")
        self.send_header("Connection", "close")
        self.end_headers()
        camera.count("open_streams")
        try:
            while True:
                jpeg = camera.picture(mode)
                head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                self.wfile.write(head.encode() + jpeg + b"\r\n")
                if camera.stopping.wait(1.0 / STREAM_FPS):
                    return
        finally:
            camera.count("open_streams", -1)


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    size = (int(width), int(height))
    if not all(16 <= side <= 8000 for side in size):
        raise argparse.ArgumentTypeError("a side is 16 to 8000 pixels")
    return size


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m demo.camera", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    add("--port", type=int, default=0, help="port to listen on (default 0: any free one, see the ready line)")
    add("--mode", type=Mode, choices=list(Mode), default=Mode.GOOD, metavar="MODE",
        help=f"how every path behaves: {', '.join(m.value for m in Mode)} (default good)")  # fmt: skip
    add("--fail", type=Failure, choices=list(Failure), metavar="MODE",
        help=f"make the print fail: {', '.join(f.value for f in Failure)}; also POST /fail?mode=MODE")  # fmt: skip
    add("--fail-at", type=float, default=0.0, metavar="FRACTION", help="how far the print is then, 0 to 1 (default 0)")
    add("--size", type=_size, default=(640, 480), help="pixels, default 640x480")
    add("--title", default="demo camera", help="written into the picture")
    add("--progress-url", help="JSON with the progress: Moonraker's /printer/objects/query?display_status&print_stats, "
        "OctoPrint's /api/job, or {\"progress\": 0.4}")  # fmt: skip
    add("--progress-header", action="append", default=[], metavar="NAME: VALUE", help="sent with --progress-url")
    add("--progress-file", type=Path, help="file with a number from 0 to 1")
    args = parser.parse_args(argv)
    progress: ProgressSource = Progress
    if args.progress_url:
        headers = {name.strip(): value.strip() for name, _, value in (h.partition(":") for h in args.progress_header)}
        progress = progress_from_url(args.progress_url, headers)
    elif args.progress_file:
        progress = progress_from_file(args.progress_file)
    try:
        camera = Camera(
            args.port, args.host, mode=args.mode, size=args.size, title=args.title, progress=progress,
            fail=args.fail, fail_at=args.fail_at,
        )  # fmt: skip
    except OSError as error:
        print(f"Cannot listen on {args.host}:{args.port}: {error.strerror or error}", file=sys.stderr)
        return 1
    ended = threading.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda _signum, _frame: ended.set())
    camera.start()
    print(f"ready {camera.url}", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        ended.wait()
    camera.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""One tunnelled request, from the server's frames to the printer's web interface and back (wire-protocol.md §3.5).

`run` blocks and belongs to a thread of the tunnel's crew; `take` and `cut` are called by the core thread and return at
once. At no time does an exchange hold more than a window of either body.
"""

from __future__ import annotations

import http.client
import logging
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

from agent_core.config import TunnelTarget
from agent_core.errors import AgentError, Rejected
from agent_core.features import tunnel_rules as rules
from agent_core.features.tunnel_uplink import LinkLost, Uplink
from agent_core.transport.http_form import Target
from agent_core.transport.http_line import Deadline, Line, failure
from agent_core.wire.bson import WireError
from agent_core.wire.messages import TunnelRequest, TunnelResponse
from agent_core.wire.tunnel import (
    PIECE,
    WINDOW,
    Headers,
    ReceiveWindow,
    SendWindow,
    TunnelFrame,
    TunnelKind,
    header,
    joined,
)

_log = logging.getLogger(__name__)

CONNECT_SECONDS = 10.0
LOCAL_SECONDS = 30.0
"""Until the web interface begins to answer, and for the whole of an answer that goes back in one piece."""

QUIET_SECONDS = 120.0
"""Silence in the middle of a body, from either side: event streams send a sign of life more often."""

MOST_WHOLE = 8 * 1024 * 1024
"""Bytes of an answer that has to go back in one piece: such a frame keeps everything else waiting while it is sent, and
a link that is busy for too long counts as dead."""

COMPRESS_FROM = 1000
"""Bytes from which such an answer is compressed (§3.5)."""


class Sink(Protocol):
    """Where the answer goes. `head` and `data` may wait; each may raise LinkLost."""

    def head(self, status: int, headers: Headers, *, body: bool) -> None: ...

    def data(self, piece: bytes) -> None: ...

    def end(self) -> None: ...

    def fail(self, status: int, text: str) -> None:
        """The web interface did not do it; before or after `head`."""
        ...


class Ask:
    """What is asked for, already made safe. Raises Rejected."""

    def __init__(self, method: str, path: str, headers: Headers, target: TunnelTarget, *, streams: bool) -> None:
        self.method = rules.method(method)
        self.path = rules.path(path)
        accepted = rules.encodings(headers) if streams else "identity"
        self.headers = rules.request_headers(headers, target, encodings=accepted)


class _Patience(Deadline):
    """So many seconds for each step, not for all of them together."""

    def __init__(self, seconds: float, monotonic: Callable[[], float]) -> None:
        super().__init__(seconds, monotonic)
        self._seconds = seconds

    def left(self) -> float:
        return self._seconds


class Exchange:
    """The local half: asks the web interface and hands its answer to a sink."""

    def __init__(self, target: TunnelTarget, sink: Sink, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._target = target
        self._sink = sink
        self._monotonic = monotonic
        scheme = "https" if target.tls else "http"
        # The certificate of a printer at home is its own: there is nobody to vouch for it.
        self._line = Line(Target(scheme, target.host, target.port, "/"), None, verify_tls=False)

    def cut(self) -> None:
        """From any thread: ends whatever `run` waits for at the web interface."""
        self._line.cut()

    def run(self, ask: Ask, body: Iterator[bytes], length: int | None, *, whole: bool) -> None:
        """`length` of the body, None if only its end will tell. Raises LinkLost."""
        try:
            self._ask(ask, body, length, whole=whole)
        except TimeoutError:
            self._fail("did not answer in time")
        except AgentError as error:
            self._fail(str(error))
        except (OSError, http.client.HTTPException) as error:
            self._fail(failure(error))
        finally:
            self._line.close()

    def _fail(self, why: str) -> None:
        self._sink.fail(502, f"The printer's web interface at {self._target.authority}: {why}")

    def _ask(self, ask: Ask, body: Iterator[bytes], length: int | None, *, whole: bool) -> None:
        self._line.open(Deadline(CONNECT_SECONDS, self._monotonic))
        step = _Patience(LOCAL_SECONDS, self._monotonic)
        refused: ConnectionError | None = None
        try:
            self._line.send([_head(ask, length)], step)
            sent = 0
            for piece in body:
                sent += len(piece)
                if length is not None and sent > length:
                    raise Rejected("more came than the request had announced")  # it would be read as another request
                self._line.send([piece] if length is not None else [b"%x\r\n" % len(piece), piece, b"\r\n"], step)
            if length is None:
                self._line.send([b"0\r\n\r\n"], step)
        except ConnectionError as error:
            refused = error  # a web interface that takes no such body says so and closes; its word is worth more
        quiet = Deadline(LOCAL_SECONDS, self._monotonic) if whole else _Slowly(self._monotonic)
        try:
            answer = self._line.answer(ask.method, quiet)
        except ConnectionError as error:
            raise refused or error from None
        self._hand_back(answer, quiet)

    def _hand_back(self, answer: http.client.HTTPResponse, quiet: Deadline) -> None:
        bare = answer.length == 0
        headers = rules.response_headers(answer.getheaders(), self._target, keep_length=True)
        if isinstance(quiet, _Slowly):
            quiet.begun = True
        self._sink.head(answer.status, headers, body=not bare)
        while not bare and (piece := answer.read1(PIECE)):
            self._sink.data(piece)
        if self._line.is_cut:
            raise LinkLost
        if answer.length:
            raise http.client.IncompleteRead(b"", answer.length)
        self._sink.end()


class _Slowly(_Patience):
    """Little patience for the beginning of an answer, more for what comes of it."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        super().__init__(LOCAL_SECONDS, monotonic)
        self.begun = False

    def left(self) -> float:
        return QUIET_SECONDS if self.begun else LOCAL_SECONDS


def _head(ask: Ask, length: int | None) -> bytes:
    lines = [f"{ask.method} {ask.path} HTTP/1.1", *(f"{name}: {value}" for name, value in ask.headers)]
    if length is None:
        lines.append("Transfer-Encoding: chunked")
    elif length or ask.method in {"POST", "PUT", "PATCH"}:
        lines.append(f"Content-Length: {length}")
    return ("\r\n".join([*lines, "Connection: close"]) + "\r\n\r\n").encode("latin-1", "replace")


# --- in one piece, as the public protocol has it --------------------------------------------------------------------


class Budget:
    """Bytes that all answers in one piece may hold together. Thread-safe."""

    def __init__(self, size: int = 2 * MOST_WHOLE) -> None:
        self._left = size
        self._lock = threading.Lock()  # guards _left

    def take(self, count: int) -> bool:
        with self._lock:
            if count > self._left:
                return False
            self._left -= count
            return True

    def give_back(self, count: int) -> None:
        with self._lock:
            self._left += count


class WholeExchange:
    """`http.tunnelv2`: the whole request came in one frame, and the whole answer goes back in one."""

    def __init__(self, request: TunnelRequest, target: TunnelTarget, uplink: Uplink, budget: Budget) -> None:
        """Raises Rejected."""
        self._request, self._uplink, self._budget = request, uplink, budget
        self._ask = Ask(request.method, request.path, tuple(request.headers.items()), target, streams=False)
        self._status = 502
        self._headers: Headers = ()
        self._body = bytearray()
        self._told = False
        self._exchange = Exchange(target, self)

    def cut(self) -> None:
        self._exchange.cut()

    def run(self) -> None:
        data = self._request.data
        try:
            self._exchange.run(self._ask, iter([data] if data else []), len(data), whole=True)
        except LinkLost:
            return
        finally:
            self._budget.give_back(len(self._body))

    def head(self, status: int, headers: Headers, *, body: bool) -> None:  # noqa: ARG002
        self._status, self._headers = status, headers

    def data(self, piece: bytes) -> None:
        if len(self._body) + len(piece) > MOST_WHOLE:
            raise Rejected(f"the answer is over {MOST_WHOLE // 2**20} MiB, too large for this server's tunnel")
        if not self._budget.take(len(piece)):
            raise Rejected("too many large answers are on their way at once; try again")
        self._body += piece

    def end(self) -> None:
        content = bytes(self._body)
        compressed = len(content) >= COMPRESS_FROM
        cookies = tuple(value for name, value in self._headers if name.lower() == "set-cookie")
        headers = {
            name: value for name, value in joined(self._headers).items()
            if name.lower() != "content-length" or self._ask.method == "HEAD"
        }  # fmt: skip
        self._tell(
            TunnelResponse(
                self._request.ref, self._status, headers, zlib.compress(content) if compressed else content,
                compressed, cookies or None,
            )
        )  # fmt: skip

    def fail(self, status: int, text: str) -> None:
        if not self._told:
            self._tell(TunnelResponse(self._request.ref, status, {}, text.encode()))

    def _tell(self, response: TunnelResponse) -> None:
        self._told = True
        try:
            self._uplink.send(response)
        except WireError as error:
            _log.warning("an answer did not fit into the tunnel: %s", error)
            self._uplink.send(TunnelResponse(self._request.ref, 502, {}, b"The answer is too large for the tunnel."))


# --- in pieces, between ours ----------------------------------------------------------------------------------------


class StreamExchange:
    """`tunnel_stream`: bodies in pieces, as fast as the slower reader takes them (docs/protocol-extensions.md)."""

    def __init__(self, request: TunnelFrame, target: TunnelTarget, uplink: Uplink) -> None:
        """Raises Rejected."""
        self.ref = request.ref
        self._uplink = uplink
        self._ask = Ask(request.method, request.path, request.headers, target, streams=True)
        self._has_body = request.body
        self._length = _length(request)
        # Guards the windows and what came of the request's body; never held during I/O.
        self._changed = threading.Condition()
        self._window = SendWindow(request.credit)
        self._room = ReceiveWindow()
        self._body: deque[bytes] = deque()  # ≤ WINDOW bytes: the other end may send no more
        self._body_ended = not request.body
        self._over = False
        self._gone = False
        self._begun = False
        self._exchange = Exchange(target, self)

    # --- core thread ---

    def take(self, frame: TunnelFrame) -> None:
        """Raises WireError."""
        with self._changed:
            if frame.kind is TunnelKind.CREDIT:
                self._window.grant(frame.credit)
            elif frame.kind is TunnelKind.DATA and not self._over:
                self._room.arrived(len(frame.data))
                self._body.append(frame.data)
            elif frame.kind is TunnelKind.END:
                self._body_ended = True
            self._changed.notify_all()

    def cut(self) -> None:
        """The other end has given up, or the link is lost."""
        with self._changed:
            self._gone = True
            self._changed.notify_all()
        self._exchange.cut()

    # --- the crew's thread ---

    def run(self) -> None:
        if self._has_body:
            try:
                self._uplink.send(TunnelFrame(TunnelKind.CREDIT, self.ref, credit=WINDOW))
            except LinkLost:
                return
        try:
            self._exchange.run(self._ask, self._pieces(), self._length, whole=False)
        except LinkLost:
            return
        finally:
            with self._changed:
                self._over = True
                self._body.clear()

    def _pieces(self) -> Iterator[bytes]:
        while (piece := self._next_piece()) is not None:
            yield piece
            with self._changed:
                credit = self._room.consumed(len(piece))
            if credit:
                self._uplink.send(TunnelFrame(TunnelKind.CREDIT, self.ref, credit=credit))

    def _next_piece(self) -> bytes | None:
        with self._changed:
            if not self._changed.wait_for(lambda: self._body or self._body_ended or self._gone, QUIET_SECONDS):
                raise Rejected("the rest of the request did not come")
            if self._gone:
                raise LinkLost
            return self._body.popleft() if self._body else None

    def head(self, status: int, headers: Headers, *, body: bool) -> None:
        self._begun = True
        self._uplink.send(TunnelFrame(TunnelKind.RESPONSE, self.ref, status=status, headers=headers, body=body))

    def data(self, piece: bytes) -> None:
        while piece:
            with self._changed:
                if not self._changed.wait_for(lambda: self._window.left or self._gone, QUIET_SECONDS):
                    raise Rejected("nobody takes the answer any more")
                if self._gone:
                    raise LinkLost
                count = self._window.spend(len(piece))
            self._uplink.send(TunnelFrame(TunnelKind.DATA, self.ref, data=piece[:count]))
            piece = piece[count:]

    def end(self) -> None:
        self._uplink.send(TunnelFrame(TunnelKind.END, self.ref))

    def fail(self, status: int, text: str) -> None:
        if self._gone:
            raise LinkLost
        if self._begun:
            self._uplink.send(TunnelFrame(TunnelKind.ABORT, self.ref, reason=text))
        else:
            self._uplink.send(refusal(self.ref, status, text))


def refusal(ref: str, status: int, text: str) -> TunnelFrame:
    """A short answer of our own."""
    headers = (("Content-Type", "text/plain; charset=utf-8"),)
    return TunnelFrame(TunnelKind.RESPONSE, ref, status=status, headers=headers, data=text.encode())


def _length(request: TunnelFrame) -> int | None:
    if not request.body:
        return 0
    said = header(request.headers, "content-length") or ""
    return int(said) if said.isascii() and said.isdigit() and len(said) < 16 else None

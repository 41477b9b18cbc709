"""Tunnel frames with flow control, our extension `tunnel_stream` (docs/protocol-extensions.md): BSON documents
`{"tunnel": {"type", "ref", …}}`, both directions. Sans I/O; shared by agent and server.

One `ref` is one exchange: a request with its answer, or a WebSocket. Whoever receives a body says how many bytes it has
room for (credit), and nobody sends more than that; so what waits in memory is bounded on both ends, however slow either
reader is. Opening, ending and giving up need no credit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from agent_core.wire import read
from agent_core.wire.bson import WireError
from agent_core.wire.read import Json

PIECE = 32 * 1024
"""Bytes of a body in one frame at most: a command never waits behind more than a few of these."""

WINDOW = 128 * 1024
"""Bytes of one exchange and direction that may be on their way or wait for their reader."""

MOST_EXCHANGES = 32
"""Exchanges of one printer at once (WebSockets not counted)."""

MOST_SOCKETS = 8
"""WebSockets of one printer at once; a page needs one."""

MOST_MESSAGE = 4 * 1024 * 1024
"""Bytes of one WebSocket message; a printer's file list has some hundred kB."""

MOST_HEADERS = 200
_MOST_HEADER_BYTES = 64 * 1024
_MOST_REF = 64


class TunnelKind(str, Enum):
    """server → agent: REQUEST, OPEN; agent → server: HELLO, RESPONSE, OPENED; both: the rest."""

    HELLO = "hello"
    REQUEST = "request"
    RESPONSE = "response"
    DATA = "data"
    END = "end"
    OPEN = "open"
    OPENED = "opened"
    MESSAGE = "message"
    CLOSE = "close"
    CREDIT = "credit"
    ABORT = "abort"


_PLAIN_FIELDS = (
    "method", "path", "status", "body", "data", "text", "more", "credit", "code", "reason", "protocol",
)  # fmt: skip

Headers = tuple[tuple[str, str], ...]
"""In order; a name may come twice (Set-Cookie)."""


@dataclass(frozen=True, slots=True)
class TunnelFrame:
    """One frame; what a kind does not use keeps its default.

    `credit`: bytes that the receiver of this frame may send (REQUEST, OPEN, OPENED) or may send in addition (CREDIT).
    `body`: whether DATA follows (REQUEST, RESPONSE). `data` of a RESPONSE without `body`: a short body. `text`: a
    MESSAGE is a text; `more`: it goes on in the next one. `code`, `reason`: of CLOSE; `reason` of ABORT too, for a
    person. `protocol`: the WebSocket subprotocol chosen.
    """

    kind: TunnelKind
    ref: str = ""
    method: str = ""
    path: str = ""
    headers: Headers = ()
    status: int = 0
    body: bool = False
    data: bytes = b""
    text: bool = False
    more: bool = False
    credit: int = 0
    code: int = 0
    reason: str = ""
    protocol: str = ""

    def to_wire(self) -> dict[str, Any]:
        wire: dict[str, Any] = {"type": self.kind.value, "ref": self.ref}
        for name in _PLAIN_FIELDS:
            if value := getattr(self, name):
                wire[name] = value
        if self.headers:
            wire["headers"] = [list(pair) for pair in self.headers]
        return {"tunnel": wire}

    @classmethod
    def from_wire(cls, wire: Json) -> TunnelFrame | None:
        """None for a kind that we do not know. Raises WireError for a frame that breaks its bounds."""
        kind = next((kind for kind in TunnelKind if kind.value == wire.get("type")), None)
        ref = read.text(wire.get("ref")) or ""
        if kind is None or len(ref) > _MOST_REF or (not ref and kind is not TunnelKind.HELLO):
            return None
        data = wire.get("data")

        def whole(name: str) -> int:
            return max(0, min(read.integer(wire.get(name)) or 0, 2**31 - 1))

        def words(name: str) -> str:
            return read.text(wire.get(name)) or ""

        frame = cls(
            kind, ref, method=words("method"), path=words("path"), headers=_headers(wire.get("headers")),
            status=whole("status"), body=wire.get("body") is True, data=data if isinstance(data, bytes) else b"",
            text=wire.get("text") is True, more=wire.get("more") is True, credit=whole("credit"), code=whole("code"),
            reason=words("reason")[:500], protocol=words("protocol")[:200],
        )  # fmt: skip
        if len(frame.data) > PIECE:
            raise WireError(f"a piece of {len(frame.data)} bytes, at most {PIECE} go into one frame")
        return frame


def _headers(value: object) -> Headers:
    pairs = tuple(
        (pair[0], pair[1])
        for pair in read.items(value)
        if isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str) and isinstance(pair[1], str)
    )
    if len(pairs) > MOST_HEADERS or sum(len(name) + len(text) for name, text in pairs) > _MOST_HEADER_BYTES:
        raise WireError("too many headers")
    return pairs


class SendWindow:
    """What may still be sent; the other end grants it."""

    __slots__ = ("left",)

    def __init__(self, credit: int = 0) -> None:
        self.left = credit

    def grant(self, credit: int) -> None:
        self.left += credit

    def spend(self, wanted: int) -> int:
        """How many of `wanted` bytes may go into the next frame (0: wait for a grant); they count as sent."""
        granted = min(wanted, self.left, PIECE)
        self.left -= granted
        return granted


class ReceiveWindow:
    """What the other end may still send; room is given back in large steps, not byte by byte."""

    __slots__ = ("_free", "_open", "size")

    def __init__(self, size: int = WINDOW) -> None:
        self.size = size
        self._open = size
        self._free = 0

    def arrived(self, count: int) -> None:
        """Raises WireError if that was more than it had been granted."""
        if count > self._open:
            raise WireError("more came through the tunnel than there was room for")
        self._open -= count

    def consumed(self, count: int) -> int:
        """The credit to grant now, 0 if it is not worth a frame yet."""
        self._free += count
        if self._free * 2 < self.size:
            return 0
        granted, self._free = self._free, 0
        self._open += granted
        return granted


def message_pieces(data: bytes) -> Iterator[tuple[bytes, bool]]:
    """A WebSocket message as pieces, each with whether more follow; an empty one is one empty piece."""
    for begin in range(0, max(1, len(data)), PIECE):
        yield data[begin : begin + PIECE], begin + PIECE < len(data)


class MessageBuilder:
    """Pieces back to messages. Raises WireError for one over MOST_MESSAGE."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, frame: TunnelFrame) -> str | bytes | None:
        """The message, if this was its last piece."""
        self._size += len(frame.data)
        if self._size > MOST_MESSAGE:
            raise WireError(f"a message over {MOST_MESSAGE} bytes")
        self._parts.append(frame.data)
        if frame.more:
            return None
        whole, self._parts, self._size = b"".join(self._parts), [], 0
        return whole.decode("utf-8", "replace") if frame.text else whole


# --- rules for headers that hold on both ends --------------------------------------------------------------------

HOP_BY_HOP = frozenset({
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade",
})  # fmt: skip
"""RFC 9110 §7.6.1: of one connection, never handed on."""


def end_to_end(headers: Sequence[tuple[str, str]], without: frozenset[str] = frozenset()) -> Headers:
    """The headers that may be handed on: none of this connection, none that `Connection` names, none of `without`
    (lower case), and none that could begin a line of its own."""
    named = {
        word.strip().lower() for name, value in headers if name.lower() == "connection" for word in value.split(",")
    }
    dropped = HOP_BY_HOP | without | named
    return tuple((name, value) for name, value in headers if name.lower() not in dropped and _is_header(name, value))


def _is_header(name: str, value: str) -> bool:
    token = name.isascii() and bool(name) and all(char.isalnum() or char in "!#$%&'*+-.^_`|~" for char in name)
    return token and all(char >= " " or char == "\t" for char in value) and "\x7f" not in value


def header(headers: Sequence[tuple[str, str]], wanted: str) -> str | None:
    """The first of that name (lower case)."""
    return next((value for name, value in headers if name.lower() == wanted), None)


def joined(headers: Sequence[tuple[str, str]]) -> Mapping[str, str]:
    """As the public protocol has them: one value a name, Set-Cookie apart (wire-protocol.md §3.5)."""
    found: dict[str, str] = {}
    for name, value in headers:
        if name.lower() != "set-cookie":
            found[name] = f"{found[name]}, {value}" if name in found else value
    return found

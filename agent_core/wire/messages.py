"""Every message between an agent and a server, one dataclass each (wire-protocol.md §3, extensions.md).

`from_wire` never fails on unknown keys or values; codec.py decides which message a frame is. A vocabulary is an
enum; a word that we do not know is kept as text beside it, so that nothing is lost on the way through.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from agent_core.wire import read
from agent_core.wire.read import Json
from agent_core.wire.settings import AgentInfo, Settings, Webcam
from agent_core.wire.status import Status
from agent_core.wire.tunnel import TunnelFrame

__all__ = ["AgentInfo", "Settings", "Status", "TunnelFrame", "Webcam"]

NOT_PRINTING = -1
"""`current_print_ts` of an agent that knows for certain that nothing prints."""

CLOSE_DUPLICATE = 4321
"""Close code of a server that has a newer connection with the same token: do not reconnect."""


class EventType(str, Enum):
    """Print events with an effect on the server (§3.3)."""

    STARTED = "PrintStarted"
    PAUSED = "PrintPaused"
    RESUMED = "PrintResumed"
    CANCELLING = "PrintCancelling"
    CANCELLED = "PrintCancelled"
    FAILED = "PrintFailed"
    DONE = "PrintDone"
    FILAMENT_CHANGE = "FilamentChange"


class CommandName(str, Enum):
    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"


class AckState(str, Enum):
    """What became of a command: first accepted or rejected, later done or failed (extensions.md)."""

    ACCEPTED = "accepted"
    DONE = "done"
    FAILED = "failed"
    REJECTED = "rejected"

    @property
    def final(self) -> bool:
        return self is not AckState.ACCEPTED


class Capability(str, Enum):
    EVENT_ACK = "event_ack"
    COMMAND_ACK = "command_ack"
    COMMAND_WHY = "command_why"
    TUNNEL_STREAM = "tunnel_stream"
    JOB_ORDER = "job_order"


def _known(enum: type[Enum], value: object) -> Any:
    return next((member for member in enum if member.value == value), None)


# --- agent -> server -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PrintEvent:
    """A print event inside a status message. `id` (UUID) and `at` (Unix seconds) are our extension."""

    name: str
    data: Json = field(default_factory=dict)
    id: str | None = None
    at: float | None = None

    @property
    def type(self) -> EventType | None:
        """The event, or None for a word without effect (`PrinterStateChanged`, …)."""
        found: EventType | None = _known(EventType, self.name)
        return found

    @property
    def filename(self) -> str | None:
        return read.text(self.data.get("name"))

    def to_wire(self) -> dict[str, Any]:
        wire: dict[str, Any] = {"event_type": self.name, "data": dict(self.data)}
        if self.id is not None:
            wire["id"] = self.id
        if self.at is not None:
            wire["at"] = round(self.at, 3)
        return wire

    @classmethod
    def from_wire(cls, wire: Json) -> PrintEvent | None:
        name = read.text(wire.get("event_type"))
        if not name:
            return None
        data = read.mapping(wire.get("data")) or {}
        return cls(name, data, id=read.text(wire.get("id")), at=read.number(wire.get("at")))


@dataclass(frozen=True, slots=True)
class StatusMessage:
    """The message that carries nearly everything an agent says.

    `current_print_ts`: None = unknown (the server leaves prints untouched), -1 = certainly not printing, else the
    identity of the print. `status` and `settings` are JSON trees as sent, so that a server can hand them on verbatim;
    `Status.from_wire(status)` reads them. Without `status` the printer counts as offline.
    """

    current_print_ts: int | None = None
    status: Json | None = None
    event: PrintEvent | None = None
    settings: Json | None = None

    def to_wire(self) -> dict[str, Any]:
        wire: dict[str, Any] = {}
        if self.current_print_ts is not None:
            wire["current_print_ts"] = self.current_print_ts
        if self.event is not None:
            wire["event"] = self.event.to_wire()
        if self.settings is not None:
            wire["settings"] = self.settings
        if self.status is not None:
            wire["status"] = self.status
        return wire

    @classmethod
    def from_wire(cls, wire: Json) -> StatusMessage:
        def aliased(key: str, legacy: str) -> Json | None:
            return read.mapping(wire.get(key)) or read.mapping(wire.get(legacy))

        status = aliased("status", "octoprint_data")
        legacy_file_id = read.integer(wire.get("tsd_gcode_file_id"))
        if status and legacy_file_id is not None:
            status = _with_file_id(status, legacy_file_id)
        event = aliased("event", "octoprint_event")
        return cls(
            current_print_ts=_print_ts(wire.get("current_print_ts")),
            status=status or None,
            event=PrintEvent.from_wire(event) if event else None,
            settings=aliased("settings", "octoprint_settings"),
        )


def _print_ts(value: object) -> int | None:
    """0 means unknown, like null (§3.3); so does a negative that is not -1, which no agent should ever say."""
    found = read.integer(value)
    return found if found is not None and (found > 0 or found == NOT_PRINTING) else None


def _with_file_id(status: Json, file_id: int) -> Json:
    """The status with the file id of old agents where today's agents put it."""
    job = read.mapping(status.get("job")) or {}
    file = read.mapping(job.get("file")) or {}
    if file.get("obico_g_code_file_id") is not None:
        return status
    return {**status, "job": {**job, "file": {**file, "obico_g_code_file_id": file_id}}}


@dataclass(frozen=True, slots=True)
class CommandAck:
    """What became of a command. `error` says why not, in the printer's own words; `text` says what was really done
    (`paused; retracted 6.5 mm, lifted 1.2 of 2.5 mm: axis limit`), with `done` only."""

    id: str
    state: AckState
    error: str | None = None
    text: str | None = None

    def to_wire(self) -> dict[str, Any]:
        body: dict[str, Any] = {"id": self.id, "state": self.state.value, "error": self.error}
        if self.text is not None:
            body["text"] = self.text
        return {"command_ack": body}

    @classmethod
    def from_wire(cls, wire: Json) -> CommandAck | None:
        ident, state = read.text(wire.get("id")), _known(AckState, wire.get("state"))
        if not ident or state is None:
            return None
        return cls(ident, state, read.text(wire.get("error")), read.text(wire.get("text")))


@dataclass(frozen=True, slots=True)
class PassthruReply:
    """The answer to a passthru call; `error` set means it failed."""

    ref: str
    ret: Any = None
    error: str | None = None

    def to_wire(self) -> dict[str, Any]:
        outcome = {"ret": self.ret} if self.error is None else {"error": self.error}
        return {"passthru": {"ref": self.ref, **outcome}}


@dataclass(frozen=True, slots=True)
class TerminalFeed:
    """A line of the printer's terminal; `ts` Unix seconds."""

    msg: str
    ts: float

    def to_wire(self) -> dict[str, Any]:
        return {"passthru": {"terminal_feed": {"msg": self.msg, "_ts": self.ts}}}


@dataclass(frozen=True, slots=True)
class PrinterEventToast:
    """A toast for whoever looks at the printer; the durable event goes by HTTP (§3.2)."""

    title: str
    text: str
    event_class: str
    event_type: str
    info_url: str | None = None

    def to_wire(self) -> dict[str, Any]:
        toast = {
            "event_title": self.title, "event_text": self.text,
            "event_class": self.event_class, "event_type": self.event_type,
        }  # fmt: skip
        if self.info_url:
            toast["info_url"] = self.info_url
        return {"passthru": {"printer_event": toast}}


@dataclass(frozen=True, slots=True)
class PassthruUp:
    """Any `passthru` frame of an agent as a server sees it: relayed whole, so kept whole."""

    body: Json

    def to_wire(self) -> dict[str, Any]:
        return {"passthru": dict(self.body)}


@dataclass(frozen=True, slots=True)
class Janus:
    """WebRTC signalling text, relayed both ways (§9)."""

    body: str

    def to_wire(self) -> dict[str, Any]:
        return {"janus": self.body}


@dataclass(frozen=True, slots=True)
class TunnelResponse:
    """A tunnelled HTTP answer (BSON): `content` zlib-compressed if `compressed`; `cookies`: Set-Cookie values."""

    ref: str
    status: int
    headers: Mapping[str, str]
    content: bytes
    compressed: bool = False
    cookies: tuple[str, ...] | None = None

    def to_wire(self) -> dict[str, Any]:
        response = {
            "status": self.status, "headers": dict(self.headers), "content": self.content,
            "compressed": self.compressed, "cookies": list(self.cookies) if self.cookies is not None else None,
        }  # fmt: skip
        return {"http.tunnelv2": {"ref": self.ref, "response": response}}

    @classmethod
    def from_wire(cls, wire: Json) -> TunnelResponse | None:
        ref, response = read.text(wire.get("ref")), read.mapping(wire.get("response"))
        status = read.integer((response or {}).get("status"))
        if not ref or response is None or status is None:
            return None
        content = response.get("content")
        if isinstance(content, str):  # a local failure is told as text (§3.5)
            content = content.encode()
        cookies = response.get("cookies")
        return cls(
            ref=ref, status=status, headers=_headers(response.get("headers")),
            content=content if isinstance(content, bytes) else b"",
            compressed=response.get("compressed") is True,
            cookies=tuple(map(str, cookies)) if isinstance(cookies, list) else None,
        )  # fmt: skip


class TunnelEnd(str, Enum):
    """Kinds of tunnelled WebSocket traffic, by direction."""

    MESSAGE_UP = "octoprint_message"
    CLOSE_UP = "octoprint_close"
    CONNECT = "connect"
    MESSAGE_DOWN = "tunnel_message"
    CLOSE_DOWN = "tunnel_close"


@dataclass(frozen=True, slots=True)
class TunnelSocketData:
    """One piece of a tunnelled WebSocket (BSON), either direction; `path` only from the server."""

    ref: str
    kind: TunnelEnd
    data: str | bytes | None = None
    path: str | None = None

    def to_wire(self) -> dict[str, Any]:
        body: dict[str, Any] = {"ref": self.ref, "data": self.data, "type": self.kind.value}
        if self.path is not None:
            body["path"] = self.path
        return {"ws.tunnel": body}

    @classmethod
    def from_wire(cls, wire: Json) -> TunnelSocketData | None:
        ref, kind = read.text(wire.get("ref")), _known(TunnelEnd, wire.get("type"))
        data = wire.get("data")
        if not ref or kind is None or not isinstance(data, str | bytes | None):
            return None
        return cls(ref, kind, data, read.text(wire.get("path")))


def _headers(value: object) -> dict[str, str]:
    return {str(name): str(content) for name, content in (read.mapping(value) or {}).items()}


# --- server -> agent -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RemoteStatus:
    """What the server wants to see; a key that is absent (None) keeps its last value (trap 8)."""

    viewing: bool | None = None
    should_watch: bool | None = None

    def to_wire(self) -> dict[str, Any]:
        said = {"viewing": self.viewing, "should_watch": self.should_watch}
        return {"remote_status": {key: value for key, value in said.items() if value is not None}}

    @classmethod
    def from_wire(cls, wire: Json) -> RemoteStatus:
        return cls(read.flag(wire.get("viewing")), read.flag(wire.get("should_watch")))


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """Who the server is and which of our extensions it speaks; in its first frame only."""

    name: str
    version: str
    capabilities: frozenset[Capability] = frozenset()

    def to_wire(self) -> dict[str, Any]:
        spoken = sorted(capability.value for capability in self.capabilities)
        return {"server": {"name": self.name, "version": self.version, "capabilities": spoken}}

    @classmethod
    def from_wire(cls, wire: Json) -> ServerInfo:
        found = (_known(Capability, word) for word in read.items(wire.get("capabilities")))
        return cls(
            name=read.text(wire.get("name")) or "",
            version=read.text(wire.get("version")) or "",
            capabilities=frozenset(word for word in found if word is not None),
        )


@dataclass(frozen=True, slots=True)
class CommandWhy:
    """Why a server gives an order by itself (`command_why`, docs/protocol-extensions.md). `by`: who decided
    (`failure_detection`); `score` 0 to 1; `picture`: a JPEG for whoever has the address; `page`: for people."""

    by: str
    text: str = ""
    score: float | None = None
    picture: str | None = None
    page: str | None = None

    def to_wire(self) -> dict[str, Any]:
        said = {"by": self.by, "text": self.text, "score": self.score, "picture": self.picture, "page": self.page}
        return {key: value for key, value in said.items() if value is not None}

    @classmethod
    def from_wire(cls, wire: Json) -> CommandWhy | None:
        by = read.text(wire.get("by"))
        if not by:
            return None
        score = read.number(wire.get("score"))
        return cls(
            by[:_WORD_LIMIT], (read.text(wire.get("text")) or "")[:_TEXT_LIMIT],
            None if score is None else min(1.0, max(0.0, score)),
            _web_address(wire.get("picture")), _web_address(wire.get("page")),
        )  # fmt: skip


_WORD_LIMIT, _TEXT_LIMIT, _ADDRESS_LIMIT = 40, 500, 2000
"""Characters that are taken of what a server says about an order."""


def _web_address(value: object) -> str | None:
    """None also for what a browser would not open as a page: `javascript:…` must not become a link."""
    found = read.text(value)
    usable = found is not None and len(found) <= _ADDRESS_LIMIT and found.startswith(("http://", "https://"))
    return found if usable else None


@dataclass(frozen=True, slots=True)
class Command:
    """An order for the printer. `args` of pause: `retract`, `lift_z` in mm, `tools_off`, `bed_off` (§3.5).
    `why`: an extension, and only of orders that the server gives by itself."""

    name: str
    args: Json = field(default_factory=dict)
    initiator: str | None = None
    id: str | None = None
    why: CommandWhy | None = None

    @property
    def type(self) -> CommandName | None:
        found: CommandName | None = _known(CommandName, self.name)
        return found

    def to_wire(self) -> dict[str, Any]:
        wire: dict[str, Any] = {"cmd": self.name, "args": dict(self.args), "initiator": self.initiator or "unknown"}
        if self.id is not None:
            wire["id"] = self.id
        if self.why is not None:
            wire["why"] = self.why.to_wire()
        return wire

    @classmethod
    def from_wire(cls, wire: Json) -> Command | None:
        name = read.text(wire.get("cmd"))
        if not name:
            return None
        why = read.mapping(wire.get("why"))
        return cls(
            name, read.mapping(wire.get("args")) or {}, read.text(wire.get("initiator")), read.text(wire.get("id")),
            None if why is None else CommandWhy.from_wire(why),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Commands:
    commands: tuple[Command, ...]

    def to_wire(self) -> dict[str, Any]:
        return {"commands": [command.to_wire() for command in self.commands]}


@dataclass(frozen=True, slots=True)
class PassthruCall:
    """A call of a viewer to the agent (§8); without `ref` no answer is expected."""

    target: str
    func: str
    args: tuple[Any, ...] = ()
    kwargs: Json = field(default_factory=dict)
    ref: str | None = None

    def to_wire(self) -> dict[str, Any]:
        body: dict[str, Any] = {
            "target": self.target, "func": self.func, "args": list(self.args), "kwargs": dict(self.kwargs),
        }  # fmt: skip
        if self.ref is not None:
            body["ref"] = self.ref
        return {"passthru": body}

    @classmethod
    def from_wire(cls, wire: Json) -> PassthruCall:
        ref = wire.get("ref")
        if isinstance(ref, int | float) and not isinstance(ref, bool):
            ref = str(ref)
        return cls(
            target=read.text(wire.get("target")) or "", func=read.text(wire.get("func")) or "",
            args=tuple(read.items(wire.get("args"))), kwargs=read.mapping(wire.get("kwargs")) or {},
            ref=read.text(ref),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class EventsAcked:
    """Ids of print events that the server has committed; the agent forgets them (extensions.md)."""

    ids: tuple[str, ...]

    def to_wire(self) -> dict[str, Any]:
        return {"ack": {"events": list(self.ids)}}

    @classmethod
    def from_wire(cls, wire: Json) -> EventsAcked:
        return cls(tuple(word for word in read.items(wire.get("events")) if isinstance(word, str)))


@dataclass(frozen=True, slots=True)
class TunnelRequest:
    """A tunnelled HTTP request (BSON); `path` with its query, `method` in lower case."""

    ref: str
    method: str
    path: str
    headers: Mapping[str, str]
    data: bytes = b""

    def to_wire(self) -> dict[str, Any]:
        return {
            "http.tunnelv2": {
                "ref": self.ref, "method": self.method, "path": self.path,
                "headers": dict(self.headers), "data": self.data,
            }
        }  # fmt: skip

    @classmethod
    def from_wire(cls, wire: Json) -> TunnelRequest | None:
        ref, method, path = (read.text(wire.get(key)) for key in ("ref", "method", "path"))
        data = wire.get("data")
        if not ref or not method or path is None:
            return None
        return cls(ref, method.lower(), path, _headers(wire.get("headers")), data if isinstance(data, bytes) else b"")


AgentMessage = StatusMessage | CommandAck | PassthruUp | Janus | TunnelResponse | TunnelSocketData | TunnelFrame
"""What a server decodes from an agent's frame."""

AgentOutgoing = AgentMessage | PassthruReply | TerminalFeed | PrinterEventToast
"""What an agent can encode."""

ServerMessage = (
    RemoteStatus | ServerInfo | Commands | PassthruCall | EventsAcked | Janus | TunnelRequest | TunnelSocketData
    | TunnelFrame
)

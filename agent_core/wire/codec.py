"""Frames <-> messages: text frames are JSON objects, binary frames are BSON documents (wire-protocol.md §3).

Sizes are bounded before anything is parsed. A frame that is no message raises WireError with one readable line.
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from agent_core.wire import bson, read
from agent_core.wire.bson import WireError
from agent_core.wire.messages import (
    AgentMessage,
    AgentOutgoing,
    Command,
    CommandAck,
    Commands,
    EventsAcked,
    Janus,
    PassthruCall,
    PassthruUp,
    RemoteStatus,
    ServerInfo,
    ServerMessage,
    StatusMessage,
    TunnelRequest,
    TunnelResponse,
    TunnelSocketData,
)
from agent_core.wire.read import Json
from agent_core.wire.tunnel import TunnelFrame

__all__ = ["WireError", "decode_agent_frame", "decode_agent_wire", "decode_server_frame", "encode"]

MAX_TEXT_BYTES = 1024 * 1024
"""A status with settings is 2-3 kB; a file list of a large library a few hundred."""

MAX_BINARY_BYTES = 16 * 1024 * 1024
"""A tunnelled answer of a printer's own web interface."""

MAX_COMMANDS = 16
"""Commands in one frame; more is no person's doing."""

_BINARY = (TunnelResponse, TunnelSocketData, TunnelRequest, TunnelFrame)


def encode(message: AgentOutgoing | ServerMessage) -> str | bytes:
    """The frame of a message: str for a text frame, bytes for a binary one. Raises WireError if it cannot be sent."""
    wire = message.to_wire()
    if isinstance(message, _BINARY):
        packed = bson.encode(wire)
        if len(packed) > MAX_BINARY_BYTES:
            raise WireError(f"a message of {len(packed)} bytes is over the limit of {MAX_BINARY_BYTES}")
        return packed
    return encode_json(wire)


def encode_json(wire: Json) -> str:
    try:
        text = json.dumps(wire, allow_nan=False, separators=(",", ":"), default=str)
    except (ValueError, TypeError, RecursionError) as error:
        raise WireError(f"cannot be written as JSON: {error}") from None
    if len(text) > MAX_TEXT_BYTES:
        raise WireError(f"a message of {len(text)} characters is over the limit of {MAX_TEXT_BYTES}")
    return text


def parse(frame: str | bytes) -> Json:
    """The JSON or BSON object in a frame. Raises WireError."""
    if isinstance(frame, bytes):
        if len(frame) > MAX_BINARY_BYTES:
            raise WireError(f"a binary frame of {len(frame)} bytes is over the limit of {MAX_BINARY_BYTES}")
        return bson.decode(frame)
    if len(frame) > MAX_TEXT_BYTES:
        raise WireError(f"a text frame of {len(frame)} characters is over the limit of {MAX_TEXT_BYTES}")
    try:
        found = json.loads(frame, parse_constant=_refuse_constant, parse_float=_finite_float)
    except (ValueError, RecursionError) as error:
        raise WireError(f"not JSON: {error}") from None
    if not isinstance(found, dict):
        raise WireError(f"not a JSON object but {type(found).__name__}")
    return found


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON number")


def _finite_float(digits: str) -> float:
    """1e999 is a number in JSON and infinity in Python, which could not be handed on."""
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{digits[:20]} is too large a number")
    return value


def decode_agent_frame(frame: str | bytes) -> AgentMessage:
    """What an agent says: the first matching key wins, the rest is ignored (§3.2). Raises WireError."""
    return decode_agent_wire(parse(frame))


def decode_agent_wire(wire: Json) -> AgentMessage:
    """The same of a frame that was parsed already. Raises WireError."""
    if (janus := read.text(wire.get("janus"))) is not None:
        return Janus(janus)
    for key, kind in _AGENT_MAPS.items():
        if key in wire:
            message: AgentMessage | None = kind(read.mapping(wire[key]) or {})
            if message is None:
                raise WireError(f"`{key}` lacks what makes it one")
            return message
    return StatusMessage.from_wire(wire)


_AGENT_MAPS: dict[str, Any] = {
    "http.tunnelv2": TunnelResponse.from_wire,
    "ws.tunnel": TunnelSocketData.from_wire,
    "tunnel": TunnelFrame.from_wire,
    "passthru": PassthruUp,
    "command_ack": CommandAck.from_wire,
}


def decode_server_frame(frame: str | bytes) -> tuple[ServerMessage, ...]:
    """What a server says: every key we know, unknown ones ignored; empty if there is none. Raises WireError."""
    wire = parse(frame)
    messages: list[ServerMessage | None] = []
    if (server := read.mapping(wire.get("server"))) is not None:
        messages.append(ServerInfo.from_wire(server))
    if (status := read.mapping(wire.get("remote_status"))) is not None:
        messages.append(RemoteStatus.from_wire(status))
    if (ack := read.mapping(wire.get("ack"))) is not None:
        messages.append(EventsAcked.from_wire(ack))
    if commands := _commands(wire.get("commands")):
        messages.append(commands)
    if (call := read.mapping(wire.get("passthru"))) is not None:
        messages.append(PassthruCall.from_wire(call))
    if (janus := read.text(wire.get("janus"))) is not None:
        messages.append(Janus(janus))
    if isinstance(frame, bytes):
        # What is tunnelled comes as BSON only (§3.5); a text of JSON may be half a character, which no answer can hold.
        messages += _tunnelled(wire)
    return tuple(message for message in messages if message is not None)


def _tunnelled(wire: Json) -> list[ServerMessage | None]:
    messages: list[ServerMessage | None] = []
    if (request := read.mapping(wire.get("http.tunnelv2"))) is not None:
        messages.append(TunnelRequest.from_wire(request))
    if (data := read.mapping(wire.get("ws.tunnel"))) is not None:
        messages.append(TunnelSocketData.from_wire(data))
    if (tunnel := read.mapping(wire.get("tunnel"))) is not None:
        messages.append(TunnelFrame.from_wire(tunnel))
    return messages


def _commands(value: object) -> Commands | None:
    entries = read.items(value)
    if len(entries) > MAX_COMMANDS:
        raise WireError(f"{len(entries)} commands in one frame, at most {MAX_COMMANDS} are taken")
    found = (Command.from_wire(entry) for entry in entries if isinstance(entry, dict))
    commands = tuple(command for command in found if command is not None)
    return Commands(commands) if commands else None

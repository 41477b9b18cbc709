"""JSON-RPC 2.0 without I/O: ids, calls that wait for an answer, answers, errors, notifications.

Moonraker's error codes are those of HTTP (400, 403, 503), but "not found" comes as -32601
(recordings/moonraker/README.md, "Things that surprise") and "unauthorized" as -32602 (seen with 0.11).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent_core.errors import CommandFailed, Unreachable

METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602

_PENDING_LIMIT = 64
"""Calls that may wait at once; a pause behind a long heat-up is one of them, so this is far more than is needed."""

_ERROR_TEXT_LIMIT = 1000
"""Characters of an error text that are kept; Klipper's longest known ones have about 300."""


class RpcError(CommandFailed):
    """Moonraker refused a call; the text is its own, `code` as described above."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code

    @property
    def unauthorized(self) -> bool:
        """Whether no or a wrong API key is why (`Unauthorized`, `Invalid API Key`, `API Key ... is disabled`)."""
        said = str(self).lower()
        return self.code == 401 or (self.code == INVALID_PARAMS and ("unauthorized" in said or "api key" in said))


@dataclass(frozen=True, slots=True)
class Notification:
    method: str
    params: Sequence[Any]


@dataclass(frozen=True, slots=True)
class Request:
    """Somebody calls us, through Moonraker (`server.extensions.request`), and waits for the answer."""

    id: int
    method: str
    params: Mapping[str, Any] | Sequence[Any]


Done = Callable[[Any, RpcError | Unreachable | None], None]
"""Takes a call's result, or None and the error. Called on the thread that feeds `receive` or `fail_all`."""


class JsonRpc:
    """One connection's calls. Not thread-safe: the owner guards it."""

    def __init__(self) -> None:
        self._next_id = 1
        self._pending: dict[int, Done] = {}

    @property
    def waiting(self) -> int:
        return len(self._pending)

    def request(self, method: str, params: Mapping[str, Any] | None, done: Done) -> str:
        """The text frame of a call whose answer goes to `done`. Raises Unreachable if too many calls wait already."""
        if len(self._pending) >= _PENDING_LIMIT:
            raise Unreachable(f"Moonraker owes {_PENDING_LIMIT} answers; {method} was not sent")
        call_id = self._next_id
        self._next_id += 1
        message: dict[str, Any] = {"jsonrpc": "2.0", "method": method, "id": call_id}
        if params:
            message["params"] = dict(params)
        frame = json.dumps(message, separators=(",", ":"))
        self._pending[call_id] = done
        return frame

    def receive(self, frame: str | bytes) -> Notification | Request | tuple[Done, Any, RpcError | None] | None:
        """A notification; a call of ours; or a waiting call's `done` with what to hand it (so that the owner can let
        go of its lock first); None for anything else, be it an answer to nobody or rubbish.
        """
        try:
            message = json.loads(frame)
        except (ValueError, RecursionError):
            return None
        if not isinstance(message, dict):
            return None
        method = message.get("method")
        if isinstance(method, str):
            params = message.get("params")
            if isinstance(number := message.get("id"), int):
                return Request(number, method, params if isinstance(params, (list, dict)) else ())
            return Notification(method, params if isinstance(params, list) else ())
        call_id = message.get("id")
        done = self._pending.pop(call_id, None) if isinstance(call_id, int) else None
        if done is None:
            return None
        if "error" in message:
            return done, None, _error(message["error"])
        return done, message.get("result"), None

    def forget(self, done: Done) -> None:
        """Nobody waits for this answer any more."""
        for call_id, waiting in self._pending.items():
            if waiting is done:
                del self._pending[call_id]
                return

    def fail_all(self) -> list[Done]:
        """Empties the list of waiting calls and gives it out: the connection is gone."""
        waiting = list(self._pending.values())
        self._pending.clear()
        return waiting


def answer_frame(call_id: int, result: Any) -> str:
    """The text frame that answers a Request."""
    return json.dumps({"jsonrpc": "2.0", "result": result, "id": call_id}, separators=(",", ":"))


def _error(wire: Any) -> RpcError:
    if not isinstance(wire, dict):
        return RpcError("Moonraker refused without saying why", 0)
    code = wire.get("code")
    text = wire.get("message")
    return RpcError(
        str(text)[:_ERROR_TEXT_LIMIT].strip() or "Moonraker refused without saying why",
        code if isinstance(code, int) else 0,
    )

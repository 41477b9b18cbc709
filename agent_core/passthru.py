"""Calls of viewers, relayed by the server (wire-protocol.md §8): an allow-list, and always an answer."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from agent_core.errors import AgentError
from agent_core.wire.messages import PassthruCall, PassthruReply

REMEMBERED = 100
"""The same call may arrive twice, by the socket and by the data channel: its `ref` tells."""

Handler = Callable[[PassthruCall], Any]


class PassthruDesk:
    """Answers calls by `target.func`; anything that is not on the list is refused in words."""

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self._handlers = dict(handlers)
        self._seen: deque[str] = deque(maxlen=REMEMBERED)

    def answer(self, call: PassthruCall) -> PassthruReply | None:
        """The reply; None for a repeat, or where nobody asked for one (no `ref`)."""
        if call.ref is not None:
            if call.ref in self._seen:
                return None
            self._seen.append(call.ref)
        handler = self._handlers.get(f"{call.target}.{call.func}")
        reply: PassthruReply | None = None
        ref = call.ref or ""
        if handler is None:
            reply = PassthruReply(ref, error=f"Request not supported. {call.target[:60]}.{call.func[:60]}")
        else:
            try:
                reply = PassthruReply(ref, ret=handler(call))
            except AgentError as error:
                reply = PassthruReply(ref, error=str(error))
        return reply if call.ref is not None else None

"""The spool in use, by Moonraker's [spoolman]: two lines in the printer's metadata. Nothing of it is kept here.

Moonraker knows the spool's number (server.spoolman.status, notify_active_spool_set); what it is, Spoolman tells
through Moonraker (server.spoolman.proxy).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from agent_core.errors import Unreachable
from moonraker_obico.jsonrpc import Done, RpcError

_TEXT_LIMIT = 100
"""Characters of a filament's name."""


class Calls(Protocol):
    """calls.KlipperCalls, as far as it is needed here."""

    def send(self, method: str, params: Mapping[str, Any] | None, done: Done) -> None: ...


class Spool:
    """Used on the connection's reading thread alone. `facts` are the metadata's lines, {} without a spool; `changed` is
    called when they are others."""

    def __init__(self, calls: Calls, changed: Callable[[], None]) -> None:
        self._calls = calls
        self._changed = changed
        self._id: int | None = None
        self.facts: Mapping[str, str] = {}

    def told(self, status: Any) -> None:
        """What Moonraker says: `{spool_id}`, a number or null; None where it has no [spoolman]."""
        found = status.get("spool_id") if isinstance(status, dict) else None
        spool = found if isinstance(found, int) and not isinstance(found, bool) and found > 0 else None
        if spool == self._id:
            return
        self._id = spool
        self._take({} if spool is None else {"SPOOL_ID": str(spool)})
        if spool is not None:
            self._ask(spool)

    def _ask(self, spool: int) -> None:
        def answered(result: Any, error: RpcError | Unreachable | None) -> None:
            name = None if error is not None else filament(result)
            if name is not None and spool == self._id:
                self._take({"SPOOL_ID": str(spool), "FILAMENT": name})

        wanted = {"request_method": "GET", "path": f"/v1/spool/{spool}", "use_v2_response": True}
        try:
            self._calls.send("server.spoolman.proxy", wanted, answered)
        except Unreachable:
            self._id = None  # asked again with the next connection

    def _take(self, facts: Mapping[str, str]) -> None:
        self.facts = facts
        self._changed()


def filament(answer: Any) -> str | None:
    """`Prusament PLA Galaxy Black` of Spoolman's answer about a spool: vendor, material and name, as far as told."""
    try:
        found = answer["response"]["filament"]
        vendor = (found.get("vendor") or {}).get("name")
        words = [word for word in (vendor, found.get("material"), found.get("name")) if isinstance(word, str) and word]
    except (KeyError, TypeError, AttributeError):
        return None
    return " ".join(words)[:_TEXT_LIMIT] or None

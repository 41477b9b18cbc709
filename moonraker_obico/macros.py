"""The two macros of obico_macros.cfg, where the user has included it: the link's state, and the layer set back to 0.

What Klipper says of its variables is compared with what they should be, so a restart of Klipper needs no thought. At
most one command is under way; one that Klipper refuses (a macro of that name without the variable) is not sent again
before Klipper or the connection has started anew.
"""

from __future__ import annotations

import logging
import threading
from typing import Any, Protocol

from agent_core.errors import Unreachable
from moonraker_obico.jsonrpc import Done, RpcError
from moonraker_obico.klipper_api import Objects
from moonraker_obico.objects import LAYER_MACRO, LINK_MACRO, number, text

_log = logging.getLogger(__name__)


class Calls(Protocol):
    """calls.KlipperCalls, as far as it is needed here."""

    def objects(self) -> Objects: ...

    def send(self, method: str, params: dict[str, Any], done: Done) -> None: ...


class Macros:
    """`turn` is called now and then, from one thread; it sends and does not wait."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._lock = threading.Lock()  # guards what follows: answers come on the reading thread
        self._waits = False
        self._refused: set[str] = set()

    def turn(self, *, linked: bool, connected: bool) -> None:
        objects = self._calls.objects()
        with self._lock:
            if not objects:
                self._refused.clear()
            if self._waits or not objects:
                return
            commands = [line for line in wanted(objects, linked, connected) if line not in self._refused]
            if not commands:
                return
            self._waits = True
        self._send(commands[0])

    def farewell(self) -> None:
        """The agent ends: it is connected no more. Sent, and not waited for."""
        field = self._calls.objects().get(LINK_MACRO, {})
        if field.get("connected") is True:
            self._send(_set(LINK_MACRO, "connected", "False"))

    def _send(self, command: str) -> None:
        def answered(_result: Any, error: RpcError | Unreachable | None) -> None:
            with self._lock:
                self._waits = False
                if isinstance(error, RpcError):
                    self._refused.add(command)
                    _log.warning("Klipper does not take %r: %s", command, error)

        try:
            self._calls.send("printer.gcode.script", {"script": command}, answered)
        except Unreachable:
            with self._lock:
                self._waits = False


def wanted(objects: Objects, linked: bool, connected: bool) -> list[str]:
    """Commands that bring the variables to what they should be; only variables that are there are thought of."""
    known = objects.get(LINK_MACRO, {})
    commands = [
        _set(LINK_MACRO, name, str(value))
        for name, value in (("is_linked", linked), ("connected", connected))
        if name in known and known[name] is not value
    ]
    # In a print it is the slicer's; afterwards it would be taken for the next print's.
    prints = text(objects, "print_stats", "state") in {"printing", "paused"}
    if not prints and (number(objects, LAYER_MACRO, "current_layer") or 0) > 0:
        commands.append(_set(LAYER_MACRO, "current_layer", "0"))
    return commands


def _set(macro: str, variable: str, value: str) -> str:
    return f"SET_GCODE_VARIABLE MACRO={macro.partition(' ')[2]} VARIABLE={variable} VALUE={value}"

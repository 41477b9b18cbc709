"""What pausing needs of Klipper, as a Protocol: connection.py implements it on Moonraker's websocket, tests fake it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from agent_core.errors import CommandFailed
from agent_core.ports import Interrupt

Objects = Mapping[str, Mapping[str, Any]]
"""Klipper's status objects by name (`print_stats`, `extruder1`, …), each with its fields."""

OBJECTS: Mapping[str, Sequence[str] | None] = {
    "webhooks": None,
    "print_stats": ("state", "filename", "total_duration", "message"),
    "pause_resume": ("is_paused",),
    "toolhead": ("extruder", "homed_axes", "axis_maximum", "position"),
    "gcode_move": ("extrude_factor",),
    "idle_timeout": None,
    "heater_bed": ("temperature", "target"),
}
"""The least that the subscription must hold; also each `extruder*` with temperature, target, can_extrude, and each
`heater_generic *` with temperature, target."""


class Abandoned(CommandFailed):
    """The interrupt came: the answer is no longer waited for. What was sent may still be carried out by Klipper."""


class KlipperApi(Protocol):
    """Thread-safe. None of the blocking methods may be called on the thread that reads the socket."""

    def call(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
        interrupt: Interrupt | None = None,
    ) -> Any:
        """One JSON-RPC call; its `result`. Sent at once, once, and never again.

        `timeout` in seconds; None waits as long as the connection lives: calls queue behind the running G-code, a pause
        behind M109 takes minutes. Raises CommandFailed with Klipper's own words (the whole message), Unreachable when
        there is no connection, it is lost before the answer, or `timeout` passes; Abandoned within 0.25 s of
        `interrupt`.
        """
        ...

    def objects(self) -> Objects:
        """The newest merged status, without I/O: a snapshot that does not change. {} while Moonraker or Klippy is away
        or not yet subscribed: a status that may be stale must not be given.
        """
        ...

    def query(self, objects: Mapping[str, Sequence[str] | None], *, timeout: float = 10.0) -> Objects:
        """Fresh values of these objects (`printer.objects.query`), about 0.25 s. Raises as `call` does."""
        ...

    def wait_for(
        self, predicate: Callable[[Objects], bool], *, timeout: float | None, interrupt: Interrupt | None = None
    ) -> bool:
        """Waits until `predicate(objects())` holds; looks at once, at each update, and when the connection is lost or
        back (then with {} first). False when `timeout` seconds (None: no limit) have passed or `interrupt` is set
        (noticed within 0.25 s).
        """
        ...

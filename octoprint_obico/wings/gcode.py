"""OctoPrint's hooks for G-code: called for each line that it sends or gets, so each costs a look-up or two."""

from __future__ import annotations

from typing import Any

from agent_core.features.event_texts import Sign, small_talk
from octoprint_obico.parking import is_parking
from octoprint_obico.wings.base import Wing

_FILAMENT = frozenset({"M600", "M701", "M702"})
"""Change, load and unload the filament."""


class GcodeHooks(Wing):
    """What goes to the printer and what it says, seen on its way; and our lines in OctoPrint's own scripts."""

    def gcode_hooks(self) -> dict[str, Any]:
        return {
            "octoprint.comm.protocol.gcode.sent": self.on_gcode_sent,
            "octoprint.comm.protocol.gcode.sending": self.on_gcode_sending,
            "octoprint.comm.protocol.gcode.received": self.on_gcode_received,
            # Late among the plugins: our lines come after those of others in a pause, and before them in a resume.
            "octoprint.comm.protocol.scripts": (self.on_script, 1000),
        }

    def on_gcode_sent(
        self,
        comm: Any,  # noqa: ARG002
        phase: str,  # noqa: ARG002
        cmd: str,
        cmd_type: str | None,  # noqa: ARG002
        gcode: str | None,
        *args: Any,  # noqa: ARG002
        tags: Any = None,
        **kwargs: Any,  # noqa: ARG002
    ) -> None:
        self._sent.sent(gcode, cmd)
        if gcode == "M400" and self._port is not None:
            self._port.line_sent(tags)
        if self._service is not None:
            if gcode in _FILAMENT:
                self._service.small_talk(Sign.CHANGE, f"{gcode} was sent to the printer.")
            if is_parking(tags):
                self._service.parked()

    def on_gcode_received(self, comm: Any, line: str, *args: Any, **kwargs: Any) -> str:  # noqa: ARG002
        sign = None if line.startswith("ok") else small_talk(line)
        if sign is not None and self._service is not None:
            self._service.small_talk(sign, f"The printer says: {line.strip()}")
        return line

    def on_gcode_sending(
        self,
        comm: Any,
        phase: str,  # noqa: ARG002
        cmd: str,  # noqa: ARG002
        cmd_type: str | None,  # noqa: ARG002
        gcode: str | None,  # noqa: ARG002
        *args: Any,  # noqa: ARG002
        tags: Any = None,
        **kwargs: Any,  # noqa: ARG002
    ) -> tuple[None] | None:
        if tags and self._port is not None and self._port.keep_from_sending(comm, tags):
            return (None,)  # OctoPrint's way to say: drop the line
        return None

    def on_script(
        self,
        comm: Any,
        script_type: str,
        script_name: str,
        *args: Any,  # noqa: ARG002
        **kwargs: Any,  # noqa: ARG002
    ) -> tuple[list[str], list[str]] | None:
        if script_type != "gcode":
            return None
        if script_name == "afterPrinterConnected":
            self._sent.reset()
        if self._port is None:
            return None
        lines = self._port.script(comm, script_name)
        return None if lines is None else (list(lines.before), list(lines.after))

"""OctoPrint's hooks for G-code: called for each line that it sends, so each costs a look-up or two."""

from __future__ import annotations

from typing import Any

from octoprint_obico.wings.base import Wing


class GcodeHooks(Wing):
    """What goes to the printer, seen on its way; and our lines in OctoPrint's own scripts."""

    def gcode_hooks(self) -> dict[str, Any]:
        return {
            "octoprint.comm.protocol.gcode.sent": self.on_gcode_sent,
            "octoprint.comm.protocol.gcode.sending": self.on_gcode_sending,
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

"""KlipperScreen's panel of the agent: is the printer linked and connected, and if not, why not.

Linked into KlipperScreen's folder `panels` (docs/klipper.md, "KlipperScreen"). It asks the running agent, as
`moonraker-obico status` does; KlipperScreen's own thread never waits for it.
"""

from __future__ import annotations

import json
import subprocess
import threading
from pathlib import Path
from typing import Any

import gi

gi.require_version("Gtk", "3.0")
from gi.repository import GLib, Gtk  # noqa: E402 - gi wants its version first
from ks_includes.screen_panel import ScreenPanel  # noqa: E402

PROGRAMS = ("moonraker-obico-env-3", "moonraker-obico-env")
EVERY = 5
"""Seconds between two looks while the panel is shown."""


def program() -> str | None:
    """The agent's command, as the installer made it."""
    found = (Path.home() / name / "bin" / "moonraker-obico" for name in PROGRAMS)
    return next((str(path) for path in found if path.exists()), None)


def ask(port: int | None) -> dict[str, Any] | None:
    """The status of the agent that belongs to the Moonraker at this port; None if none answers."""
    command = program()
    for config in sorted(Path.home().glob("printer*_data/config/moonraker-obico.cfg")) if command else ():
        try:
            done = subprocess.run([str(command), "status", "--json", "-c", str(config)],
                                  capture_output=True, timeout=20, check=False)  # fmt: skip
            told = json.loads(done.stdout)
        except (OSError, ValueError, subprocess.TimeoutExpired):
            continue
        at = str((told.get("moonraker") or {}).get("address", ""))
        if told.get("agent") and (port is None or not at or at.endswith(f":{port}")):
            return dict(told)
    return None


def lines(told: dict[str, Any] | None) -> list[str]:
    """What the panel shows, a line each."""
    if told is None:
        return ["The agent does not run.", "On the printer's machine: sudo systemctl restart moonraker-obico"]
    link = told["link"]
    shown = [f"Server: {link['server']}", f"Link: {link['state']}"]
    if link.get("printer"):
        shown.append(f"Printer there: {link['printer']}")
    if link["state"] != "connected" and link.get("reason"):
        shown.append(str(link["reason"]))
    if link["state"] == "not linked":
        shown.append("On the printer's machine: moonraker-obico link")
    if link.get("queued_events"):
        shown.append(f"{link['queued_events']} events wait for the server")
    shown += [f"Camera {camera['name'] or '(unnamed)'}: {camera['problem']}" for camera in told["cameras"]
              if camera["problem"]]  # fmt: skip
    return shown


class Panel(ScreenPanel):
    def __init__(self, screen: Any, title: str) -> None:
        super().__init__(screen, title or "Obico")
        self._label = Gtk.Label(label="…", wrap=True, hexpand=True, vexpand=True)
        self.content.add(self._label)
        self._timer: int | None = None
        self._asking = threading.Event()

    def activate(self) -> None:
        self._look()
        if self._timer is None:
            self._timer = GLib.timeout_add_seconds(EVERY, self._look)

    def deactivate(self) -> None:
        if self._timer is not None:
            GLib.source_remove(self._timer)
            self._timer = None

    def _look(self) -> bool:
        """True: GLib calls again. One question at a time."""
        if not self._asking.is_set():
            self._asking.set()
            threading.Thread(target=self._ask, name="obico", daemon=True).start()
        return True

    def _ask(self) -> None:
        port = getattr(getattr(self._screen, "apiclient", None), "port", None)
        try:
            shown = lines(ask(int(port) if port else None))
        finally:
            self._asking.clear()
        GLib.idle_add(self._label.set_text, "\n".join(shown))

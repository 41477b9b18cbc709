"""A real OctoPrint with the plugin, linked to a real server; or without the plugin, as the baseline."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.rig import PASSWORD, gcode
from demo.octoprint_host import OctoPrintHost, OctoPrintSetup
from demo.parts import VENVS, Camera, Server, installed
from demo.processes import wait_for
from tests.e2e.octoprint import plugin_path

LAYERS = 800
"""The virtual printer takes lines as fast as it can: this many last for minutes."""


HEATED = 0.1
"""Percent of that file that are done only when the start code, with its M109, is over."""


@dataclass(frozen=True, slots=True)
class OctoPrintRig:
    server: Server
    host: OctoPrintHost
    printer: int


@contextlib.contextmanager
def octoprint_rig(
    *, plugins: Mapping[str, str] | None = None, print_file: bool = False, with_plugin: bool = True
) -> Iterator[OctoPrintRig]:
    """OctoPrint 1.11, operational, or printing the demo's vase with `print_file`. Without `with_plugin` our plugin is
    installed but switched off, and `printer` is 0."""
    programs = installed()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        server = Server(programs, folder / "s")
        stack.callback(server.stop)
        server.start()
        server.set_up(PASSWORD)
        camera = Camera(programs, folder / "c", "bench")
        stack.callback(camera.stop)
        camera.start()
        extra: dict[str, Any] = {} if with_plugin else {"plugins": {"_disabled": ["obico"]}}
        host = OctoPrintHost(
            OctoPrintSetup(
                venv=VENVS / "octoprint1", basedir=folder / "o", plugins=plugins or {}, extra=extra,
                plugin_path=plugin_path() if with_plugin else None,
                snapshot_url=camera.snapshot_url, stream_url=camera.stream_url,
            )
        )  # fmt: skip
        host.prepare()
        stack.callback(host.stop)
        host.start()
        host.wait_for_state("OPERATIONAL", 60)
        number = 0
        if with_plugin:
            body = {"command": "link", "server": server.url, "code": server.rest.new_code()}
            host.post("/api/plugin/obico", body)
            number = wait_for(server.rest.printers, 30, "OctoPrint to be linked")[0]["id"]
            server.rest.wait_for_printer(
                number, lambda found: (found["status"] or {}).get("state", {}).get("text") == "Operational", 60,
                "OctoPrint's state to be shown",
            )  # fmt: skip
        if print_file:
            host.upload("vase.gcode", gcode(folder / "made", "vase_marlin.gcode", LAYERS), start=True)
            wait_for(lambda: (host.get("/api/job")["progress"]["completion"] or 0) > HEATED, 120, "the heat-up")
        yield OctoPrintRig(server, host, number)

"""How long a command takes from the server's REST call to the call into the printer's own software.

The whole way is measured: REST call, server, agent. What the agent adds is less.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.fake_moonraker import FakeMoonraker
from bench.octoprint import octoprint_rig
from bench.report import figure, median
from bench.rig import PASSWORD
from demo.parts import KlipperAgent, Server, installed
from demo.processes import wait_for
from demo.rest import Rest

ROUNDS = 30
PLAIN_PAUSE = {"retract_on_pause": 0, "lift_z_on_pause": 0, "tools_off_on_pause": False, "bed_off_on_pause": False}
"""So that a round is short: nothing is moved, cooled or heated again."""

SPY = '''
import json, time
import octoprint.plugin, octoprint.settings

class Spy(octoprint.plugin.StartupPlugin):
    """Notes when OctoPrint itself is called."""
    def on_after_startup(self):
        path = octoprint.settings.settings().getBaseFolder("base") + "/calls.jsonl"
        for name in ("pause_print", "resume_print"):
            self._wrap(name, path)

    def _wrap(self, name, path):
        inner = getattr(self._printer, name)
        def called(*args, **kwargs):
            with open(path, "a") as file:
                file.write(json.dumps([name, time.monotonic()]) + "\\n")
            return inner(*args, **kwargs)
        setattr(self._printer, name, called)

__plugin_name__ = "Call spy"
__plugin_pythoncompat__ = ">=3.10,<4"
__plugin_implementation__ = Spy()
'''


def run() -> None:
    _moonraker()
    _octoprint()


def _command(rest: Rest, printer: int, action: str, called_at: Callable[[], float]) -> float:
    """Milliseconds from the REST call to the call that `called_at` waits for."""
    begin = time.monotonic()
    # The call answers when the agent has told the outcome; we look at when the order arrived.
    answers: list[dict[str, Any]] = []
    caller = threading.Thread(target=lambda: answers.append(rest.action(printer, action)))
    caller.start()
    try:
        arrived = called_at()
    finally:
        caller.join()
        if answers and not answers[0]["succeeded"]:
            print(f"{action}: {answers[0].get('reason')}", file=sys.stderr)
    return (arrived - begin) * 1000


def _moonraker() -> None:
    programs = installed()
    with tempfile.TemporaryDirectory(prefix="bench-") as name, FakeMoonraker() as moonraker:
        folder = Path(name)
        server, agent = Server(programs, folder / "s"), KlipperAgent(programs, folder / "k", moonraker.port)
        try:
            server.start()
            server.set_up(PASSWORD)
            agent.prepare(server.url)
            agent.link(server.url, server.rest.new_code())
            agent.start()
            assert moonraker.ready.wait(20)
            moonraker.begin("part.gcode", 1_700_000_000.0)
            number = server.rest.printers()[0]["id"]
            server.rest.patch(f"/api/v1/printers/{number}/", PLAIN_PAUSE)
            server.rest.wait_for_printer(number, lambda printer: printer["current_print"], 20, "the print")
            times = []
            for _ in range(ROUNDS):
                for action, state, paused in (("pause_print", "paused", True), ("resume_print", "printing", False)):
                    times.append(
                        _command(server.rest, number, action, lambda: moonraker.calls.get(timeout=10)[1])
                    )
                    moonraker.update(print_stats={"state": state}, pause_resume={"is_paused": paused})
                    text = "Paused" if paused else "Printing"
                    _wait_text(server.rest, number, text)
            figure("command_latency.moonraker", median(times), "ms", worst=round(max(times), 1), commands=len(times))
        finally:
            agent.stop()
            server.stop()


def _octoprint() -> None:
    with octoprint_rig(plugins={"call_spy": SPY}, print_file=True) as rig:
        log = rig.host.basedir / "calls.jsonl"
        rig.server.rest.wait_for_printer(rig.printer, lambda found: found["current_print"], 20, "the print")
        rig.server.rest.patch(f"/api/v1/printers/{rig.printer}/", PLAIN_PAUSE)
        seen = 0
        times = []
        for _ in range(ROUNDS // 3):
            for action, text in (("pause_print", "Paused"), ("resume_print", "Printing")):

                def called_at(seen: int = seen) -> float:
                    def new_lines() -> list[str]:
                        return log.read_text().splitlines()[seen:] if log.exists() else []

                    lines = wait_for(new_lines, 20, "OctoPrint to be called", 0.002)
                    return float(json.loads(lines[0])[1])

                times.append(_command(rig.server.rest, rig.printer, action, called_at))
                _wait_text(rig.server.rest, rig.printer, text)
                seen = len(log.read_text().splitlines())
        figure("command_latency.octoprint", median(times), "ms", worst=round(max(times), 1), commands=len(times))


def _wait_text(rest: Rest, printer: int, text: str) -> None:
    rest.wait_for_printer(
        printer, lambda found: (found["status"] or {}).get("state", {}).get("text") == text, 30, f"the state {text}"
    )

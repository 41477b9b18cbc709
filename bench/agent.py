"""What the Moonraker agent costs, idle and printing with pictures; and what it sends."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from bench import proc
from bench.report import figure
from bench.rig import KlipperRig, gcode, klipper_rig

SETTLE_SECONDS = 15.0
IDLE_SECONDS = 60.0
PRINTING_SECONDS = 60.0
NOISE_SECONDS = 0.25
"""A real sensor reads a little different at each of Klipper's ticks, so Moonraker tells us four times a second."""


class Noise:
    """Lets the stand-in's sensors flicker as real ones do."""

    def __init__(self, rig: KlipperRig) -> None:
        self._rig = rig
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *exc: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        step = 0
        while not self._stopping.wait(NOISE_SECONDS):
            step += 1
            self._rig.klipper.control.set_temperature("extruder", 25.0 + step % 7 / 100)
            self._rig.klipper.control.set_temperature("heater_bed", 25.0 + step % 5 / 100)


def _measure(rig: KlipperRig, seconds: float) -> tuple[proc.Cost, float, float]:
    """Cost, messages a minute, bytes an hour."""
    messages, sent = rig.proxy.messages_up, rig.proxy.bytes_up
    begin = time.monotonic()
    cost = proc.watch(rig.agent.process.pid, seconds)
    elapsed = time.monotonic() - begin
    return (
        cost,
        (rig.proxy.messages_up - messages) / elapsed * 60,
        (rig.proxy.bytes_up - sent) / elapsed * 3600,
    )


def run() -> None:
    with klipper_rig(speed=3.0) as rig:
        with Noise(rig):
            proc.watch(rig.agent.process.pid, SETTLE_SECONDS)
            cost, messages, sent = _measure(rig, IDLE_SECONDS)
        figure("moonraker_agent.rss_idle", cost.rss_mb, "MB")
        figure("moonraker_agent.cpu_idle", cost.cpu_percent, "% of a core")
        figure("moonraker_agent.messages_idle", messages, "1/min")
        figure("moonraker_agent.bytes_idle", sent, "B/h")
        rig.klipper.upload("vase.gcode", gcode(Path(rig.klipper.folder) / "made", "vase_klipper.gcode"))
        rig.klipper.print("vase.gcode")
        rig.server.rest.wait_for_printer(
            rig.printer, lambda printer: printer["current_print"], 30, "the print to be known to the server"
        )
        proc.watch(rig.agent.process.pid, SETTLE_SECONDS)
        cost, messages, sent = _measure(rig, PRINTING_SECONDS)
        assert rig.server.rest.printer(rig.printer)["pic"], "no picture reached the server"
        figure("moonraker_agent.rss_printing", cost.rss_mb, "MB")
        figure("moonraker_agent.threads", cost.threads, "")
        figure("moonraker_agent.cpu_printing", cost.cpu_percent, "% of a core")
        figure("moonraker_agent.messages_printing", messages, "1/min")
        figure("moonraker_agent.bytes_printing", sent, "B/h")

"""Cameras that stay away and heaters that drift are told while something prints, and only then."""

from __future__ import annotations

import pytest

from agent_core.features.watches import CAMERA_SECONDS, CAMERAS_KEPT, FAR_SECONDS, CameraWatch, ThermalWatch
from agent_core.model import AlertRaised, Phase, PrinterReport, Temperature


def look(watch: CameraWatch, now: float, phase: Phase = Phase.PRINTING) -> list[str]:
    return [alert.title for alert in watch.look(phase, now, 5.0)]


def test_a_camera_that_worked_and_stays_away_is_told_once_and_once_when_it_is_back() -> None:
    watch = CameraWatch()
    assert watch.state("Bed", works=True, reason=None, now=0.0, at=5.0) is None
    watch.state("Bed", works=False, reason="timed out", now=10.0, at=5.0)
    assert look(watch, 10.0 + CAMERA_SECONDS - 1) == []
    (alert,) = watch.look(Phase.PRINTING, 10.0 + CAMERA_SECONDS, 5.0)
    assert (alert.title, alert.kind) == ("Camera Has Stopped", "PRINTER_ERROR")
    assert alert.text.startswith("The camera Bed has given no picture for 120 s: timed out.")
    assert look(watch, 9999.0) == []
    back = watch.state("Bed", works=True, reason=None, now=9999.0, at=6.0)
    assert back is not None
    assert (back.title, back.event_class) == ("Camera Is Back", "INFO")
    assert watch.state("Bed", works=True, reason=None, now=9999.5, at=6.0) is None


def test_a_camera_that_never_worked_or_that_nobody_needs_is_not_told() -> None:
    watch = CameraWatch()
    watch.state("Broken", works=False, reason="404", now=0.0, at=5.0)
    watch.state("", works=True, reason=None, now=0.0, at=5.0)
    watch.state("", works=False, reason=None, now=1.0, at=5.0)
    for phase in (Phase.PAUSED, Phase.OPERATIONAL, Phase.OFFLINE):
        assert look(watch, 9999.0, phase) == []
    assert look(watch, 9999.0) == ["Camera Has Stopped"]
    watch.forget()
    assert look(watch, 99999.0) == []


def test_a_short_loss_is_none() -> None:
    watch = CameraWatch()
    watch.state("a", works=True, reason=None, now=0.0, at=5.0)
    watch.state("a", works=False, reason="x", now=1.0, at=5.0)
    assert watch.state("a", works=True, reason=None, now=60.0, at=5.0) is None
    assert look(watch, 9999.0) == []


def test_cameras_are_bounded() -> None:
    watch = CameraWatch()
    for number in range(CAMERAS_KEPT + 5):
        watch.state(str(number), works=True, reason=None, now=0.0, at=5.0)
        watch.state(str(number), works=False, reason="x", now=0.0, at=5.0)
    assert len(look(watch, 9999.0)) == CAMERAS_KEPT


class Oven:
    def __init__(self) -> None:
        self.watch, self.now, self.told = ThermalWatch(), 0.0, list[AlertRaised]()

    def hold(self, seconds: float, phase: Phase = Phase.PRINTING, **heaters: tuple[float | None, float | None]) -> int:
        """So long with these temperatures (actual, target); how many alerts came."""
        report = PrinterReport(phase, temperatures={name: Temperature(*read) for name, read in heaters.items()})
        before = len(self.told)
        for _ in range(int(seconds)):
            self.told += self.watch.look(report, phase, self.now, 5.0)
            self.now += 1.0
        return len(self.told) - before


def test_a_heater_that_drifts_is_told() -> None:
    oven = Oven()
    assert oven.hold(300, tool0=(30.0, 215.0), bed=(25.0, 60.0)) == 0  # heating up
    assert oven.hold(300, tool0=(213.0, 215.0), bed=(60.0, 60.0)) == 0
    assert oven.hold(FAR_SECONDS - 1, tool0=(190.0, 215.0), bed=(60.0, 60.0)) == 0
    assert oven.hold(3, tool0=(188.0, 215.0), bed=(60.0, 60.0)) == 1
    (alert,) = oven.told
    assert alert.text == "tool0 is at 188 °C for over 60 s, though its target is 215 °C. Look at the printer now."
    assert (alert.topic, alert.event_class) == ("heater tool0", "ERROR")


def test_what_is_no_drift() -> None:
    oven = Oven()
    oven.hold(10, tool0=(215.0, 215.0), bed=(60.0, 60.0), chamber=(40.0, 40.0))
    assert oven.hold(30, tool0=(190.0, 215.0)) == 0  # a cold draught, over in time
    assert oven.hold(300, tool0=(205.0, 215.0)) == 0
    assert oven.hold(300, tool0=(215.0, 160.0)) == 0  # a new target has to be reached first
    assert oven.hold(10, tool0=(160.0, 160.0)) == 0
    assert oven.hold(300, Phase.PAUSED, tool0=(60.0, 160.0)) == 0
    assert oven.hold(300, tool0=(60.0, 160.0)) == 0  # heating up again
    assert oven.hold(300, tool0=(None, 160.0), bed=(20.0, None), chamber=(20.0, 40.0)) == 0


def test_too_hot_is_told_too() -> None:
    oven = Oven()
    oven.hold(5, bed=(60.0, 60.0))
    assert oven.hold(FAR_SECONDS + 1, bed=(90.0, 60.0)) == 1


@pytest.mark.parametrize("target", [0.0, None])
def test_a_heater_that_is_off_is_nobodys_worry(target: float | None) -> None:
    oven = Oven()
    oven.hold(5, tool0=(215.0, 215.0))
    assert oven.hold(600, tool0=(25.0, target)) == 0

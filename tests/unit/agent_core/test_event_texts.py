"""Words of real firmwares, and what they mean."""

from __future__ import annotations

import time

import pytest

from agent_core.features.event_texts import Sign, complaint, error, small_talk, told


@pytest.mark.parametrize(
    ("line", "sign"),
    [
        ("// action:paused", Sign.PAUSED_ITSELF),
        ("//action:paused", Sign.PAUSED_ITSELF),
        ("echo:busy: paused for user", Sign.CHANGE),
        ('echo:enqueing "M600"', Sign.CHANGE),
        ("// M600", Sign.CHANGE),
        ("//action:prompt_begin Insert filament and press button", Sign.CHANGE),
        ("echo:Filament runout detected", Sign.RUN_OUT),
        ("// Filament Runout: sensor T0", Sign.RUN_OUT),
        ("fsensor: filament sensor triggered", Sign.RUN_OUT),
        ("Heating disabled by safety timer.", Sign.IDLE),
        ("//action:prompt_begin Nozzle Timeout", Sign.IDLE),
        ("echo:Heater Timeout", Sign.IDLE),
    ],
)
def test_small_talk(line: str, sign: Sign) -> None:
    assert small_talk(line) is sign


@pytest.mark.parametrize(
    "line",
    [
        "ok", "ok T:210.0 /210.0 B:60.0 /60.0 @:64 B@:32", "T:205.1 /210.0", "echo:busy: processing", "wait",
        "X:1.00 Y:2.00 Z:3.00 E:600.00 Count X:0", "// action:resumed", "// action:pause", "echo:M6001 unknown",
        "FIRMWARE_NAME:Marlin 2.1 EXTRUDER_COUNT:1 UUID:m6000", "// Klipper state: Ready", "Probe: m7012",
        "echo:Home offset", "Cap:RUNOUT:1", "// Must home axis first",
    ],
)  # fmt: skip
def test_what_is_small_talk_only(line: str) -> None:
    assert small_talk(line) is None


@pytest.mark.parametrize(
    ("text", "sign"),
    [
        ("Heater extruder not heating at expected rate", Sign.THERMAL),
        ("MCU 'mcu' shutdown: ADC out of range", Sign.THERMAL),
        ("Thermal Runaway, system stopped! Heater_ID: 0", Sign.THERMAL),
        ("Heating failed, system stopped! Heater_ID: bed", Sign.THERMAL),
        ("MAXTEMP triggered, system stopped! Heater_ID: 0", Sign.THERMAL),
        ("MINTEMP triggered", Sign.THERMAL),
        ("Lost communication with MCU 'mcu'", Sign.BOARD),
        ("MCU 'mcu' shutdown: Timer too close", Sign.BOARD),
        ("Must home axis first: 10.000 10.000 5.000 [0.000]", Sign.HOMING),
        ("No trigger on x after full movement", Sign.HOMING),
        ("Filament runout", Sign.RUN_OUT),
        ("Move out of range: 999.000 50.000 0.600 [0.000]", None),
        ("Printer halted. kill() called!", None),
        ("// action:paused", None),
    ],
)
def test_complaints(text: str, sign: Sign | None) -> None:
    assert complaint(text) is sign


def test_what_is_told_of_each() -> None:
    for sign in Sign:
        alert = told(sign, "x" * 900, 5.0)
        assert (len(alert.text), alert.at, bool(alert.topic)) == (300, 5.0, True)
        assert alert.every == (600.0 if alert.kind == "FILAMENT_CHANGE" else 1800.0)
    assert error("kill() called", 1.0, "Printer Error").title == "Printer Error"
    assert error("kill() called", 1.0, "Printer Error").event_class == "ERROR"
    assert error("MAXTEMP triggered", 1.0, "Printer Error").title == "Heater Trouble"


def test_a_line_costs_microseconds() -> None:
    """OctoPrint's receiving thread reads each line of a print through this."""
    line = "ok T:210.0 /210.0 B:60.0 /60.0 @:64 B@:32"
    begun = time.perf_counter()
    for _ in range(1000):
        small_talk(line)
    assert time.perf_counter() - begun < 0.5
    for vicious in ("heater " * 9000, "filament " * 9000, "nozzle off " * 9000):
        begun = time.perf_counter()
        small_talk(vicious)
        complaint(vicious)
        assert time.perf_counter() - begun < 0.5

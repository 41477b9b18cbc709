"""What is told of Klipper beside the life of a print."""

from __future__ import annotations

from typing import Any

import pytest

from agent_core.errors import AgentError, Unreachable
from agent_core.model import AlertRaised
from agent_core.ports import HttpRequest, HttpResponse
from moonraker_obico.events import KlipperEvents, complained, stopped
from moonraker_obico.frames import LONGEST_FRAME
from moonraker_obico.klippy import Klippy
from moonraker_obico.moonraker_socket import Address
from moonraker_obico.objects import TIMELAPSE_MACRO, Status, merge, subscription
from moonraker_obico.pause_cause import PauseCause, last_line
from tests.unit.moonraker_obico.test_translate import T0, Told, full

SWITCH, MOTION = "filament_switch_sensor runout", "filament_motion_sensor encoder"


class Printer:
    """A status that changes bit by bit, and what is told of it."""

    def __init__(self, **changes: Any) -> None:
        self.events = KlipperEvents()
        self.now = T0
        self.status: Status = {
            "print_stats": {"state": "printing"},
            "toolhead": {"homed_axes": "xyz"},
            "idle_timeout": {"state": "Printing"},
            "display_status": {"message": None},
            "heaters": {"available_heaters": ["extruder", "heater_bed"]},
            "extruder": {"target": 215.0},
            "heater_bed": {"target": 60.0},
            SWITCH: {"filament_detected": True, "enabled": True},
            MOTION: {"filament_detected": True, "enabled": True},
        }
        merge(self.status, changes)
        self.events.prime(self.status)

    def change(self, **changes: dict[str, Any]) -> list[str]:
        return [alert.title for alert in self.alerts(changes)]

    def alerts(self, changes: dict[str, dict[str, Any]]) -> list[AlertRaised]:
        merge(self.status, changes)
        self.now += 0.25
        return self.events.look(self.status, self.now)

    def pause(self) -> None:
        assert self.change(print_stats={"state": "paused"}) == []


def test_a_sensor_that_feels_no_filament_any_more_is_told() -> None:
    printer = Printer()
    (alert,) = printer.alerts({SWITCH: {"filament_detected": False}})
    assert (alert.title, alert.kind, alert.topic, alert.every) == (
        "Filament Has Run Out", "FILAMENT_CHANGE", "filament", 600.0,
    )  # fmt: skip
    assert alert.text == "The filament sensor runout feels no filament."
    assert printer.change(display_status={"message": "x"}) == []  # once
    assert printer.alerts({MOTION: {"filament_detected": False}})[0].title == "Filament Does Not Move"


def test_the_pause_may_come_in_the_same_update() -> None:
    changes: dict[str, Any] = {SWITCH: {"filament_detected": False}, "print_stats": {"state": "paused"}}
    assert [alert.title for alert in Printer().alerts(changes)] == ["Filament Has Run Out"]


@pytest.mark.parametrize(
    "before",
    [{SWITCH: {"enabled": False}}, {"print_stats": {"state": "paused"}}, {"print_stats": {"state": "standby"}}],
)
def test_an_empty_sensor_that_is_nobodys_worry(before: dict[str, Any]) -> None:
    printer = Printer(**before)
    assert printer.alerts({SWITCH: {"filament_detected": False}}) == []


def test_what_is_found_is_no_news() -> None:
    printer = Printer(**{SWITCH: {"filament_detected": False}})
    assert printer.change(print_stats={"state": "printing"}) == []


def test_the_display_may_ask_for_filament() -> None:
    printer = Printer()
    (alert,) = printer.alerts({"display_status": {"message": "Please change filament"}})
    assert alert.title == "Filament Change Required"
    assert alert.text == "The printer's display says: Please change filament"
    assert printer.change(display_status={"message": "Layer 3 of 7"}) == []


@pytest.mark.parametrize("first", ["heat", "idle"])
def test_heaters_that_go_off_by_the_idle_timeout_are_told(first: str) -> None:
    printer = Printer()
    printer.pause()
    off = {"extruder": {"target": 0.0}, "heater_bed": {"target": 0.0}}
    idle = {"idle_timeout": {"state": "Idle"}}
    told = [alert for changes in ((off, idle) if first == "heat" else (idle, off)) for alert in printer.alerts(changes)]
    assert [(alert.title, alert.topic) for alert in told] == [("Heaters Turned Off in the Pause", "idle")]
    assert printer.change(display_status={"message": "x"}) == []


def test_heaters_that_a_person_switches_off_in_a_pause_are_no_news() -> None:
    printer = Printer()
    printer.pause()
    assert printer.change(extruder={"target": 0.0}, heater_bed={"target": 0.0}) == []
    printer.now += 600.0
    assert printer.change(idle_timeout={"state": "Idle"}) == []


def test_motors_off_in_a_pause_are_told_and_at_a_prints_end_not() -> None:
    printer = Printer()
    assert printer.change(toolhead={"homed_axes": ""}) == []
    printer = Printer()
    printer.pause()
    (alert,) = printer.alerts({"toolhead": {"homed_axes": "z"}})
    assert (alert.title, alert.topic, alert.event_class) == ("Printer Has Lost Its Position", "homing", "ERROR")
    assert "where x, y is" in alert.text


def test_lines_of_klipper() -> None:
    printer = Printer()
    (alert,) = printer.events.line("// Filament runout detected", T0)
    assert (alert.title, alert.text) == ("Filament Has Run Out", "Klipper says: Filament runout detected")
    assert printer.events.line("// probe at 1,2 is z=0.1", T0) == []
    printer.pause()
    assert printer.events.line("// M600", T0) == []


def test_complaints_and_stops_by_what_they_are_about() -> None:
    assert complained("Move out of range", T0).title == "Klipper Reports an Error"
    assert complained("Must home axis first", T0).title == "Printer Has Lost Its Position"
    titles = {
        "Heater extruder not heating at expected rate": "Heater Trouble",
        "MCU 'mcu' shutdown: ADC out of range": "Heater Trouble",
        "Lost communication with MCU 'mcu'": "Controller Board Lost",
        "Shutdown due to webhooks request": "Klipper Has Stopped",
    }
    assert {reason: stopped(reason, T0).title for reason in titles} == titles
    assert all(stopped(reason, T0).event_class == "ERROR" for reason in titles)


def test_the_stop_belongs_to_the_print_that_it_ends() -> None:
    told = Told()
    told.printing()
    reason = "Lost communication with MCU 'mcu'\nOnce the underlying issue is corrected, use FIRMWARE_RESTART"
    told.take(told.translator.klippy_changed(Klippy.SHUTDOWN, reason, T0 + 5))
    alert = told.events[0]
    assert isinstance(alert, AlertRaised)
    assert alert.text == "Lost communication with MCU 'mcu'"
    assert len([event for event in told.events if isinstance(event, AlertRaised)]) == 1


def test_a_run_out_reaches_the_agent() -> None:
    told = Told()
    told.printing()
    told.take(told.translator.status_changed({SWITCH: {"filament_detected": True, "enabled": True}}, T0 + 1))
    told.take(told.translator.status_changed({SWITCH: {"filament_detected": False}}, T0 + 2))
    assert [event.title for event in told.events if isinstance(event, AlertRaised)] == ["Filament Has Run Out"]


def test_sensors_are_followed_where_there_are_any() -> None:
    wanted = subscription(["print_stats", SWITCH, MOTION, "filament_width_sensor x"], {})
    assert wanted[SWITCH] == wanted[MOTION] == ["filament_detected", "enabled"]
    assert "filament_width_sensor x" not in wanted
    many = subscription([f"filament_switch_sensor {number}" for number in range(100)], {})
    assert len(many) == 16


def test_a_frame_that_never_ends_hides_no_pause() -> None:
    """The time-lapse macro was cut off: its flag stays."""
    told = Told()
    told.ready(full(), T0 - 1)
    told.printing()
    told.take(told.translator.status_changed({TIMELAPSE_MACRO: {"is_paused": True}}, T0 + 1))
    told.take(told.translator.status_changed({"print_stats": {"state": "paused"}}, T0 + 2))
    assert told.events == []
    told.take(told.translator.status_changed({"webhooks": {"state": "ready"}}, T0 + 2 + LONGEST_FRAME))
    assert [type(event).__name__ for event in told.events] == ["PrintPaused"]


# --- why a file paused its print --------------------------------------------------------------------------------------


class Http:
    def __init__(self, answer: HttpResponse | AgentError) -> None:
        self.answer, self.requests = answer, list[HttpRequest]()

    def send(self, request: HttpRequest) -> HttpResponse:
        self.requests.append(request)
        if isinstance(self.answer, AgentError):
            raise self.answer
        return self.answer

    def close(self) -> None: ...


class Clock:
    def now(self) -> float:
        return T0

    def monotonic(self) -> float:
        return 1.0


def cause(answer: HttpResponse | AgentError, position: int = 700) -> tuple[Http, list[AlertRaised]]:
    http, posted = Http(answer), list[AlertRaised]()
    objects: Status = {"print_stats": {"filename": "my dir/a.gcode"}, "virtual_sdcard": {"file_position": position}}
    looking = PauseCause(Address("::1", 7125), http, Clock(), lambda: objects, posted.append)
    looking.paused()
    for worker in looking.crew.workers:
        assert worker.join(10.0)
    return http, posted


@pytest.mark.parametrize("line", [b"M600", b"m600 ; tool 1", b"M701", b"CHANGE_FILAMENT T=1"])
def test_a_filament_change_in_the_file_is_told(line: bytes) -> None:
    http, (alert,) = cause(HttpResponse(206, {}, b"G1 X1\n" + line + b"\n; a comment\n\n"))
    assert (alert.title, alert.kind, alert.at) == ("Filament Change Required", "FILAMENT_CHANGE", T0)
    assert http.requests[0].url == "http://[::1]:7125/server/files/gcodes/my%20dir/a.gcode"
    assert http.requests[0].headers["Range"] == "bytes=188-699"


@pytest.mark.parametrize(
    "answer",
    [
        HttpResponse(206, {}, b"M600\nG1 X1 Y1\nPAUSE\n"),
        HttpResponse(206, {}, b""),
        HttpResponse(206, {}, b"; M600\n"),
        HttpResponse(200, {}, b"M600\n"),
        HttpResponse(404, {}, b"M600\n"),
        Unreachable("gone"),
    ],
)
def test_any_other_pause_is_no_event(answer: HttpResponse | AgentError) -> None:
    assert cause(answer)[1] == []


def test_without_a_position_nothing_is_asked() -> None:
    assert cause(HttpResponse(206, {}, b"M600\n"), position=0)[0].requests == []
    assert last_line(b"\xff\xfe;x\n") == "��"

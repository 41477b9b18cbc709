"""A viewer's jog, home and heating on a Klipper that behaves as the recordings show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from agent_core.errors import CommandFailed, Rejected, Unreachable
from moonraker_obico.control import KlipperControl

TOOLHEAD = {
    "homed_axes": "xyz", "position": [50.0, 60.0, 10.0, 0.0],
    "axis_minimum": [0.0, 0.0, -2.0, 0.0], "axis_maximum": [200.0, 200.0, 180.0, 0.0],
}  # fmt: skip


class Api:
    """Takes scripts; `refuse`: part of a script -> Klipper's words."""

    def __init__(self) -> None:
        self.scripts: list[str] = []
        self.refuse: dict[str, str] = {}
        self.toolhead: dict[str, Any] = dict(TOOLHEAD)
        self.status: dict[str, dict[str, Any]] = {
            "webhooks": {"state": "ready"},
            "print_stats": {"state": "standby"},
            "heaters": {
                "available_heaters": ["heater_bed", "extruder", "extruder1", "heater_generic chamber",
                                      "heater_generic _secret", "heater_generic dryer"],
            },
        }  # fmt: skip

    def call(self, method: str, params: Any = None, *, timeout: float | None = None, interrupt: Any = None) -> Any:
        assert method == "printer.gcode.script"
        assert timeout is not None
        assert timeout < 58
        self.scripts.append(params["script"])
        for part, words in self.refuse.items():
            if part in params["script"]:
                raise CommandFailed(words)
        return "ok"

    def objects(self) -> Mapping[str, Mapping[str, Any]]:
        return self.status

    def query(self, objects: Any, *, timeout: float = 10.0) -> Mapping[str, Mapping[str, Any]]:
        return dict.fromkeys(objects, self.toolhead)

    def wait_for(self, predicate: Any, *, timeout: float | None, interrupt: Any = None) -> bool:
        raise AssertionError("no call waits for a state")


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def control(api: Api) -> KlipperControl:
    return KlipperControl(api, lambda: None)


def test_a_jog_is_relative_and_leaves_the_modes_as_they_were(api: Api, control: KlipperControl) -> None:
    control.jog({"x": 10.0, "y": -2.5})
    control.jog({"z": 0.1})
    assert api.scripts == [
        "SAVE_GCODE_STATE NAME=obico_jog\nG91\nG0 X10 Y-2.5 F6000\nRESTORE_GCODE_STATE NAME=obico_jog",
        "SAVE_GCODE_STATE NAME=obico_jog\nG91\nG0 Z0.1 F600\nRESTORE_GCODE_STATE NAME=obico_jog",
    ]


def test_a_jog_that_klipper_refuses_is_told_and_its_modes_are_put_back(api: Api, control: KlipperControl) -> None:
    api.refuse["G0"] = "Move out of range: 50 60 10"
    with pytest.raises(CommandFailed, match="Move out of range"):
        control.jog({"x": 10.0})
    assert api.scripts[1:] == ["RESTORE_GCODE_STATE NAME=obico_jog"]


def test_a_jog_off_the_bed_or_of_an_axis_that_is_not_homed_is_not_begun(api: Api, control: KlipperControl) -> None:
    with pytest.raises(Rejected, match="X would go to 201 mm; it reaches 0 to 200 mm"):
        control.jog({"x": 151.0})
    with pytest.raises(Rejected, match="Z would go to -3 mm"):
        control.jog({"z": -13.0})
    api.toolhead["homed_axes"] = "xy"
    with pytest.raises(Rejected, match="home Z first"):
        control.jog({"x": 1.0, "z": 1.0})
    assert api.scripts == []
    api.toolhead["position"] = None  # not told: Klipper's own check has to do
    control.jog({"x": 1.0})
    assert len(api.scripts) == 1


def test_homing_names_the_axes_and_all_of_them_by_none(api: Api, control: KlipperControl) -> None:
    for axes in (["z"], ["x", "y"], ["x", "y", "z"]):
        control.home(axes)
    assert api.scripts == ["G28 Z", "G28 X Y", "G28"]


def test_heaters_have_the_names_of_every_payload(api: Api, control: KlipperControl) -> None:
    assert list(control.heaters()) == ["bed", "tool0", "tool1", "chamber", "dryer"]
    for heater, target in (("bed", 60.0), ("tool0", 215.5), ("tool1", 0.0), ("chamber", 45.0)):
        control.set_temperature(heater, target)
    assert api.scripts == [
        "SET_HEATER_TEMPERATURE HEATER=heater_bed TARGET=60",
        "SET_HEATER_TEMPERATURE HEATER=extruder TARGET=215.5",
        "SET_HEATER_TEMPERATURE HEATER=extruder1 TARGET=0",
        "SET_HEATER_TEMPERATURE HEATER=chamber TARGET=45",
    ]
    with pytest.raises(Rejected, match="no heater tool9"):
        control.set_temperature("tool9", 1.0)


@pytest.mark.parametrize(("state", "words"), [("printing", "a print is under way"), ("paused", "is paused")])
def test_in_a_print_it_heats_and_does_not_move(api: Api, control: KlipperControl, state: str, words: str) -> None:
    api.status["print_stats"] = {"state": state}
    with pytest.raises(Rejected, match=words):
        control.jog({"x": 1.0})
    with pytest.raises(Rejected, match=words):
        control.home(["x"])
    control.set_temperature("bed", 0.0)
    assert len(api.scripts) == 1


def test_while_a_command_of_ours_runs_nothing_moves(api: Api) -> None:
    with pytest.raises(Rejected, match="a resume is under way"):
        KlipperControl(api, lambda: "resume").home(["z"])


def test_without_klipper_nothing_is_sent(api: Api, control: KlipperControl) -> None:
    api.status["webhooks"] = {"state": "shutdown", "state_message": "MCU 'mcu' shutdown: Timer too close"}
    with pytest.raises(Rejected, match="Timer too close"):
        control.jog({"x": 1.0})
    with pytest.raises(Rejected, match="Timer too close"):
        control.set_temperature("bed", 0.0)
    api.status.clear()
    with pytest.raises(Rejected, match="not connected"):
        control.home(["z"])
    assert api.scripts == []


def test_a_lost_connection_is_not_mended_by_sending_more(api: Api, control: KlipperControl) -> None:
    def lost(*_: Any, **__: Any) -> Any:
        api.scripts.append("sent")
        raise Unreachable("the connection to Moonraker was lost before the answer")

    api.call = lost  # type: ignore[method-assign]
    with pytest.raises(Unreachable):
        control.jog({"x": 1.0})
    assert api.scripts == ["sent"]

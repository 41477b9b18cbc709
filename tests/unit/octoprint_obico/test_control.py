"""What viewers' calls do to OctoPrint's printer; a fake of it that keeps what it is asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from agent_core.errors import CommandFailed, Rejected
from agent_core.features.control import control_routes
from agent_core.passthru import URGENT, Route
from agent_core.wire.messages import PassthruCall
from octoprint_obico.control import OctoPrintControl
from octoprint_obico.file_list import MOST_FILES

PROFILE: dict[str, Any] = {
    "axes": {"x": {"speed": 6000, "inverted": True}, "y": {"speed": 6000, "inverted": False}, "z": {"speed": 200}},
    "volume": {"width": 220.0, "depth": 210.0, "height": 250.0},
    "extruder": {"count": 2, "sharedNozzle": False},
    "heatedBed": True,
    "heatedChamber": False,
}
FILES: dict[str, Any] = {
    "benchy.gcode": {"name": "benchy.gcode", "display": "Benchy (1).gcode", "type": "machinecode", "size": 7,
                     "hash": "ab", "history": [{"secret": 1}], "analysis": {"estimatedPrintTime": 60.0}},
    "parts": {"name": "parts", "type": "folder", "children": {
        "gear.gcode": {"name": "gear.gcode", "type": "machinecode", "size": 8},
        "empty": {"name": "empty", "type": "folder", "children": {}},
    }},
    "broken": None,
}  # fmt: skip


class Printer:
    def __init__(self) -> None:
        self.state = "OPERATIONAL"
        self.done: list[Any] = []

    def is_operational(self) -> bool:
        return self.state not in {"OFFLINE", "ERROR"}

    def is_closed_or_error(self) -> bool:
        return not self.is_operational()

    def get_state_id(self) -> str:
        return self.state

    def get_connection_options(self) -> dict[str, Any]:
        return {"ports": ["VIRTUAL", "/dev/ttyUSB0"], "baudrates": [250000], "portPreference": "/dev/ttyACM9",
                "baudratePreference": None, "autoconnect": False}  # fmt: skip

    def connect(self, **kwargs: Any) -> None:
        if kwargs.get("port") == "/dev/ttyUSB0":
            raise OSError("[Errno 13] Permission denied")
        self.done.append(("connect", kwargs))

    def select_file(self, path: str, sd: bool, *, printAfterSelect: bool, tags: set[str]) -> None:  # noqa: N803 - OctoPrint's names
        if path == "model.stl":
            raise ValueError("not machinecode")
        self.done.append(("select", path, sd, printAfterSelect))

    def __getattr__(self, name: str) -> Any:
        def take(*args: Any, tags: set[str]) -> None:
            assert "plugin:obico" in tags
            self.done.append((name, *args))

        if name.startswith("_") or name not in {"jog", "home", "set_temperature", "commands"}:
            raise AttributeError(name)
        return take


class Files:
    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.entries: dict[str, Any] = FILES

    def file_exists(self, storage: str, path: str) -> bool:
        assert storage == "local"
        if ".." in path:
            raise ValueError("outside")
        return path in {"benchy.gcode", "model.stl"}

    def list_files(self, **kwargs: Any) -> dict[str, Any]:
        self.asked.append(kwargs)
        if kwargs["path"] == "nowhere":
            raise FileNotFoundError(2, "no such folder")
        return {"local": self.entries}


class Profiles:
    def __init__(self) -> None:
        self.profile = dict(PROFILE)

    def get_current_or_default(self) -> dict[str, Any]:
        return self.profile


@dataclass
class Parts:
    printer: Printer = field(default_factory=Printer)
    profiles: Profiles = field(default_factory=Profiles)
    files: Files = field(default_factory=Files)
    file_errors: tuple[type[Exception], ...] = (OSError, ValueError)


class Bench:
    def __init__(self) -> None:
        self.parts = Parts()
        control = OctoPrintControl(self.parts)
        self.routes: dict[str, Route] = {**control_routes(control), **control.routes()}

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        target, _, func = name.partition(".")
        return self.routes[name].handler(PassthruCall(target, func, args, kwargs))

    @property
    def done(self) -> list[Any]:
        return self.parts.printer.done


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_jog_follows_the_profile_of_the_printer(bench: Bench) -> None:
    bench.call("_printer.jog", {"x": 10, "y": 2.5, "z": -0.1})
    assert bench.done == [("jog", {"x": -10, "y": 2.5, "z": -0.1})]  # X runs the other way
    with pytest.raises(Rejected, match="further than Z reaches"):
        bench.call("_printer.jog", {"z": 251})


def test_home_and_temperature(bench: Bench) -> None:
    bench.call("_printer.home", ["x", "y", "z"])
    bench.call("_printer.set_temperature", "extruder1", 200)
    bench.call("_printer.set_temperature", "heater_bed", 0)
    assert bench.done == [("home", ["x", "y", "z"]), ("set_temperature", "tool1", 200), ("set_temperature", "bed", 0)]
    with pytest.raises(Rejected, match="no such heater: 'chamber'"):
        bench.call("_printer.set_temperature", "chamber", 40)
    bench.parts.profiles.profile = {"extruder": {"count": 3, "sharedNozzle": True}, "heatedChamber": True}
    bench.call("_printer.set_temperature", "chamber", 40)
    with pytest.raises(Rejected, match="there are tool0, bed, chamber"):
        bench.call("_printer.set_temperature", "tool2", 200)


def test_commands_go_line_by_line_and_an_emergency_goes_first(bench: Bench) -> None:
    bench.call("_printer.commands", "M83\nT0\nG1 E5 F300")
    bench.call("_printer.commands", ["G28 X", "M114"])
    bench.parts.printer.state = "PRINTING"
    bench.call("_printer.commands", "G1 X1\nM112")
    bench.parts.printer.state = "ERROR"
    with pytest.raises(CommandFailed, match="cut its power"):
        bench.call("_printer.commands", "M112")
    assert bench.done == [
        ("commands", ["M83", "T0", "G1 E5 F300"]), ("commands", ["G28 X", "M114"]), ("commands", "M112"),
        ("commands", "M112"),
    ]  # fmt: skip
    lane = bench.routes["_printer.commands"].lane
    assert lane(PassthruCall("_printer", "commands", ("M112",))) == URGENT
    assert lane(PassthruCall("_printer", "commands", ("G28",))) == "_printer"
    assert lane(PassthruCall("_printer", "commands", ())) == "_printer"
    with pytest.raises(Rejected, match="G-code is wanted"):
        bench.call("_printer.commands", "G28", "G29")


@pytest.mark.parametrize(
    ("state", "words"),
    [("PRINTING", "a print is under way"), ("PAUSED", "a print is paused"), ("RESUMING", "a print is under way"),
     ("TRANSFERING_FILE", "busy .transfering file")],
)  # fmt: skip
def test_in_a_print_nothing_moves(bench: Bench, state: str, words: str) -> None:
    bench.parts.printer.state = state
    for name, args in (
        ("_printer.jog", [{"x": 1}]), ("_printer.home", ["z"]), ("_printer.commands", ["M104 S0\nG1 X1"]),
        ("_printer.select_file", ["benchy.gcode", None]),
    ):  # fmt: skip
        with pytest.raises(Rejected, match=words):
            bench.call(name, *args)
    with pytest.raises(Rejected, match="connected already"):
        bench.call("_printer.connect", "VIRTUAL", 250000)
    assert bench.done == []
    bench.call("_printer.commands", "M104 S0\nM106 S255")
    bench.call("_printer.set_temperature", "tool0", 0)
    assert len(bench.done) == 2


def test_without_a_printer_nothing_is_sent_and_it_is_said(bench: Bench) -> None:
    bench.parts.printer.state = "OFFLINE"
    for name, args in (
        ("_printer.jog", [{"x": 1}]), ("_printer.home", ["z"]), ("_printer.commands", ["M104 S0"]),
        ("_printer.select_file", ["benchy.gcode", None]), ("_printer.set_temperature", ["bed", 0]),
    ):  # fmt: skip
        with pytest.raises(Rejected, match="not connected"):
            bench.call(name, *args)


def test_selecting_a_file(bench: Bench) -> None:
    bench.call("_printer.select_file", "benchy.gcode", None, printAfterSelect="true")
    bench.call("_printer.select_file", "benchy.gcode", False)
    assert bench.done == [("select", "benchy.gcode", False, True), ("select", "benchy.gcode", False, False)]
    for args, kwargs, words in (
        ((), {}, "takes a path"), ((7, None), {}, "takes a path"), (("a", None, 1), {}, "takes a path"),
        (("nothing.gcode", None), {}, "has no file"), (("../../etc/passwd", None), {}, "has no file"),
        (("benchy.gcode", True), {}, "only files that OctoPrint keeps"),
        (("benchy.gcode", None), {"pos": 99}, "only files that OctoPrint keeps"),
    ):  # fmt: skip
        with pytest.raises(Rejected, match=words):
            bench.call("_printer.select_file", *args, **kwargs)
    with pytest.raises(CommandFailed, match="not machinecode"):
        bench.call("_printer.select_file", "model.stl", None)


def test_connecting_takes_only_ports_that_there_are(bench: Bench) -> None:
    assert bench.call("_printer.get_connection_options")["ports"] == ["VIRTUAL", "/dev/ttyUSB0"]
    bench.parts.printer.state = "OFFLINE"
    bench.call("_printer.connect", "VIRTUAL", 250000)
    bench.call("_printer.connect", "AUTO", "AUTO")
    bench.call("_printer.connect")
    assert bench.done == [("connect", {"port": "VIRTUAL", "baudrate": 250000}), ("connect", {}), ("connect", {})]
    with pytest.raises(CommandFailed, match="Permission denied"):
        bench.call("_printer.connect", "/dev/ttyUSB0", 250000)
    for args, words in (
        (("/etc/passwd", 250000), "no port"), ((["VIRTUAL"], 1), "no port"), (("VIRTUAL", "fast"), "is no number"),
        (("VIRTUAL", 3), "no baud rate"), (("VIRTUAL", 9600.5), "no baud rate"), ((1, 2, 3), "takes a port"),
    ):  # fmt: skip
        with pytest.raises(Rejected, match=words):
            bench.call("_printer.connect", *args)


def test_what_the_printer_tells_can_be_asked_and_no_other_attribute_reached(bench: Bench) -> None:
    assert bench.call("_printer.get_state_id") == "OPERATIONAL"
    assert bench.call("_printer.is_operational") is True
    with pytest.raises(Rejected, match="takes no arguments"):
        bench.call("_printer.get_state_id", "x")
    assert not {name for name in bench.routes if "__" in name or name.endswith(("disconnect", "script", "fake_ack"))}


def test_files_of_a_folder(bench: Bench) -> None:
    assert bench.call("_file_manager.list_files", path="", recursive=False, level=1) == {"local": {
        "benchy.gcode": {"name": "benchy.gcode", "display": "Benchy (1).gcode", "type": "machinecode", "size": 7,
                         "hash": "ab", "analysis": {"estimatedPrintTime": 60.0}},
        "parts": {"name": "parts", "type": "folder", "children": {
            "gear.gcode": {"name": "gear.gcode", "type": "machinecode", "size": 8},
            "empty": {"name": "empty", "type": "folder", "children": {}},
        }},
    }}  # fmt: skip
    bench.call("_file_manager.list_files", "local", "/parts/", recursive="true")
    assert bench.parts.files.asked == [
        {"locations": "local", "path": None, "recursive": False, "level": 1},
        {"locations": "local", "path": "parts", "recursive": True, "level": 0},
    ]
    for kwargs, words in (
        ({"path": "../.."}, "within"), ({"path": 7}, "path of a folder"), ({"path": "nowhere"}, "has no folder"),
        ({"locations": ["printer"]}, "only the files"), ({"filter": "x" * 101}, "at most 100"),
        ({"filter": 7}, "filter"),
    ):  # fmt: skip
        with pytest.raises(Rejected, match=words):
            bench.call("_file_manager.list_files", **kwargs)


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ("GEAR", {"parts"}), ("gear.*code", {"parts"}), ("benchy.gcode", {"benchy.gcode"}),
        ("^bench", {"benchy.gcode"}),
        (r"\(1\)", {"benchy.gcode"}), ("(1)", {"benchy.gcode"}), ("code.*gear", set()), ("(a+)+$", set()),
        ("", {"benchy.gcode", "parts"}), ("empty", {"parts"}),
    ],
)  # fmt: skip
def test_a_filter_is_a_search_and_never_a_pattern_that_could_run_for_hours(
    bench: Bench, wanted: str, names: set[str]
) -> None:
    found = bench.call("_file_manager.list_files", filter=wanted, recursive=True)["local"]
    assert set(found) == names
    if wanted == "GEAR":
        assert set(found["parts"]["children"]) == {"gear.gcode"}


def test_a_library_without_end_is_not_sent(bench: Bench) -> None:
    bench.parts.files.entries = {f"{number}.gcode": {"name": "x"} for number in range(MOST_FILES + 1)}
    with pytest.raises(Rejected, match="more than 5000 files"):
        bench.call("_file_manager.list_files")

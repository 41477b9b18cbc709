"""`moonraker_api.<path>`: each path of the catalogue, and everything that it keeps out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from agent_core.errors import Rejected, Unreachable
from agent_core.passthru import URGENT
from agent_core.wire.messages import PassthruCall
from moonraker_obico.control import KlipperControl
from moonraker_obico.jsonrpc import METHOD_NOT_FOUND, RpcError
from moonraker_obico.moonraker_api import MoonrakerApi


class Api:
    """Keeps what it is asked and answers with `results`, by method."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.results: dict[str, Any] = {}
        self.status: dict[str, dict[str, Any]] = {"webhooks": {"state": "ready"}, "print_stats": {"state": "standby"}}

    def call(self, method: str, params: Any = None, *, timeout: float | None = None, interrupt: Any = None) -> Any:
        assert timeout is not None
        assert timeout < 58
        self.asked.append((method, params))
        result = self.results.get(method, "ok")
        if isinstance(result, Exception):
            raise result
        return result

    def objects(self) -> Mapping[str, Mapping[str, Any]]:
        return self.status

    def query(self, objects: Any, *, timeout: float = 10.0) -> Mapping[str, Mapping[str, Any]]:
        raise AssertionError("not needed here")

    def wait_for(self, predicate: Any, *, timeout: float | None, interrupt: Any = None) -> bool:
        raise AssertionError("not needed here")


class Bench:
    def __init__(self) -> None:
        self.api = Api()
        self.route = MoonrakerApi(self.api, KlipperControl(self.api, lambda: None)).routes()["moonraker_api.*"]

    def call(self, path: str, /, *args: Any, **kwargs: Any) -> Any:
        return self.route.handler(PassthruCall("moonraker_api", path, args, kwargs))

    def lane(self, path: str, **kwargs: Any) -> str | None:
        return self.route.lane(PassthruCall("moonraker_api", path, (), kwargs))


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.mark.parametrize(
    ("path", "kwargs", "asked"),
    [
        ("printer/gcode/script", {"script": "G28 ;home"}, ("printer.gcode.script", {"script": "G28"})),
        ("printer.gcode.script", {"script": "M104 S200\nG1 X5"},
         ("printer.gcode.script", {"script": "M104 S200\nG1 X5"})),
        ("printer/objects/query?gcode_move", {}, ("printer.objects.query", {"objects": {"gcode_move": None}})),
        ("printer.objects.query?gcode_move&toolhead=position,homed_axes", {},
         ("printer.objects.query", {"objects": {"gcode_move": None, "toolhead": ["position", "homed_axes"]}})),
        ("printer/objects/query", {"objects": {"extruder": ["target"]}},
         ("printer.objects.query", {"objects": {"extruder": ["target"]}})),
        ("printer/objects/list", {}, ("printer.objects.list", {})),
        ("printer/info", {}, ("printer.info", {})),
        ("server/info", {}, ("server.info", {})),
        ("server/files/directory", {"path": "gcodes/sub dir", "extended": True},
         ("server.files.get_directory", {"path": "gcodes/sub dir", "extended": True})),
        ("server/files/directory", {}, ("server.files.get_directory", {"path": "gcodes", "extended": False})),
        ("server/files/list", {}, ("server.files.list", {"root": "gcodes"})),
        ("server/files/metadata?filename=a.b.gcode", {}, ("server.files.metadata", {"filename": "a.b.gcode"})),
        ("machine/device_power/devices", {}, ("machine.device_power.devices", {})),
        ("machine/device_power/device?device=psu", {}, ("machine.device_power.get_device", {"device": "psu"})),
        ("machine/device_power/status?psu", {}, ("machine.device_power.status", {"psu": None})),
    ],
)  # fmt: skip
def test_get_gives_what_moonraker_answers(bench: Bench, path: str, kwargs: dict[str, Any], asked: Any) -> None:
    bench.api.results[asked[0]] = {"some": "result"}
    assert bench.call(path, **kwargs) == {"some": "result"}
    assert bench.api.asked == [asked]


@pytest.mark.parametrize(
    ("path", "kwargs", "asked"),
    [
        ("printer/print/start", {"filename": "sub/vase.gcode"},
         ("printer.print.start", {"filename": "sub/vase.gcode"})),
        ("printer/gcode/script", {"script": "FIRMWARE_RESTART"},
         ("printer.gcode.script", {"script": "FIRMWARE_RESTART"})),
        ("machine/device_power/device?device=psu&action=off", {},
         ("machine.device_power.post_device", {"device": "psu", "action": "off"})),
        ("machine/device_power/on?lamp&fan", {}, ("machine.device_power.on", {"lamp": None, "fan": None})),
        ("machine/device_power/off?lamp", {}, ("machine.device_power.off", {"lamp": None})),
        ("printer/emergency_stop", {}, ("printer.emergency_stop", {})),
    ],
)  # fmt: skip
def test_post_gives_it_whole(bench: Bench, path: str, kwargs: dict[str, Any], asked: Any) -> None:
    assert bench.call(path, verb="post", **kwargs) == {"result": "ok"}
    assert bench.api.asked == [asked]


@pytest.mark.parametrize(
    "path",
    [
        "machine/shutdown", "machine/reboot", "machine/services/restart", "machine/services/stop",
        "machine/update/full", "machine/update/client", "machine/password",
        "machine/sudo/password", "access/api_key", "access/user",
        "access/oneshot_token", "server/config", "server/restart", "server/database/item", "server/logs/rollover",
        "server/files/config/moonraker.conf", "server/files/gcodes/a.gcode", "server/files/logs/klippy.log",
        "server/files/delete_file", "server/files/move", "server/files/upload", "server/files/zip",
        "server/webcams/item", "server/extensions/request", "server/jsonrpc", "printer/print/cancel",
        "printer/print/pause", "printer/print/resume", "api/version", "", "/", "..", "../../etc/passwd",
        "printer/gcode/../../server/config", "http://evil/", "printer", "printer/gcode/script/x", "__class__",
    ],
)  # fmt: skip
@pytest.mark.parametrize("verb", ["get", "post", "delete"])
def test_no_other_path_is_reached(bench: Bench, path: str, verb: str) -> None:
    with pytest.raises(Rejected, match=r"^Request not supported\. moonraker_api\."):
        bench.call(path, verb=verb)
    assert bench.api.asked == []


@pytest.mark.parametrize(
    ("path", "kwargs", "words"),
    [
        ("server/files/directory", {"path": "gcodes", "verb": "delete"}, "this path is called by get"),
        ("server/files/directory", {"path": "gcodes", "verb": "post"}, "this path is called by get"),
        ("printer/print/start", {"filename": "a.gcode"}, "this path is called by post"),
        ("server/files/directory", {"path": "config"}, "only the G-code folder"),
        ("server/files/directory", {"path": "gcodes/../config"}, "within the G-code folder"),
        ("server/files/directory", {"path": "/etc"}, "within the G-code folder"),
        ("server/files/directory", {"path": ["gcodes"]}, "no usable text"),
        ("server/files/directory", {"root": "logs"}, "'root' is not taken here"),
        ("server/files/list", {"root": "config"}, "only the G-code folder"),
        ("server/files/metadata", {"filename": "../x"}, "within the G-code folder"),
        ("server/files/metadata", {}, "'filename' is missing"),
        ("printer/print/start", {"verb": "post"}, "'filename' is missing"),
        ("printer/print/start", {"verb": "post", "filename": "a\nb"}, "no usable text"),
        ("printer/gcode/script", {}, "'script' is missing"),
        ("printer/gcode/script", {"script": "G28\nRUN_SHELL_COMMAND CMD=x"}, "not taken from afar"),
        ("printer/gcode/script", {"script": ["G28"]}, "is wanted, as one text"),
        ("printer/gcode/script", {"script": "G1\n" * 60}, "60 lines"),
        ("printer/objects/query", {}, "objects of Klipper"),
        ("printer/objects/query", {"toolhead": 5}, "no list"),
        ("printer/objects/query", {"x" * 2000: None}, "no usable text"),
        ("printer/objects/query", {"toolhead": ["x" * 2000]}, "no usable text"),
        ("machine/device_power/device", {}, "'device' is missing"),
        ("machine/device_power/device", {"device": "psu", "action": "explode"}, "switched on, off"),
        ("machine/device_power/on", {"verb": "post"}, "no device is named"),
        ("printer/info", {"force": True}, "'force' is not taken here"),
        ("printer/info?" + "&".join(f"a{n}" for n in range(60)), {}, "more than 40 arguments"),
        ("printer/info", {f"a{n}": 1 for n in range(60)}, "60 arguments"),
    ],
)
def test_what_a_path_does_not_take_is_said_as_clients_know_it(
    bench: Bench, path: str, kwargs: dict[str, Any], words: str
) -> None:
    with pytest.raises(Rejected, match=words) as refusal:
        bench.call(path, **kwargs)
    assert str(refusal.value).startswith(f'Error in calling "{path.partition("?")[0]}" - "{kwargs.get("verb", "get")}"')
    assert bench.api.asked == []


def test_oddities_of_a_call_are_refused(bench: Bench) -> None:
    with pytest.raises(Rejected, match="given by name"):
        bench.call("printer/info", "x")
    with pytest.raises(Rejected, match="a verb is"):
        bench.call("printer/info", verb=["get"])
    with pytest.raises(Rejected, match="at most 1000"):
        bench.call("printer/info?" + "a" * 2000)


def test_moonrakers_own_words_come_back(bench: Bench) -> None:
    bench.api.results["printer.gcode.script"] = RpcError("Must home axis first: 5 0 0", 400)
    with pytest.raises(Rejected) as refusal:
        bench.call("printer/gcode/script", script="G1 X5")
    assert str(refusal.value) == 'Error in calling "printer/gcode/script" - "get": Must home axis first: 5 0 0'
    bench.api.results["printer.info"] = Unreachable("Moonraker is not reachable")
    with pytest.raises(Rejected, match="is not reachable"):
        bench.call("printer/info")


def test_a_moonraker_without_power_devices_has_none(bench: Bench) -> None:
    bench.api.results["machine.device_power.devices"] = RpcError("Method not found", METHOD_NOT_FOUND)
    assert bench.call("machine/device_power/devices") == {"devices": []}
    bench.api.results["machine.device_power.devices"] = RpcError("Unauthorized", 401)
    with pytest.raises(Rejected, match="Unauthorized"):
        bench.call("machine/device_power/devices")


def test_webcams_are_listed_without_their_passwords(bench: Bench) -> None:
    camera = {"name": "front", "stream_url": "http://me:secret@cam/stream", "snapshot_url": "/webcam/?action=snapshot"}
    bench.api.results["server.webcams.list"] = {"webcams": [camera, "rubbish"], "secret": 1}
    found = bench.call("server/webcams/list")
    assert found == {"webcams": [{"name": "front", "stream_url": "http://***@cam/stream",
                                  "snapshot_url": "/webcam/?action=snapshot"}]}  # fmt: skip
    bench.api.results["server.webcams.list"] = "rubbish"
    assert bench.call("server/webcams/list") == {"webcams": []}


@pytest.mark.parametrize("state", ["printing", "paused"])
def test_in_a_print_temperatures_are_taken_and_nothing_that_ends_it(bench: Bench, state: str) -> None:
    bench.api.status["print_stats"]["state"] = state
    for path, kwargs in (
        ("printer/gcode/script", {"script": "G28"}),
        ("printer/gcode/script", {"script": "M104 S0\nRESTART"}),
        ("printer/print/start", {"filename": "a.gcode", "verb": "post"}),
        ("machine/device_power/device?device=psu&action=off", {"verb": "post"}),
        ("machine/device_power/device?device=psu&action=toggle", {"verb": "post"}),
        ("machine/device_power/off?psu", {"verb": "post"}),
    ):
        with pytest.raises(Rejected, match="a print is"):
            bench.call(path, **kwargs)
    assert bench.api.asked == []
    bench.call("printer/gcode/script", script="M104 S0\nM106 S255")
    bench.call("machine/device_power/on?lamp", verb="post")
    bench.call("machine/device_power/device?device=psu")
    assert len(bench.api.asked) == 3


def test_an_emergency_stop_waits_for_nothing(bench: Bench) -> None:
    bench.api.status["print_stats"]["state"] = "printing"
    bench.call("printer/gcode/script", script="M112")
    bench.call("printer.gcode.script", script="G28\nm112")
    bench.call("printer/emergency_stop", verb="post")
    assert bench.api.asked == [("printer.emergency_stop", {})] * 3
    assert bench.lane("printer/gcode/script", script="M112") == URGENT
    assert bench.lane("printer.emergency_stop", verb="post") == URGENT
    assert bench.lane("printer.gcode.script", script="G28") == "_printer"
    assert bench.lane("printer/gcode/script", script=7) == "_printer"
    assert bench.lane("printer/objects/query?toolhead") is None
    assert bench.lane("nobody/knows") is None


def test_after_an_emergency_stop_it_can_be_restarted_and_switched_off(bench: Bench) -> None:
    bench.api.status["webhooks"] = {"state": "shutdown", "state_message": "Shutdown due to webhooks request"}
    bench.api.status["print_stats"]["state"] = "printing"  # Klipper leaves it so; it means nothing any more
    bench.call("printer/gcode/script", script="FIRMWARE_RESTART")
    bench.call("machine/device_power/off?psu", verb="post")
    assert [method for method, _ in bench.api.asked] == ["printer.gcode.script", "machine.device_power.off"]


def test_what_is_not_known_yet_is_no_leave_to_switch_off(bench: Bench) -> None:
    bench.api.status.clear()
    bench.api.results["server.info"] = {"klippy_state": "ready"}
    with pytest.raises(Rejected, match="not known yet"):
        bench.call("machine/device_power/off?psu", verb="post")
    bench.api.results["server.info"] = {"klippy_state": "disconnected"}
    bench.call("machine/device_power/off?psu", verb="post")
    assert bench.api.asked[-1][0] == "machine.device_power.off"

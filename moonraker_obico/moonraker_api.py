"""`moonraker_api.<path>`: what viewers may ask of Moonraker (wire-protocol.md §8). A list of paths, each with what it
takes: nothing here reaches another file than G-code, the host's services, its settings or its accounts.

The calls go over the agent's own connection, so no address or key is ever handled here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import parse_qsl

from agent_core.errors import AgentError, Rejected
from agent_core.features import gcode_rules
from agent_core.features.camera_urls import shown
from agent_core.features.control import HOME_SECONDS
from agent_core.passthru import UNSUPPORTED, URGENT, Route
from agent_core.wire.messages import PassthruCall
from moonraker_obico.control import KlipperControl
from moonraker_obico.jsonrpc import METHOD_NOT_FOUND, RpcError
from moonraker_obico.klipper_api import KlipperApi

MOST_ARGUMENTS = 40
LONGEST_TEXT = 1000
"""Characters of an argument, a path or a file name; scripts have limits of their own."""

READ_SECONDS = 20.0
SCRIPT_SECONDS = HOME_SECONDS - 2

PRINTER = "_printer"
"""The lane of `_printer.jog` and its kin: what moves or heats keeps its order, whichever way it came."""

Arguments = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Path:
    """`methods`: Moonraker's own names by verb. `params`: raises Rejected, or gives what is sent."""

    methods: Mapping[str, str]
    params: Callable[[Arguments], Mapping[str, Any]]
    lane: str | None = None
    seconds: float = READ_SECONDS
    at_rest: Callable[[str, Arguments], bool] = lambda _verb, _arguments: False
    """Whether such a call is refused while a print is under way."""
    tidy: Callable[[Any], Any] = lambda result: result
    absent: Any = None
    """The answer where this Moonraker has no such component; None: its error."""


class MoonrakerApi:
    def __init__(self, api: KlipperApi, control: KlipperControl) -> None:
        self._api = api
        self._control = control

    def routes(self) -> dict[str, Route]:
        return {"moonraker_api.*": Route(self.call, seconds=HOME_SECONDS, lane=_lane)}

    def call(self, call: PassthruCall) -> Any:
        """Raises AgentError whose text begins as clients know it. GET gives what Moonraker answered, POST
        `{"result": …}` around it."""
        path, verb, arguments = _parsed(call)
        known = _PATHS.get(path)
        if known is None:
            raise Rejected(f"{UNSUPPORTED} moonraker_api.{path[:60]}")
        if verb not in known.methods:
            _fail(path, verb, f"this path is called by {' or '.join(known.methods)}")
        try:
            result = self._ask(known, verb, arguments)
        except AgentError as error:
            _fail(path, verb, str(error))
        return result if verb == "get" else {"result": result}

    def _ask(self, path: _Path, verb: str, arguments: Arguments) -> Any:
        params = path.params(arguments)
        method = path.methods[verb]
        if method == _SCRIPT:
            if gcode_rules.is_emergency(params["script"]):
                # As a script it would wait behind the one that is to be stopped.
                method, params = _EMERGENCY, {}
            else:
                why = self._control.why_busy_if_up()
                if why is not None:
                    gcode_rules.check_while_printing(str(params["script"]).split("\n"), why)
        elif path.at_rest(verb, params):
            why = self._control.why_busy_if_up()
            if why is not None:
                raise Rejected(f"refused: {why}")
        try:
            return path.tidy(self._api.call(method, params, timeout=path.seconds))
        except RpcError as error:
            if error.code == METHOD_NOT_FOUND and path.absent is not None:
                return path.absent
            raise


def _fail(path: str, verb: str, why: str) -> NoReturn:
    raise Rejected(f'Error in calling "{path[:100]}" - "{verb[:10]}": {why}')


def _parsed(call: PassthruCall) -> tuple[str, str, Arguments]:
    """Path, verb and arguments, of `printer.objects.query?gcode_move` and what came beside it. Raises Rejected."""
    if len(call.func) > LONGEST_TEXT:
        raise Rejected(f"{UNSUPPORTED} A path has at most {LONGEST_TEXT} characters.")
    raw, _, query = call.func.partition("?")
    # Dots stand for slashes; those of a file name are behind the question mark.
    path = raw.replace(".", "/").strip("/")
    kwargs = dict(call.kwargs)
    verb = kwargs.pop("verb", "get")
    if not isinstance(verb, str):
        raise Rejected("a verb is `get` or `post`")
    try:
        arguments: dict[str, Any] = dict(parse_qsl(query, keep_blank_values=True, max_num_fields=MOST_ARGUMENTS))
    except ValueError:
        _fail(path, verb, f"more than {MOST_ARGUMENTS} arguments")
    arguments.update(kwargs)
    if call.args:
        _fail(path, verb, "arguments are given by name")
    if len(arguments) > MOST_ARGUMENTS:
        _fail(path, verb, f"{len(arguments)} arguments, at most {MOST_ARGUMENTS} are taken")
    return path, verb.lower(), arguments


def _lane(call: PassthruCall) -> str | None:
    path = call.func.partition("?")[0].replace(".", "/").strip("/")
    known = _PATHS.get(path)
    if path == "printer/emergency_stop" or (
        path == "printer/gcode/script" and gcode_rules.is_emergency(call.kwargs.get("script"))
    ):
        return URGENT
    return known.lane if known is not None else None


# --- what each path takes ---------------------------------------------------------------------------------------------


def _take(arguments: Arguments, *names: str, needed: tuple[str, ...] = ()) -> dict[str, Any]:
    """Those of `names` that are there; an unknown one is refused rather than dropped."""
    for name in arguments:
        if name not in names:
            raise Rejected(f"{name[:40]!r} is not taken here")
    for name in needed:
        if not arguments.get(name):
            raise Rejected(f"{name!r} is missing")
    return dict(arguments)


def _text(value: object, what: str) -> str:
    if not isinstance(value, str) or not value or len(value) > LONGEST_TEXT or not value.isprintable():
        raise Rejected(f"{what} is no usable text")
    return value


def _nothing(arguments: Arguments) -> dict[str, Any]:
    return _take(arguments)


def _script(arguments: Arguments) -> dict[str, Any]:
    script = _take(arguments, "script", needed=("script",))["script"]
    if gcode_rules.is_emergency(script):
        return {"script": script}
    return {"script": "\n".join(gcode_rules.lines_of(script))}


def _objects(arguments: Arguments) -> dict[str, Any]:
    """`{"gcode_move": ""}` or `{"toolhead": "position,status"}`, as in a query; or `{"objects": {…}}`."""
    listed = arguments.get("objects") if set(arguments) == {"objects"} else arguments
    if not isinstance(listed, Mapping) or not listed or len(listed) > MOST_ARGUMENTS:
        raise Rejected("objects of Klipper are wanted, by their names")
    wanted: dict[str, list[str] | None] = {}
    for name, fields in listed.items():
        if isinstance(fields, str):
            fields = [field for field in fields.split(",") if field]  # noqa: PLW2901 - one of two ways to write it
        if not isinstance(fields, (list, type(None))):
            raise Rejected(f"the fields of {str(name)[:40]!r} are no list")
        wanted[_text(name, "an object's name")] = [_text(field, "a field's name") for field in fields or ()] or None
    return {"objects": wanted}


def _gcode_path(value: object) -> str:
    """A path below the G-code folder. Raises Rejected."""
    path = _text(value, "a path")
    if path.startswith("/") or "\\" in path or ".." in path.split("/"):
        raise Rejected("a path within the G-code folder is wanted")
    return path


def _directory(arguments: Arguments) -> dict[str, Any]:
    taken = _take(arguments, "path", "extended")
    path = _gcode_path(taken.get("path") or "gcodes")
    if path.partition("/")[0] != "gcodes":
        raise Rejected("only the G-code folder can be listed (gcodes/…)")
    return {"path": path, "extended": taken.get("extended") in (True, "true", "True", 1)}


def _files(arguments: Arguments) -> dict[str, Any]:
    if _take(arguments, "root").get("root", "gcodes") != "gcodes":
        raise Rejected("only the G-code folder can be listed")
    return {"root": "gcodes"}


def _filename(arguments: Arguments) -> dict[str, Any]:
    return {"filename": _gcode_path(_take(arguments, "filename", needed=("filename",))["filename"])}


def _device(arguments: Arguments) -> dict[str, Any]:
    taken = _take(arguments, "device", "action", needed=("device",))
    action = taken.get("action")
    if action not in (None, "on", "off", "toggle"):
        raise Rejected("a device is switched on, off or to the other of both")
    device = {"device": _text(taken["device"], "a device's name")}
    return device if action is None else {**device, "action": action}


def _devices(arguments: Arguments) -> dict[str, Any]:
    """`?a&b`: the names are the devices."""
    if not arguments:
        raise Rejected("no device is named")
    return {_text(name, "a device's name"): None for name in arguments}


def _switches_off(verb: str, params: Arguments) -> bool:
    """The power supply of a printer is such a device, and nobody can tell it from a lamp."""
    return verb == "post" and params.get("action") != "on"


def _webcams(result: Any) -> Any:
    """Without user names and passwords in their addresses."""
    cameras = result.get("webcams") if isinstance(result, dict) else None
    if not isinstance(cameras, list):
        return {"webcams": []}
    urls = ("stream_url", "snapshot_url")
    return {
        "webcams": [
            {key: _bare(value) if key in urls else value for key, value in camera.items()}
            for camera in cameras
            if isinstance(camera, dict)
        ]
    }


def _bare(url: Any) -> Any:
    return shown(url) if isinstance(url, str) and "@" in url else url


_SCRIPT = "printer.gcode.script"
_EMERGENCY = "printer.emergency_stop"

_PATHS: Mapping[str, _Path] = {
    "printer/info": _Path({"get": "printer.info"}, _nothing),
    "printer/objects/list": _Path({"get": "printer.objects.list"}, _nothing),
    "printer/objects/query": _Path({"get": "printer.objects.query", "post": "printer.objects.query"}, _objects),
    "printer/gcode/help": _Path({"get": "printer.gcode.help"}, _nothing),
    "printer/gcode/script": _Path({"get": _SCRIPT, "post": _SCRIPT}, _script, lane=PRINTER, seconds=SCRIPT_SECONDS),
    "printer/emergency_stop": _Path({"post": _EMERGENCY}, _nothing),
    "printer/print/start": _Path(
        {"post": "printer.print.start"}, _filename, lane=PRINTER, seconds=SCRIPT_SECONDS, at_rest=lambda *_: True
    ),
    "server/info": _Path({"get": "server.info"}, _nothing),
    "server/files/directory": _Path({"get": "server.files.get_directory"}, _directory),
    "server/files/list": _Path({"get": "server.files.list"}, _files),
    "server/files/metadata": _Path({"get": "server.files.metadata"}, _filename),
    "server/webcams/list": _Path({"get": "server.webcams.list"}, _nothing, tidy=_webcams),
    "machine/device_power/devices": _Path({"get": "machine.device_power.devices"}, _nothing, absent={"devices": []}),
    "machine/device_power/device": _Path(
        {"get": "machine.device_power.get_device", "post": "machine.device_power.post_device"},
        _device, lane=PRINTER, at_rest=_switches_off,
    ),
    "machine/device_power/on": _Path({"post": "machine.device_power.on"}, _devices, lane=PRINTER),
    "machine/device_power/off": _Path(
        {"post": "machine.device_power.off"}, _devices, lane=PRINTER, at_rest=_switches_off
    ),
    "machine/device_power/status": _Path({"get": "machine.device_power.status"}, _devices),
}  # fmt: skip

"""OctoPrint's hands for viewers' calls: agent_core's ControlPort, and the calls that OctoPrint alone has
(wire-protocol.md §8: `_printer.commands`, `select_file`, connecting, and what it knows).

Imports no OctoPrint; runs on the calls' own threads. Functions are listed: the public agent reaches any attribute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from agent_core.errors import CommandFailed, Rejected
from agent_core.features import gcode_rules
from agent_core.features.control import number_of, plain
from agent_core.passthru import URGENT, Route, own_target
from agent_core.wire.messages import PassthruCall
from octoprint_obico.file_list import LONGEST_PATH, FileQuery, listed
from octoprint_obico.printer import TAGS

MOST_TOOLS = 16

_PRINT = frozenset({"STARTING", "PRINTING", "PAUSING", "PAUSED", "RESUMING", "FINISHING", "CANCELLING"})

ASKED = ("get_current_data", "get_current_job", "get_current_temperatures", "get_state_id", "get_state_string",
         "is_operational", "is_printing", "is_paused", "is_ready")  # fmt: skip
"""Functions of OctoPrint's printer that only tell; clients may call them without arguments."""


class OctoPrintParts(Protocol):
    """What OctoPrint injects (bridge.OctoPrint)."""

    @property
    def printer(self) -> Any: ...

    @property
    def profiles(self) -> Any: ...

    @property
    def files(self) -> Any: ...

    @property
    def file_errors(self) -> tuple[type[Exception], ...]: ...


class OctoPrintControl:
    def __init__(self, octoprint: OctoPrintParts) -> None:
        self._printer = octoprint.printer
        self._profiles = octoprint.profiles
        self._files = octoprint.files
        self._file_errors = octoprint.file_errors

    # --- ControlPort --------------------------------------------------------------------------------------------------

    def heaters(self) -> Iterable[str]:
        profile = self._profile()
        extruder = _mapping(profile.get("extruder"))
        count = extruder.get("count")
        tools = 1 if extruder.get("sharedNozzle") or not isinstance(count, int) else min(max(count, 1), MOST_TOOLS)
        return [
            *(f"tool{number}" for number in range(tools)),
            *(["bed"] if profile.get("heatedBed", True) else []),
            *(["chamber"] if profile.get("heatedChamber") else []),
        ]

    def jog(self, moves: Mapping[str, float]) -> None:
        self._check_rest()
        profile = self._profile()
        axes, volume = _mapping(profile.get("axes")), _mapping(profile.get("volume"))
        for axis, distance in moves.items():
            room = volume.get({"x": "width", "y": "depth", "z": "height"}[axis])
            if isinstance(room, (int, float)) and abs(distance) > room > 0:
                raise Rejected(f"{plain(distance)} mm is further than {axis.upper()} reaches ({plain(room)} mm)")
        # As the buttons of OctoPrint's own page: the profile says which axes run the other way.
        directed = {
            axis: -distance if _mapping(axes.get(axis)).get("inverted") else distance
            for axis, distance in moves.items()
        }
        self._printer.jog({axis: _tidy(distance) for axis, distance in directed.items()}, tags=set(TAGS))

    def home(self, axes: Sequence[str]) -> None:
        self._check_rest()
        self._printer.home(list(axes), tags=set(TAGS))

    def set_temperature(self, heater: str, target: float) -> None:
        self._check_connected()
        self._printer.set_temperature(heater, _tidy(target), tags=set(TAGS))

    # --- OctoPrint's own ----------------------------------------------------------------------------------------------

    def routes(self) -> dict[str, Route]:
        return {
            "_printer.commands": Route(self._commands, lane=_commands_lane),
            "_printer.select_file": Route(self._select_file, while_printing=False),
            "_printer.get_connection_options": Route(lambda _: self._connection_options(), lane=_apart),
            "_printer.connect": Route(self._connect, while_printing=False),
            "_file_manager.list_files": Route(self._list_files),
            **{f"_printer.{name}": Route(self._asked(name), lane=_apart) for name in ASKED},
        }

    def _asked(self, name: str) -> Callable[[PassthruCall], Any]:
        def ask(call: PassthruCall) -> Any:
            if call.args or call.kwargs:
                raise Rejected(f"{name} takes no arguments")
            return getattr(self._printer, name)()

        return ask

    def _commands(self, call: PassthruCall) -> None:
        text = call.args[0] if len(call.args) == 1 else None
        if isinstance(text, (list, tuple)) and all(isinstance(line, str) for line in text):
            text = "\n".join(text)
        if gcode_rules.is_emergency(text):
            connected = self._printer.is_operational()
            self._printer.commands(gcode_rules.EMERGENCY, tags=set(TAGS))  # tried in any case
            if not connected:
                raise CommandFailed("OctoPrint is not connected to the printer and cannot stop it: cut its power")
            return
        lines = gcode_rules.lines_of(text)
        self._check_connected()
        why = self._why_busy()
        if why is not None:
            gcode_rules.check_while_printing(lines, why)
        self._printer.commands(list(lines), tags=set(TAGS))

    def _select_file(self, call: PassthruCall) -> None:
        path = call.args[0] if call.args else None
        sd = call.args[1] if len(call.args) > 1 else None
        wanted = call.kwargs.get("printAfterSelect", False)
        if not isinstance(path, str) or not path or len(path) > LONGEST_PATH or len(call.args) > 2:
            raise Rejected("select_file takes a path and where it is")
        if sd not in (None, False, "false", "local") or set(call.kwargs) - {"printAfterSelect"}:
            raise Rejected("only files that OctoPrint keeps can be selected from afar")
        self._check_rest()
        try:
            exists = self._files.file_exists("local", path)
        except self._file_errors:
            exists = False
        if not exists:
            raise Rejected(f"OctoPrint has no file {path[:100]!r}")
        try:
            self._printer.select_file(path, False, printAfterSelect=wanted in (True, "true"), tags=set(TAGS))
        except self._file_errors as error:
            raise CommandFailed(f"OctoPrint does not take {path[:100]!r}: {error or type(error).__name__}") from error

    def _connection_options(self) -> Any:
        return self._printer.get_connection_options()

    def _connect(self, call: PassthruCall) -> None:
        port, baudrate = (*call.args, None, None)[:2]
        if len(call.args) > 2 or call.kwargs:
            raise Rejected("connect takes a port and a baud rate")
        options = _mapping(self._connection_options())
        ports = [*options.get("ports", ()), options.get("portPreference"), "AUTO", None]
        if port not in ports:
            raise Rejected(f"there is no port {str(port)[:60]!r}; there are {', '.join(map(str, ports[:-2]))[:300]}")
        rate = None if baudrate in (None, "", "AUTO", 0) else number_of(baudrate, "the baud rate")
        if rate is not None and not (1200 <= rate <= 10_000_000 and rate == int(rate)):
            raise Rejected(f"{rate:g} is no baud rate")
        if not self._printer.is_closed_or_error():
            raise Rejected("the printer is connected already")
        chosen: dict[str, Any] = {} if port in (None, "AUTO") else {"port": port}
        if rate is not None:
            chosen["baudrate"] = int(rate)
        try:
            self._printer.connect(**chosen)
        except (OSError, ValueError, RuntimeError) as error:
            raise CommandFailed(f"OctoPrint could not connect: {error}") from error

    def _list_files(self, call: PassthruCall) -> Any:
        wanted = FileQuery.of(call)
        try:
            found = self._files.list_files(
                locations="local", path=wanted.path or None, recursive=wanted.recursive, level=wanted.level
            )
        except self._file_errors as error:
            raise Rejected(f"OctoPrint has no folder {wanted.path[:100]!r}") from error
        return {"local": listed(_mapping(found).get("local"), wanted.matches)}

    # --- what is there ------------------------------------------------------------------------------------------------

    def _profile(self) -> Mapping[str, Any]:
        return _mapping(self._profiles.get_current_or_default())

    def _check_connected(self) -> None:
        if not self._printer.is_operational():
            raise Rejected("the printer is not connected")

    def _check_rest(self) -> None:
        """Raises Rejected while the printer must be let alone."""
        self._check_connected()
        why = self._why_busy()
        if why is not None:
            raise Rejected(f"refused: {why}")

    def _why_busy(self) -> str | None:
        state = str(self._printer.get_state_id())
        if state == "OPERATIONAL":
            return None
        if state == "PAUSED":
            return "a print is paused; its place must not be lost"
        return "a print is under way" if state in _PRINT else f"the printer is busy ({state.lower().replace('_', ' ')})"


def _apart(_: PassthruCall) -> None:
    """Calls that only tell need not wait for those that move."""
    return


def _commands_lane(call: PassthruCall) -> str | None:
    return URGENT if any(map(gcode_rules.is_emergency, call.args[:1])) else own_target(call)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _tidy(value: float) -> float | int:
    """`10`, not `10.0`: OctoPrint writes it into the G-code as it is."""
    rounded = round(value, 3)
    return int(rounded) if rounded == int(rounded) else rounded

"""What goes with Klipper's and Moonraker's own optional parts: our macros, [spoolman]."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent_core.errors import Unreachable
from moonraker_obico.jsonrpc import Done, RpcError
from moonraker_obico.klipper_api import Objects
from moonraker_obico.macros import Macros
from moonraker_obico.spoolman import Spool, filament

LINK, LAYER = "gcode_macro _OBICO_LINK_STATUS", "gcode_macro _OBICO_LAYER_CHANGE"


class FakeCalls:
    """Keeps what is sent; the test answers."""

    def __init__(self, objects: Objects | None = None) -> None:
        self.known: Objects = objects or {}
        self.sent: list[tuple[str, Mapping[str, Any], Done]] = []
        self.open = True

    def objects(self) -> Objects:
        return self.known

    def send(self, method: str, params: Mapping[str, Any] | None, done: Done) -> None:
        if not self.open:
            raise Unreachable("away")
        self.sent.append((method, params or {}, done))

    def take(self, result: Any = "ok", error: RpcError | None = None) -> str:
        """Answers the oldest call; the G-code or the path that it carried."""
        _, params, done = self.sent.pop(0)
        done(result if error is None else None, error)
        return str(params.get("script") or params.get("path"))


def printer(*, linked: bool = False, connected: bool = False, state: str = "standby", layer: int = 0) -> Objects:
    return {
        "print_stats": {"state": state}, LINK: {"is_linked": linked, "connected": connected},
        LAYER: {"current_layer": layer},
    }  # fmt: skip


def test_the_variables_follow_the_link() -> None:
    calls = FakeCalls()
    macros = Macros(calls)
    macros.turn(linked=True, connected=True)
    assert calls.sent == []  # Klipper is away
    calls.known = printer()
    macros.turn(linked=True, connected=True)
    macros.turn(linked=True, connected=True)  # one at a time: behind a heat-up the answer takes minutes
    assert len(calls.sent) == 1
    assert calls.take() == "SET_GCODE_VARIABLE MACRO=_OBICO_LINK_STATUS VARIABLE=is_linked VALUE=True"
    calls.known = printer(linked=True)
    macros.turn(linked=True, connected=True)
    assert calls.take() == "SET_GCODE_VARIABLE MACRO=_OBICO_LINK_STATUS VARIABLE=connected VALUE=True"
    calls.known = printer(linked=True, connected=True)
    macros.turn(linked=True, connected=True)
    assert calls.sent == []
    macros.farewell()
    assert calls.take() == "SET_GCODE_VARIABLE MACRO=_OBICO_LINK_STATUS VARIABLE=connected VALUE=False"


def test_the_layer_is_set_back_after_a_print_and_never_in_one() -> None:
    calls = FakeCalls(printer(linked=True, connected=True, state="printing", layer=7))
    macros = Macros(calls)
    for state in ("printing", "paused"):
        calls.known = printer(linked=True, connected=True, state=state, layer=7)
        macros.turn(linked=True, connected=True)
        assert calls.sent == []
    calls.known = printer(linked=True, connected=True, state="complete", layer=7)
    macros.turn(linked=True, connected=True)
    assert calls.take() == "SET_GCODE_VARIABLE MACRO=_OBICO_LAYER_CHANGE VARIABLE=current_layer VALUE=0"


def test_what_klipper_refuses_is_not_said_again_until_it_has_restarted() -> None:
    """A macro of that name that somebody else wrote; then Moonraker goes away in mid-call."""
    calls = FakeCalls({"print_stats": {"state": "standby"}, LINK: {"is_linked": False}})
    macros = Macros(calls)
    macros.turn(linked=True, connected=True)
    calls.take(error=RpcError("Unknown gcode_macro variable 'is_linked'", 400))
    macros.turn(linked=True, connected=True)
    assert calls.sent == []
    known, calls.known = calls.known, {}
    macros.turn(linked=True, connected=True)
    calls.known = known
    calls.open = False
    macros.turn(linked=True, connected=True)
    calls.open = True
    macros.turn(linked=True, connected=True)
    assert calls.take().endswith("VARIABLE=is_linked VALUE=True")


def test_the_spool_in_use() -> None:
    calls = FakeCalls()
    seen: list[Mapping[str, str]] = []
    spool = Spool(calls, lambda: seen.append(spool.facts))
    spool.told({"spoolman_connected": True, "pending_reports": [], "spool_id": 3})
    spool.told({"spool_id": 3})
    answer = {"response": {"id": 3, "filament": {"name": "Galaxy Black", "material": "PLA", "vendor": {"name": "P"}}}}
    assert calls.take(answer) == "/v1/spool/3"
    assert seen == [{"SPOOL_ID": "3"}, {"SPOOL_ID": "3", "FILAMENT": "P PLA Galaxy Black"}]
    spool.told({"spool_id": 4})
    spool.told({"spool_id": 5})
    calls.take(answer)  # of spool 4, which is out of use by now
    calls.take(None, RpcError("Spoolman is away", 503))
    assert spool.facts == {"SPOOL_ID": "5"}
    spool.told({"spool_id": None})
    assert spool.facts == {}
    odd: Any
    for odd in (None, [], {"spool_id": True}, {"spool_id": "3"}, {"spool_id": -1}):
        spool.told(odd)
    assert spool.facts == {}
    assert calls.sent == []


def test_odd_answers_about_a_spool() -> None:
    odd: Any
    for odd in (None, {}, {"response": None}, {"response": {"filament": []}}, {"response": {"filament": {"name": 3}}}):
        assert filament(odd) is None
    assert filament({"response": {"filament": {"name": "x" * 500}}}) == "x" * 100

"""A stand-in without sockets and without waiting: time jumps to whatever is due next. For tests of G-code behaviour."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from demo.klippy.host import Host
from demo.klippy.options import Options
from demo.klippy.protocol import Protocol, Session


@dataclass(slots=True)
class ManualClock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


class SimulationStuck(Exception):
    """The awaited condition did not come true within the simulated time."""


@dataclass(slots=True)
class Request:
    """A request on its way; `answered` when `result` or `error` is set."""

    result: dict[str, Any] | None = None
    error: str | None = None
    answered: bool = False


@dataclass(slots=True)
class _Sockets:
    """Takes what the host would send."""

    responses: list[str] = field(default_factory=list)
    disconnects: int = 0

    def gcode_response(self, text: str) -> None:
        self.responses.append(text)

    def go_offline(self) -> None:
        self.disconnects += 1

    def go_online(self) -> None:
        """Nothing to open."""

    def hurry(self) -> None:
        """Status is asked for directly."""


class Simulation:
    """One host with a clock of its own, ready to print."""

    def __init__(self, options: Options) -> None:
        self.clock = ManualClock()
        self.host = Host(options, self.clock)
        self._sockets = _Sockets()
        self.host.listener = self._sockets
        self._protocol = Protocol(self.host)
        self._requests: dict[int, Request] = {}
        self._session = Session(self._answer)
        self.seen: dict[str, dict[str, Any]] = {}
        self.changes: dict[tuple[str, str], list[Any]] = {}
        self.run(options.startup_time + options.sensor_time + 0.1)

    @property
    def responses(self) -> list[str]:
        """All raw G-code answers so far."""
        return self._sockets.responses

    @property
    def disconnects(self) -> int:
        return self._sockets.disconnects

    def subscribe(self, *objects: str) -> None:
        """From now on `seen` is what a client knows, and `changes` each field's values one after the other."""
        template = {"method": "process_status_update"}
        answer = self.call("objects/subscribe", objects=dict.fromkeys(objects), response_template=template)
        self._merge((answer.result or {})["status"])

    def _merge(self, status: dict[str, dict[str, Any]]) -> None:
        for name, values in status.items():
            known = self.seen.setdefault(name, {})
            for key, value in values.items():
                if key not in known or known[key] != value:
                    self.changes.setdefault((name, key), []).append(value)
            known.update(values)

    def _answer(self, message: dict[str, Any]) -> None:
        if "id" not in message:
            self._merge(message["params"]["status"])
            return
        request = self._requests.pop(message["id"])
        request.answered = True
        request.result = message.get("result")
        request.error = message["error"]["message"] if "error" in message else None

    def send(self, method: str, **params: object) -> Request:
        """Hand a request over without waiting for its answer."""
        request = Request()
        self._requests[id(request)] = request
        self._protocol.handle(self._session, {"id": id(request), "method": method, "params": params})
        return request

    def call(self, method: str, **params: object) -> Request:
        """Send and wait for the answer."""
        request = self.send(method, **params)
        self.until(lambda: request.answered)
        return request

    def script(self, script: str) -> str | None:
        """Run G-code; the error's text, None if all went well."""
        return self.call("gcode/script", script=script).error

    def print_file(self, filename: str) -> str | None:
        return self.script(f'SDCARD_PRINT_FILE FILENAME="{filename}"')

    def status(self, name: str) -> dict[str, Any]:
        """A status object as a client sees it."""
        return self.host.printer.status(name, self.clock.now) or {}

    def _advance(self, limit: float) -> bool:
        """Do the next due thing; False if nothing is due before `limit`."""
        due = self.host.poll(max_steps=1)
        self._protocol.tick([self._session])
        dues = [d for d in (due, self._protocol.due()) if d is not None]
        if not dues or min(dues) > limit:
            return False
        self.clock.now = max(self.clock.now, min(dues))
        return True

    def run(self, seconds: float) -> None:
        """Let simulated time pass."""
        limit = self.clock.now + seconds
        while self._advance(limit):
            pass
        self.clock.now = limit
        self.host.poll(max_steps=1)

    def until(self, condition: Callable[[], bool], timeout: float = 36000.0) -> None:
        """Go on until `condition`. Raises SimulationStuck after `timeout` simulated seconds."""
        limit = self.clock.now + timeout
        while not condition():
            if not self._advance(limit):
                if condition():
                    return
                raise SimulationStuck(f"Not within {timeout} s: {self.status('print_stats')}, {self.responses[-3:]}")

    def settle(self) -> None:
        """Until the nozzle stands still."""
        self.until(lambda: not self.host.printer.toolhead.busy(self.clock.now))

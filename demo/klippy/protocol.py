"""Klippy's API: requests in, answers out, status subscriptions. Bytes and sockets are the server's business."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from demo.klippy.host import EMERGENCY_STOP, Host

Send = Callable[[dict[str, Any]], None]
MAX_PENDING = 256  # queries of one connection that wait for the next status tick

_ENDPOINTS = [
    "list_endpoints", "info", "emergency_stop", "register_remote_method", "gcode/help", "gcode/script",
    "gcode/restart", "gcode/firmware_restart", "gcode/subscribe_output", "objects/list", "objects/query",
    "objects/subscribe", "pause_resume/cancel", "pause_resume/pause", "pause_resume/resume", "query_endstops/status",
    "motion_report/dump_stepper",
]  # fmt: skip

Selection = Mapping[str, "list[str] | None"]


class RequestError(Exception):
    """A request that klippy answers with an error."""


@dataclass(slots=True)
class Pending:
    """A query that waits for the tick. `subscribe` makes it the connection's subscription."""

    request_id: Any
    objects: Selection
    template: dict[str, Any] | None


@dataclass(slots=True)
class Session:
    """One connected client. `send` queues one message."""

    send: Send
    template: dict[str, Any] | None = None
    objects: Selection = field(default_factory=dict)
    last: dict[str, dict[str, object]] = field(default_factory=dict)
    gcode_template: dict[str, Any] | None = None
    pending: list[Pending] = field(default_factory=list)


class Protocol:
    """Answers the requests of all sessions."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._next_tick: float | None = None
        self._methods: dict[str, Callable[[Session, Any, dict[str, Any]], dict[str, Any] | None]] = {
            "info": lambda _s, _i, _p: self._info(),
            "list_endpoints": lambda _s, _i, _p: {"endpoints": self._endpoints()},
            "emergency_stop": self._emergency_stop,
            "register_remote_method": lambda _s, _i, _p: {},
            "gcode/help": lambda _s, _i, _p: dict.fromkeys(("PAUSE", "RESUME", "CANCEL_PRINT"), "see Klipper"),
            "gcode/script": self._script,
            "gcode/restart": lambda s, i, _p: self._run(s, i, "RESTART"),
            "gcode/firmware_restart": lambda s, i, _p: self._run(s, i, "FIRMWARE_RESTART"),
            "gcode/subscribe_output": self._subscribe_output,
            "objects/list": lambda _s, _i, _p: {"objects": self._host.printer.object_names()},
            "objects/query": self._query,
            "objects/subscribe": self._subscribe,
            "pause_resume/pause": lambda s, i, _p: self._run(s, i, "PAUSE"),
            "pause_resume/resume": lambda s, i, _p: self._run(s, i, "RESUME"),
            "pause_resume/cancel": lambda s, i, _p: self._run(s, i, "CANCEL_PRINT"),
            "query_endstops/status": lambda _s, _i, _p: self._endstops(),
        }

    def handle(self, session: Session, message: object) -> None:
        """One request. A malformed one is answered with an error if it has an id, else ignored, as klippy does."""
        if not isinstance(message, dict):
            return
        request_id = message.get("id")
        method, params = message.get("method"), message.get("params") or {}
        try:
            if not isinstance(method, str) or not isinstance(params, dict):
                raise RequestError("Invalid request")
            handler = self._methods.get(method)
            if handler is None or method not in self._endpoints():
                raise RequestError(f"webhooks: No registered callback for path '{method}'")
            result = handler(session, request_id, params)
        except RequestError as error:
            self._answer(session, request_id, None, str(error))
            return
        if result is not None:
            self._answer(session, request_id, result)

    def _answer(self, session: Session, request_id: Any, result: dict[str, Any] | None, error: str = "") -> None:
        if request_id is None:
            return
        if result is None:
            session.send({"id": request_id, "error": {"error": "WebRequestError", "message": error}})
        else:
            session.send({"id": request_id, "result": result})

    def _endpoints(self) -> list[str]:
        return _ENDPOINTS if self._host.state == "startup" else [*_ENDPOINTS, "motion_report/dump_trapq"]

    def _info(self) -> dict[str, Any]:
        folder = str(self._host.options.gcodes.parent)
        return {
            "state": self._host.state,
            "state_message": self._host.message,
            "hostname": socket.gethostname(),
            # Moonraker refuses uploads to where Klipper's sources are: not the data folder itself.
            "klipper_path": f"{folder}/klipper",
            "python_path": sys.executable,
            "process_id": os.getpid(),
            "user_id": os.getuid(),
            "group_id": os.getgid(),
            "log_file": f"{folder}/logs/klippy.log",
            "config_file": f"{folder}/config/printer.cfg",
            "software_version": "v0.13.0-stand-in",
            "cpu_info": f"{os.cpu_count()} core",
        }

    def _endstops(self) -> dict[str, Any]:
        position = self._host.printer.toolhead.position
        return {axis: "TRIGGERED" if position[i] <= 0.0 else "open" for i, axis in enumerate("xyz")}

    def _emergency_stop(self, _session: Session, _request_id: Any, _params: dict[str, Any]) -> dict[str, Any]:
        self._host.shutdown(EMERGENCY_STOP)
        return {}

    def _script(self, session: Session, request_id: Any, params: dict[str, Any]) -> None:
        script = params.get("script")
        if not isinstance(script, str):
            raise RequestError("Missing Argument [script]")
        self._run(session, request_id, script)

    def _run(self, session: Session, request_id: Any, script: str) -> None:
        def answer(error: str | None) -> None:
            self._answer(session, request_id, {} if error is None else None, error or "")

        self._host.run(script, answer)

    def _subscribe_output(self, session: Session, _request_id: Any, params: dict[str, Any]) -> dict[str, Any]:
        session.gcode_template = _template(params)
        return {}

    def gcode_response(self, session: Session, text: str) -> None:
        if session.gcode_template is not None:
            session.send({**session.gcode_template, "params": {"response": text}})

    # -- status --------------------------------------------------------------------------------------------

    def _query(self, session: Session, request_id: Any, params: dict[str, Any]) -> None:
        self._enqueue(session, Pending(request_id, _selection(params), None))

    def _subscribe(self, session: Session, request_id: Any, params: dict[str, Any]) -> None:
        self._enqueue(session, Pending(request_id, _selection(params), _template(params)))

    def _enqueue(self, session: Session, pending: Pending) -> None:
        if len(session.pending) >= MAX_PENDING:
            raise RequestError("Too many queries are waiting")
        session.pending.append(pending)
        if self._next_tick is None:
            self._next_tick = self._host.clock()

    def due(self) -> float | None:
        """When the next status tick is, None while nobody asks."""
        return self._next_tick

    def hurry(self) -> None:
        if self._next_tick is not None:
            self._next_tick = self._host.clock()

    def tick(self, sessions: list[Session]) -> None:
        """Answer queries and send what changed, if the time has come."""
        now = self._host.clock()
        if self._next_tick is None or now < self._next_tick:
            return
        for session in sessions:
            self._update(session, now)
            self._answer_pending(session, now)
        # Klippy's ticks do not drift with the load; a late one does not make the next two come together.
        self._next_tick = max(now + self._host.options.tick * 0.5, self._next_tick + self._host.options.tick)
        if not any(s.objects or s.pending for s in sessions):
            self._next_tick = None

    def _update(self, session: Session, now: float) -> None:
        if not session.objects or session.template is None:
            return
        status = self._collect(session.objects, now)
        changed: dict[str, dict[str, object]] = {}
        for name, values in status.items():
            before = session.last.get(name, {})
            fields = {key: value for key, value in values.items() if key not in before or before[key] != value}
            if fields:
                changed[name] = fields
        session.last = status
        if changed:
            session.send({**session.template, "params": {"eventtime": round(now, 6), "status": changed}})

    def _answer_pending(self, session: Session, now: float) -> None:
        pending, session.pending = session.pending, []
        for query in pending:
            status = self._collect(query.objects, now)
            if query.template is not None:
                session.objects, session.template, session.last = query.objects, query.template, status
            self._answer(session, query.request_id, {"eventtime": round(now, 6), "status": status})

    def _collect(self, objects: Selection, now: float) -> dict[str, dict[str, object]]:
        collected: dict[str, dict[str, object]] = {}
        for name, wanted in objects.items():
            if name == "webhooks":
                values: dict[str, object] | None = {"state": self._host.state, "state_message": self._host.message}
            elif self._host.state == "startup":
                continue
            else:
                values = self._host.printer.status(name, now)
            if values is not None:
                chosen = values if wanted is None else {key: values[key] for key in wanted if key in values}
                # Lists that the models change in place must not change in what was sent.
                collected[name] = {k: list(v) if isinstance(v, list) else v for k, v in chosen.items()}
        return collected


def _selection(params: dict[str, Any]) -> Selection:
    objects = params.get("objects")
    if not isinstance(objects, dict):
        raise RequestError("Missing Argument [objects]")
    for wanted in objects.values():
        if wanted is not None and not (isinstance(wanted, list) and all(isinstance(w, str) for w in wanted)):
            raise RequestError("Invalid argument")
    return objects


def _template(params: dict[str, Any]) -> dict[str, Any]:
    template = params.get("response_template", {})
    if not isinstance(template, dict):
        raise RequestError("Invalid argument")
    return template

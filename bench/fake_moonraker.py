"""A Moonraker of a few lines, for what needs a thousand prints in minutes: answers what the agent asks, and plays
prints as fast as it is told. The figures of a single print are taken with the real one.
"""

from __future__ import annotations

import json
import queue
import threading
import time
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

OBJECTS: dict[str, dict[str, Any]] = {
    "webhooks": {"state": "ready", "state_message": "Printer is ready"},
    "print_stats": {
        "state": "standby", "filename": "", "message": "", "total_duration": 0.0, "print_duration": 0.0,
        "filament_used": 0.0, "info": {"total_layer": None, "current_layer": None},
    },
    "virtual_sdcard": {"progress": 0.0, "is_active": False, "file_position": 0},
    "display_status": {"message": None},
    "pause_resume": {"is_paused": False},
    "idle_timeout": {"state": "Ready"},
    "toolhead": {
        "homed_axes": "xyz", "extruder": "extruder", "axis_maximum": [200, 200, 180, 0], "position": [0, 0, 5, 0],
    },
    "gcode_move": {"speed_factor": 1.0, "extrude_factor": 1.0, "gcode_position": [0, 0, 5, 0]},
    "fan": {"speed": 0.0},
    "heaters": {"available_heaters": ["extruder", "heater_bed"], "available_sensors": ["extruder", "heater_bed"]},
    "extruder": {"temperature": 25.0, "target": 0.0, "can_extrude": False},
    "heater_bed": {"temperature": 25.0, "target": 0.0},
}  # fmt: skip


class FakeMoonraker:
    """One client at a time is enough. `with FakeMoonraker() as moonraker: moonraker.ready.wait()`."""

    def __init__(self) -> None:
        self.ready = threading.Event()
        self.job: dict[str, Any] | None = None
        self.calls: queue.Queue[tuple[str, float]] = queue.Queue()
        """Orders for the printer, with the moment (monotonic) at which they came."""
        self._ids = 0
        # Guards what follows: the client's thread and the player's both send.
        self._lock = threading.Lock()
        self._objects = json.loads(json.dumps(OBJECTS))
        self._client: ServerConnection | None = None
        self._server: Server = serve(self._serve, "127.0.0.1", 0, close_timeout=1)
        self.port: int = self._server.socket.getsockname()[1]
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> FakeMoonraker:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        if self._client is not None:
            self._client.close_socket()
        self._thread.join(5)

    def update(self, **objects: dict[str, Any]) -> None:
        """Changes fields and tells the subscriber."""
        with self._lock:
            for name, fields in objects.items():
                self._objects[name].update(fields)
            self._notify("notify_status_update", [objects, time.monotonic()])

    def begin(self, filename: str, started: float) -> None:
        self._ids += 1
        self.job = {
            "job_id": f"{self._ids:06X}", "filename": filename, "status": "in_progress", "start_time": started,
            "end_time": None, "total_duration": 0.0, "print_duration": 0.0, "filament_used": 0.0, "exists": True,
            "metadata": {"size": 1000, "modified": started, "estimated_time": 600, "object_height": 20.0},
        }  # fmt: skip
        self.update(print_stats={"state": "printing", "filename": filename, "total_duration": 0.1})
        with self._lock:
            self._notify("notify_history_changed", [{"action": "added", "job": self.job}])

    def end(self, state: str, at: float) -> None:
        assert self.job is not None
        self.job.update(status={"complete": "completed"}.get(state, state), end_time=at)
        self.update(print_stats={"state": state})
        with self._lock:
            self._notify("notify_history_changed", [{"action": "finished", "job": self.job}])

    def _notify(self, method: str, params: list[Any]) -> None:
        if self._client is not None and self.ready.is_set():
            self._send({"jsonrpc": "2.0", "method": method, "params": params})

    def _send(self, message: dict[str, Any]) -> None:
        client = self._client
        try:
            if client is not None:
                client.send(json.dumps(message))
        except (ConnectionClosed, OSError):
            self.ready.clear()

    def _serve(self, connection: ServerConnection) -> None:
        self._client = connection
        try:
            for frame in connection:
                came = time.monotonic()
                call = json.loads(frame)
                if call["method"].startswith("printer.print."):
                    self.calls.put((call["method"], came))
                answer = self._answer(call["method"], call.get("params") or {})
                with self._lock:
                    self._send({"jsonrpc": "2.0", "id": call["id"], **answer})
                if call["method"] == "printer.objects.subscribe":
                    self.ready.set()
        except (ConnectionClosed, OSError):
            pass
        finally:
            self.ready.clear()

    def _answer(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        match method:
            case "server.info":
                return {"result": {"klippy_connected": True, "klippy_state": "ready", "components": ["history"]}}
            case "server.connection.identify":
                return {"result": {"connection_id": 1}}
            case "printer.objects.list":
                return {"result": {"objects": list(self._objects)}}
            case "printer.objects.subscribe" | "printer.objects.query":
                wanted = {name: self._objects[name] for name in params["objects"] if name in self._objects}
                return {"result": {"eventtime": time.monotonic(), "status": wanted}}
            case "printer.info":
                return {"result": {"state": "ready", "software_version": "v0.13.0"}}
            case "server.webcams.list":
                return {"result": {"webcams": []}}
            case "server.history.list":
                jobs = [] if self.job is None else [self.job]
                return {"result": {"count": len(jobs), "jobs": jobs}}
            case "printer.print.pause" | "printer.print.resume" | "printer.gcode.script":
                return {"result": "ok"}
            case "server.files.metadata":
                job = self.job or {}
                return {"result": {"filename": params.get("filename"), **job.get("metadata", {})}}
        return {"error": {"code": -32601, "message": "Method not found"}}

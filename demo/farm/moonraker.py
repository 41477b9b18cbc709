"""What a Moonraker shows of a simulated printer: the calls that our agent makes, answered as the real one does.

The end-to-end tests take the real Moonraker; this one is for the numbers: ten of them in one process, with jobs of
seconds. It keeps its files in memory.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from agent_core.gcode.metadata import read_metadata
from demo.farm.printer import FILAMENT_AREA, Print, Refused, SimPrinter

MOST_FILES = 2_000
MOST_WAITING = 200
"""Notifications that a client may be behind; one that reads no more is cut off."""

HISTORY = 50
AMBIENT, NOZZLE, BED = 22.0, 210.0, 60.0


class SimMoonraker:
    """One printer's. `speed`: times what the slicer estimates; a file that does not say takes `seconds`. `slow`: so
    many seconds at the most pass before a file is kept, before a print is started, and before that is answered."""

    def __init__(self, printer: SimPrinter, speed: float, slow: float = 0.0, seconds: float = 60.0) -> None:
        self.printer = printer
        self._speed, self._slow, self._seconds = speed, slow, seconds
        self._chance = random.Random(printer.name)  # noqa: S311 - no secret
        self._starting: set[asyncio.Task[None]] = set()
        self._files: OrderedDict[str, tuple[bytes, float]] = OrderedDict()
        self._clients: dict[asyncio.Queue[str], WebSocket] = {}
        printer.told = self._told

    # --- HTTP ---

    async def http(self, request: Request) -> Response:
        path = request.url.path
        if path == "/server/files/upload" and request.method == "POST":
            return await self._upload(request)
        if path.startswith("/server/files/gcodes/"):
            found = self._files.get(path.removeprefix("/server/files/gcodes/"))
            return _error(404, "File does not exist") if found is None else Response(found[0])
        arguments: dict[str, Any] = dict(request.query_params)
        if path == "/printer/objects/query":
            arguments = {"objects": dict.fromkeys(arguments)}
        try:
            return JSONResponse({"result": self._call(path.strip("/").replace("/", "."), arguments)})
        except Refused as error:
            return _error(400, str(error))
        except KeyError:
            return _error(404, "Not Found")

    async def _upload(self, request: Request) -> Response:
        async with request.form(max_files=1) as form:
            file, checksum = form["file"], form.get("checksum")
            if not isinstance(file, UploadFile):
                return _error(400, "no file")
            content = await file.read()
            name = "/".join(part for part in (str(form.get("path", "")).strip("/"), file.filename or "") if part)
        if checksum and hashlib.sha256(content).hexdigest() != checksum:
            return _error(422, "File checksum mismatch")
        await self._dawdle()
        self._files[name] = (content, time.time())
        while len(self._files) > MOST_FILES:
            self._files.popitem(last=False)
        item = {"path": name, "root": "gcodes", "size": len(content), "modified": self._files[name][1]}
        return JSONResponse({"item": item, "print_started": False, "action": "create_file"}, 201)

    # --- JSON-RPC ---

    async def websocket(self, websocket: WebSocket) -> None:
        await websocket.accept()
        outgoing: asyncio.Queue[str] = asyncio.Queue(MOST_WAITING)
        sender = asyncio.create_task(_send_all(websocket, outgoing))
        try:
            while True:
                call = json.loads(await websocket.receive_text())
                if call["method"] == "printer.print.start" and self._slow:
                    # As Klipper does, it begins what it was told to, also when whoever told it is gone.
                    task = asyncio.create_task(self._start_slowly(call, outgoing))
                    self._starting.add(task)
                    task.add_done_callback(self._starting.discard)
                    continue
                if call["method"] == "printer.objects.subscribe":
                    self._clients[outgoing] = websocket
                self._answer(call, outgoing)
        except (WebSocketDisconnect, RuntimeError, ValueError):
            pass  # gone, cut off in the middle, or none of ours
        finally:
            self._clients.pop(outgoing, None)
            sender.cancel()

    async def _start_slowly(self, call: dict[str, Any], outgoing: asyncio.Queue[str]) -> None:
        await self._dawdle()
        late: asyncio.Queue[str] = asyncio.Queue(1)
        self._answer(call, late)
        await self._dawdle()
        _put(outgoing, late.get_nowait())

    async def _dawdle(self) -> None:
        if self._slow:
            await asyncio.sleep(self._slow * self._chance.random() ** 3)  # a moment as a rule, at times long

    def _answer(self, call: dict[str, Any], outgoing: asyncio.Queue[str]) -> None:
        answer: dict[str, Any]
        try:
            answer = {"result": self._call(call["method"], call.get("params") or {})}
        except Refused as error:
            answer = {"error": {"code": 400, "message": str(error)}}
        except KeyError:
            answer = {"error": {"code": -32601, "message": "Method not found"}}
        if "id" in call:
            _put(outgoing, json.dumps({"jsonrpc": "2.0", "id": call["id"], **answer}))

    def _notify(self, method: str, *params: Any) -> None:
        frame = json.dumps({"jsonrpc": "2.0", "method": method, "params": params})
        for outgoing in list(self._clients):
            if not _put(outgoing, frame):
                del self._clients[outgoing]

    def _told(self, what: str) -> None:
        names = ("print_stats", "virtual_sdcard", "display_status", "pause_resume", "extruder", "heater_bed")
        self._notify("notify_status_update", self._status(names[:3] if what == "progress" else names), time.monotonic())
        if what in {"added", "finished"}:
            self._notify("notify_history_changed", {"action": what, "job": self._job(self.printer.prints[-1])})

    def _call(self, method: str, params: dict[str, Any]) -> Any:
        return _FIXED[method] if method in _FIXED else _METHODS[method](self, params)

    # --- what is asked ---

    def _status(self, wanted: Any) -> dict[str, Any]:
        printer, now = self.printer, time.time()
        newest = printer.prints[-1] if printer.prints else None
        hot, spent, progress = printer.job is not None, printer.spent(now), printer.progress(now)
        every = {
            "webhooks": {"state": "ready", "state_message": "Printer is ready"},
            "print_stats": {
                "state": printer.state, "filename": newest.filename if newest else "", "message": "",
                "total_duration": spent, "print_duration": spent,
                "filament_used": newest.filament * progress if newest else 0.0,
                "info": {"total_layer": None, "current_layer": None},
            },
            "virtual_sdcard": {"progress": progress, "is_active": hot, "file_position": int(1000 * progress)},
            "display_status": {"message": None, "progress": progress},
            "pause_resume": {"is_paused": printer.state == "paused"},
            "idle_timeout": {"state": "Printing" if hot else "Ready"},
            "toolhead": {"homed_axes": "xyz", "extruder": "extruder", "axis_maximum": [200, 200, 180, 0],
                         "position": [0, 0, 5 + 20 * progress, 0]},
            "gcode_move": {"speed_factor": 1.0, "extrude_factor": 1.0, "gcode_position": [0, 0, 5 + 20 * progress, 0]},
            "fan": {"speed": 1.0 if hot else 0.0},
            "heaters": {"available_heaters": ["extruder", "heater_bed"],
                        "available_sensors": ["extruder", "heater_bed"]},
            "extruder": {"temperature": NOZZLE if hot else AMBIENT, "target": NOZZLE if hot else 0.0,
                         "can_extrude": hot},
            "heater_bed": {"temperature": BED if hot else AMBIENT, "target": BED if hot else 0.0},
        }  # fmt: skip
        return {name: every[name] for name in (every if wanted is None else wanted) if name in every}

    def _job(self, job: Print) -> dict[str, Any]:
        now = time.time()
        spent = max(0.0, (job.ended or now) - job.began - job.paused)
        share = min(1.0, spent / job.seconds)
        return {
            "job_id": f"{job.number:06X}", "filename": job.filename, "status": job.outcome or "in_progress",
            "start_time": job.began, "end_time": job.ended, "total_duration": spent, "print_duration": spent,
            "filament_used": job.filament * share, "exists": job.filename in self._files,
            "metadata": self._metadata({"filename": job.filename}) if job.filename in self._files else {},
        }  # fmt: skip

    def _metadata(self, params: dict[str, Any]) -> dict[str, Any]:
        content, modified = self._found(params)
        facts = read_metadata([content])
        return {"filename": params["filename"], "size": len(content), "modified": modified,
                "estimated_time": facts.estimated_time, "filament_total": facts.filament_total,
                "object_height": facts.object_height, "slicer": facts.slicer}  # fmt: skip

    def _found(self, params: dict[str, Any]) -> tuple[bytes, float]:
        found = self._files.get(str(params.get("filename")))
        if found is None:
            raise Refused(f"Unable to open file {params.get('filename')}")
        return found

    def _directory(self, params: dict[str, Any]) -> dict[str, Any]:
        folder = str(params.get("path", "gcodes")).removeprefix("gcodes").strip("/")
        inside = [(name.rpartition("/"), kept) for name, kept in self._files.items()]
        files = [{"filename": name, "size": len(content), "modified": modified}
                 for (parent, _, name), (content, modified) in inside if parent == folder]  # fmt: skip
        if folder and not files:
            raise Refused(f"Directory does not exist ({folder})")
        return {"dirs": [], "files": files, "disk_usage": {"total": 1, "used": 0, "free": 1}}

    def _start(self, params: dict[str, Any]) -> str:
        content, _ = self._found(params)
        facts = read_metadata([content])
        seconds = (facts.estimated_time or self._seconds * self._speed) / self._speed
        filament = facts.filament_total
        if filament is None:
            filament = (facts.filament_weight or 0.0) / 1.24e-3 / FILAMENT_AREA
        first = content.partition(b"\n")[0].decode("utf-8", "replace").strip("; \r")
        self.printer.begin(str(params["filename"]), first, seconds, filament, time.time())
        return "ok"

    def _jobs(self, _params: dict[str, Any]) -> dict[str, Any]:
        newest = [self._job(job) for job in reversed(self.printer.prints[-HISTORY:])]
        return {"count": len(self.printer.prints), "jobs": newest}

    def _objects(self, params: dict[str, Any]) -> dict[str, Any]:
        return {"eventtime": time.monotonic(), "status": self._status(params.get("objects") or {})}

    def _listed(self, _params: dict[str, Any]) -> dict[str, Any]:
        return {"objects": list(self._status(None))}

    def _pause(self, _params: dict[str, Any]) -> str:
        self.printer.pause(time.time())
        return "ok"

    def _resume(self, _params: dict[str, Any]) -> str:
        self.printer.resume(time.time())
        return "ok"

    def _cancel(self, _params: dict[str, Any]) -> str:
        self.printer.cancel(time.time())
        return "ok"


_METHODS: dict[str, Callable[[SimMoonraker, dict[str, Any]], Any]] = {
    "printer.objects.list": SimMoonraker._listed,
    "printer.objects.query": SimMoonraker._objects,
    "printer.objects.subscribe": SimMoonraker._objects,
    "server.history.list": SimMoonraker._jobs,
    "server.files.metadata": SimMoonraker._metadata,
    "server.files.get_directory": SimMoonraker._directory,
    "printer.print.start": SimMoonraker._start,
    "printer.print.pause": SimMoonraker._pause,
    "printer.print.resume": SimMoonraker._resume,
    "printer.print.cancel": SimMoonraker._cancel,
}
_FIXED: dict[str, Any] = {
    "server.info": {"klippy_connected": True, "klippy_state": "ready", "components": ["history", "file_manager"]},
    "server.connection.identify": {"connection_id": 1},
    "connection.register_remote_method": "ok",
    "server.webcams.list": {"webcams": []},
    "printer.info": {"state": "ready", "state_message": "Printer is ready", "software_version": "v0.13.0"},
    "printer.gcode.script": "ok",
}
"""Always the same; what stands in neither is `Method not found`."""


def _put(outgoing: asyncio.Queue[str], frame: str) -> bool:
    """False: whoever should read it reads no more."""
    if outgoing.full():
        return False
    outgoing.put_nowait(frame)
    return True


def _error(status: int, message: str) -> Response:
    return JSONResponse({"error": {"code": status, "message": message}}, status)


async def _send_all(websocket: WebSocket, outgoing: asyncio.Queue[str]) -> None:
    try:
        while True:
            await websocket.send_text(await outgoing.get())
    except (WebSocketDisconnect, RuntimeError):
        pass  # the reading side sees it too

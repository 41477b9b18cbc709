"""Feeds a recording of a websocket client of Moonraker to the Translator, as the connection would."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent_core.model import (
    ActivePrint,
    AlertRaised,
    HostEvent,
    NothingPrints,
    PrintBegan,
    PrintEnded,
    PrinterReported,
    PrinterUnknown,
    PrintFound,
    PrintPaused,
    PrintResumed,
)
from moonraker_obico.history import HistoryJob, read_job, read_jobs
from moonraker_obico.klippy import Klippy, Want
from moonraker_obico.translate import Translator

RECORDINGS = Path(__file__).parent.parent / "data" / "recordings" / "moonraker"


def lines(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        for line in file:
            yield json.loads(line)


@dataclass
class Replay:
    """The events of one recording; `told` shortens them to words, leaving out reports that change nothing."""

    path: Path
    remembered: ActivePrint | None = None
    events: list[tuple[float, HostEvent]] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    jobs: list[HistoryJob] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.translator = Translator(self.remembered)
        self.base = self._base()
        self._methods: dict[int, tuple[str, dict[str, Any]]] = {}
        self._last_phase = ""
        self._klippy_told = False

    def run(self) -> Replay:
        for line in lines(self.path):
            self._tick_until(self.base + line["t"])
            self._line(line)
        self._tick_until(self.base + line["t"] + 12.0)
        return self

    def run_from(self, start: float) -> Replay:
        """As `run`, by an agent that starts only then; what Moonraker's history held by then it can ask for."""
        for line in lines(self.path):
            if line["t"] < start:
                self._remember(line)
                continue
            self._tick_until(self.base + line["t"])
            self._line(line)
        self._tick_until(self.base + line["t"] + 12.0)
        return self

    def _remember(self, line: dict[str, Any]) -> None:
        frame = line["frame"]
        if line["dir"] == "send" and "method" in frame:
            self._methods[frame.get("id", -1)] = (frame["method"], frame.get("params") or {})
        if isinstance(frame, dict) and frame.get("method") == "notify_history_changed":
            self._keep(frame["params"][0])

    def _keep(self, change: dict[str, Any]) -> HistoryJob:
        job = read_job(change["job"])
        assert job is not None
        if change["action"] == "added":
            self.jobs.insert(0, job)
        elif self.jobs and self.jobs[0].ts == job.ts:
            self.jobs[0] = job
        return job

    def _base(self) -> float:
        """Unix time of t = 0, from the first history entry that was announced."""
        for line in lines(self.path):
            if isinstance(line["frame"], dict) and line["frame"].get("method") == "notify_history_changed":
                job = line["frame"]["params"][0]["job"]
                return float((job["end_time"] or job["start_time"]) - line["t"])
        return 1795197000.0

    def _tick_until(self, now: float) -> None:
        while (due := self.translator.due()) is not None and due <= now:
            self._post(self.translator.tick(due), due)

    def _line(self, line: dict[str, Any]) -> None:
        frame, now = line["frame"], self.base + line["t"]
        if line["via"] == "uds" and "conn" in line:
            self._klippy_line(line["dir"], frame, now)
        if line["via"] != "ws":
            return
        if line["dir"] == "send":
            self._methods[frame.get("id", -1)] = (frame["method"], frame.get("params") or {})
        elif "__closed" in frame:
            self._post(self.translator.socket_lost("Moonraker is away", now), now)
        elif "method" in frame:
            self._notification(frame["method"], frame.get("params") or [], now)
        elif "id" in frame and "result" in frame:
            self._answer(*self._methods.get(frame["id"], ("", {})), frame["result"], now)

    def _klippy_line(self, direction: str, frame: dict[str, Any], now: float) -> None:
        """The raw socket between Moonraker and Klippy: what Moonraker would pass on to us."""
        translator = self.translator
        method, params = frame.get("method"), frame.get("params") or {}
        if "__eof" in frame:
            self._klippy_told = False
            self._post(translator.klippy_changed(Klippy.DISCONNECTED, None, now), now)
        elif direction == "moonraker->klippy":
            self._methods[frame.get("id", -1)] = (method or "", params)
        elif method == "process_status_update":
            self._post(translator.status_changed(params["status"], now), now)
        elif method == "process_gcode_response":
            self._post(translator.gcode_line(params["response"], now), now)
        elif "result" in frame:
            asked = self._methods.get(frame["id"], ("", {}))[0]
            if asked == "info":
                state = Klippy(frame["result"]["state"])
                self._post(translator.klippy_changed(state, frame["result"]["state_message"], now), now)
            elif asked == "objects/subscribe" and "print_stats" in frame["result"]["status"]:
                status = frame["result"]["status"]
                if self._klippy_told:
                    self._post(translator.status_changed(status, now), now)
                else:
                    self._klippy_told = True
                    self._post(translator.subscribed(status, now), now)

    def _notification(self, method: str, params: list[Any], now: float) -> None:
        translator = self.translator
        if method == "notify_status_update":
            self._post(translator.status_changed(params[0], now), now)
        elif method == "notify_gcode_response":
            self._post(translator.gcode_line(params[0], now), now)
        elif method == "notify_history_changed":
            job = self._keep(params[0])
            self._post(translator.history_changed(params[0]["action"], job, now), now)
        elif method == "notify_klippy_disconnected":
            self._post(translator.klippy_changed(Klippy.DISCONNECTED, None, now), now)
        elif method == "notify_klippy_shutdown":
            self._post(translator.klippy_changed(Klippy.SHUTDOWN, None, now), now)
        elif method == "notify_klippy_ready":
            self._post(translator.klippy_changed(Klippy.READY, None, now), now)

    def _answer(self, method: str, params: dict[str, Any], result: Any, now: float) -> None:
        translator = self.translator
        if method == "server.info":
            self._post(translator.klippy_changed(Klippy(result["klippy_state"]), None, now), now)
        elif method == "printer.info":
            state = Klippy(result["state"])
            if state is not Klippy.READY:
                self._post(translator.klippy_changed(state, result["state_message"], now), now)
        elif method == "printer.objects.subscribe" and "webhooks" in (params.get("objects") or {}):
            webhooks = result["status"]["webhooks"]
            if webhooks["state"] == "error":
                self._post(translator.klippy_changed(Klippy.ERROR, webhooks["state_message"], now), now)
            elif len(params["objects"]) > 4:
                translator.klippy_changed(Klippy.READY, None, now)
                self._post(translator.subscribed(result["status"], now), now)
        elif method == "server.history.list":
            known = {job.ts for job in self.jobs}
            self.jobs = sorted(
                [*self.jobs, *(job for job in read_jobs(result) if job.ts not in known)],
                key=lambda job: -job.start_time,
            )

    def _post(self, events: list[HostEvent], now: float) -> None:
        for event in events:
            self.events.append((now - self.base, event))
            self._tell(event)
        for want in self.translator.take_wants():
            if want is Want.HISTORY:
                self._post(self.translator.history_listed(list(self.jobs), now), now)
            elif want is Want.METADATA:
                known = [job.metadata for job in self.jobs if job.filename == self.translator.wanted_file]
                self.translator.metadata(self.translator.wanted_file, known[0] if known else None)
            elif want is Want.DIAMETER:
                self.translator.filament_diameter(1.75)

    def _tell(self, event: HostEvent) -> None:  # noqa: C901 - one flat case for each event
        match event:
            case PrinterReported():
                phase = event.report.text or event.report.phase.value
                if phase != self._last_phase:
                    self.told.append(f"state {phase}" + (f": {event.report.error}" if event.report.error else ""))
                self._last_phase = phase
            case PrinterUnknown():
                if self._last_phase != "unknown":
                    self.told.append("state unknown")
                self._last_phase = "unknown"
            case PrintBegan():
                self.told.append(f"began {event.filename}")
            case PrintFound():
                self.told.append(f"found {event.filename}" + (" paused" if event.paused else ""))
            case PrintPaused():
                self.told.append("paused")
            case PrintResumed():
                self.told.append("resumed")
            case PrintEnded():
                self.told.append(f"ended {event.outcome.value}" + (f": {event.reason}" if event.reason else ""))
            case NothingPrints():
                if self.told[-1] != "nothing prints":
                    self.told.append("nothing prints")
            case AlertRaised():
                self.told.append(f"alert: {event.text}")
            case _:
                self.told.append(type(event).__name__)

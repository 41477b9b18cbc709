"""Two printers with their hosts. Each keeps the truth (`Job`), and tells its agent's translator what a real host would.

A host goes on without its agent. What it tells is shaped as in tests/data/recordings and OctoPrint's own code; the
translators are the real ones.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agent_core.model import ActivePrint, AlertRaised, HostEvent
from bench.chaos.agents import Agent
from bench.chaos.clock import Time, WallClock
from moonraker_obico.history import HistoryJob
from moonraker_obico.klippy import Klippy, Want
from moonraker_obico.translate import Translator as KlipperTranslator
from octoprint_obico.report import Reading
from octoprint_obico.translate import RESTARTED
from octoprint_obico.translate import Translator as OctoPrintTranslator

TELL_EVERY = 30.0
"""Seconds between two readings of a printer that prints."""

HEAT = 215.0


@dataclass
class Job:
    """The truth of one print. `ended`: done, cancelled or error; times in simulated seconds."""

    name: str
    began: float
    pauses: int = 0
    resumes: int = 0
    filament_changes: int = 0
    ended: str = ""
    ended_at: float = 0.0
    clock_touched: bool = False
    """The clock of its host was wrong, or was set during the print: its times cannot be told."""


class Host(ABC):
    """`begin` … `end` are what happens to the printer; the rest is its agent's life."""

    def __init__(self, name: str, agent: Agent, clock: WallClock, time: Time, chance: random.Random) -> None:
        self.name, self.agent, self.clock, self.time, self.chance = name, agent, clock, time, chance
        self.jobs: list[Job] = []
        self.paused = False
        self.next_reading = 0.0

    @property
    def job(self) -> Job | None:
        """The one under way."""
        return self.jobs[-1] if self.jobs and not self.jobs[-1].ended else None

    def begin(self, name: str) -> None:
        self.jobs.append(Job(name, self.time.seconds, clock_touched=self.clock.wrong != 0.0))
        self.paused = False
        self._began()

    def pause(self) -> None:
        job = self.job
        if job is not None and not self.paused:
            job.pauses += 1
            self.paused = True
            self._changed()

    def resume(self) -> None:
        job = self.job
        if job is not None and self.paused:
            job.resumes += 1
            self.paused = False
            self._changed()

    def change_filament(self) -> None:
        """The printer asks for it: told to people, by HTTP."""
        job = self.job
        if job is not None and self.agent.running:
            job.filament_changes += 1
            title = f"{job.name}: filament change {job.filament_changes}"
            self.agent.post([AlertRaised(title, "The printer asks for filament.", self.clock.now(), "FILAMENT_CHANGE")])

    def end(self, how: str) -> None:
        job = self.job
        if job is not None:
            job.ended, job.ended_at = how, self.time.seconds
            self._ended(job)
            self.paused = False

    def set_clock(self, wrong: float) -> None:
        self.clock.wrong = wrong
        if self.job is not None:
            self.job.clock_touched = True

    def due(self) -> float:
        return min(self.next_reading, self._tick_due())

    def tick(self) -> None:
        """What is due by now."""
        if self.time.seconds >= self.next_reading:
            self.next_reading = self.time.seconds + TELL_EVERY * (1 if self.job is not None else 20)
            self._read()
        self._tick()

    def start_agent(self) -> None:
        self._agent_started(self.agent.start())

    @abstractmethod
    def _began(self) -> None: ...

    @abstractmethod
    def _changed(self) -> None: ...

    @abstractmethod
    def _ended(self, job: Job) -> None: ...

    @abstractmethod
    def _read(self) -> None: ...

    @abstractmethod
    def _tick(self) -> None: ...

    @abstractmethod
    def _tick_due(self) -> float: ...

    @abstractmethod
    def _agent_started(self, remembered: ActivePrint | None) -> None: ...

    @abstractmethod
    def lie(self) -> None:
        """Something that no honest host would say."""


def _completion(job: Job, now: float) -> float:
    return min(99.0, (now - job.began) / 60.0)


class KlipperHost(Host):
    """Klipper behind Moonraker: the agent is a process of its own, and Moonraker keeps a history."""

    def __init__(self, name: str, agent: Agent, clock: WallClock, time: Time, chance: random.Random) -> None:
        super().__init__(name, agent, clock, time, chance)
        self.translator = KlipperTranslator()
        self.history: list[HistoryJob] = []  # newest first
        self.klippy = Klippy.READY
        self.reason = ""
        self.moonraker_up = True
        self._offset = clock.now() - clock.monotonic()

    # --- to the agent ---

    def _now(self) -> float:
        """As moonraker_obico.connection has it."""
        offset = self.clock.now() - self.clock.monotonic()
        if abs(offset - self._offset) > 2.0:
            moved, self._offset = offset - self._offset, offset
            self.translator.clock_set(moved)
        return self.clock.monotonic() + self._offset

    def _tell(self, events: list[HostEvent]) -> None:
        self.agent.post(events)
        wants = self.translator.take_wants() if self.moonraker_up else set()
        now = self._now()
        if Want.HISTORY in wants:
            self._tell(self.translator.history_listed(self.history[:25], now))
        if Want.METADATA in wants:
            self.translator.metadata(self.translator.wanted_file, None)
        if Want.DIAMETER in wants:
            self.translator.filament_diameter(1.75)
        if Want.REASON in wants:
            self._tell(self.translator.klippy_changed(self.klippy, self.reason, now))

    def _listening(self) -> bool:
        return self.agent.running and self.moonraker_up

    def _update(self, update: Any) -> None:
        if self._listening():
            self._tell(self.translator.status_changed(update, self._now()))

    def _stats(self) -> dict[str, Any]:
        job = self.job
        if job is None:
            last = self.jobs[-1] if self.jobs else None
            word = {"done": "complete", "cancelled": "cancelled", "error": "error"}.get(last.ended, "") if last else ""
            reset = last is None or self.klippy is not Klippy.READY or last.name in self._reset
            return {"state": "standby" if reset else word, "filename": "" if reset or last is None else last.name,
                    "message": "", "print_duration": 0.0, "total_duration": 0.0}  # fmt: skip
        spent = self.time.seconds - job.began
        return {"state": "paused" if self.paused else "printing", "filename": job.name, "message": "",
                "print_duration": spent, "total_duration": spent, "filament_used": spent * 2}  # fmt: skip

    @property
    def _reset(self) -> set[str]:
        """Prints that a restarted Klipper knows nothing of."""
        return {job.filename for job in self.history if job.status.startswith("klippy")}

    def _status(self) -> dict[str, Any]:
        job = self.job
        target = HEAT if job is not None else 0.0
        return {
            "webhooks": {"state": "ready", "state_message": "Printer is ready"},
            "print_stats": self._stats(),
            "virtual_sdcard": {"progress": _completion(job, self.time.seconds) / 100 if job is not None else 0.0},
            "heaters": {"available_heaters": ["extruder", "heater_bed"]},
            "extruder": {"temperature": target or 22.0, "target": target},
            "heater_bed": {"temperature": 60.0 if target else 22.0, "target": 60.0 if target else 0.0},
        }

    # --- what happens ---

    def _began(self) -> None:
        job = self.jobs[-1]
        self._update({"print_stats": {**self._stats(), "state": "printing"}})
        entry = HistoryJob(job.name, "in_progress", self.clock.now())
        self.history.insert(0, entry)
        if self._listening():
            self._tell(self.translator.history_changed("added", entry, self._now()))

    def _changed(self) -> None:
        self._update({"print_stats": {"state": "paused" if self.paused else "printing"}})

    def _ended(self, job: Job) -> None:
        self._close({"done": "completed", "cancelled": "cancelled", "error": "error"}[job.ended])
        word = {"done": "complete", "cancelled": "cancelled", "error": "error"}[job.ended]
        update: dict[str, Any] = {"state": word}
        if job.ended == "error":
            update["message"] = "Move out of range: 999.000 100.000 0.600 [93.591]"
        self._update({"print_stats": update})

    def _close(self, status: str) -> None:
        old = self.history[0]
        self.history[0] = HistoryJob(
            old.filename, status, old.start_time, self.clock.now(), total_duration=self.clock.now() - old.start_time
        )
        if self._listening():
            self._tell(self.translator.history_changed("finished", self.history[0], self._now()))

    def restart_klipper(self) -> None:
        """FIRMWARE_RESTART, or its process crashed: whatever prints is over."""
        job = self.job
        if job is not None:
            job.ended, job.ended_at, self.paused = "error", self.time.seconds, False
            self._close("klippy_disconnect")
        self.klippy = Klippy.DISCONNECTED
        if self._listening():
            self._tell(self.translator.klippy_changed(self.klippy, None, self._now()))

    def shut_down(self) -> None:
        """Klipper's emergency stop: it says why and stays so."""
        job = self.job
        if job is not None:
            job.ended, job.ended_at, self.paused = "error", self.time.seconds, False
            self._close("klippy_shutdown")
        self.klippy, self.reason = Klippy.SHUTDOWN, "Heater extruder not heating at expected rate"
        if self._listening():
            self._tell(self.translator.klippy_changed(self.klippy, self.reason, self._now()))

    def klipper_ready(self) -> None:
        self.klippy = Klippy.READY
        self._look()

    def stop_moonraker(self) -> None:
        self.moonraker_up = False
        if self.agent.running:
            self.agent.post(self.translator.socket_lost("Moonraker is away", self._now()))

    def start_moonraker(self) -> None:
        self.moonraker_up = True
        self._look()

    def _look(self) -> None:
        """As the connection does after it was made, or after notify_klippy_ready."""
        if not self._listening():
            return
        now = self._now()
        self._tell(self.translator.klippy_changed(self.klippy, self.reason or None, now))
        if self.klippy is Klippy.READY:
            self._tell(self.translator.subscribed(self._status(), now))

    def _agent_started(self, remembered: ActivePrint | None) -> None:
        self.translator = KlipperTranslator(remembered)
        self._offset = self.clock.now() - self.clock.monotonic()
        self._look()

    def _read(self) -> None:
        if self.klippy is Klippy.READY:
            self._update({"extruder": self._status()["extruder"], "virtual_sdcard": self._status()["virtual_sdcard"]})

    def _tick(self) -> None:
        due = self.translator.due()
        if self.agent.running and due is not None and due <= self._now():
            self._tell(self.translator.tick(self._now()))

    def _tick_due(self) -> float:
        due = self.translator.due()
        if not self.agent.running or due is None:
            return float("inf")
        return max(self.time.seconds, due - self._offset - (self.clock.monotonic() - self.time.seconds))

    def lie(self) -> None:
        self._update(self.chance.choice(_LIES))


_LIES: tuple[Any, ...] = (
    None, 7, [], "status", {"print_stats": None}, {"print_stats": []}, {"extruder": {"temperature": float("nan")}},
    {"extruder": {"temperature": "hot", "target": None}}, {"virtual_sdcard": {"progress": -7}},
    {"unheard_of": {"a": 1}},
    {"virtual_sdcard": {"progress": "half"}}, {"toolhead": {"position": [None]}}, {"display_status": {"message": 5}},
    {"print_stats": {"print_duration": -1e300}}, {"heaters": {"available_heaters": "none"}}, {"gcode_move": 1},
)  # fmt: skip


class OctoPrintHost(Host):
    """OctoPrint: the agent lives and dies with it, and a print that it streams does too."""

    def __init__(self, name: str, agent: Agent, clock: WallClock, time: Time, chance: random.Random) -> None:
        super().__init__(name, agent, clock, time, chance)
        self._later: list[tuple[float, Callable[[], None]]] = []
        self.translator = self._new_translator()
        self.state_id = "OPERATIONAL"

    def _new_translator(self) -> OctoPrintTranslator:
        def later(seconds: float, call: Callable[[], None]) -> None:
            self._later.append((self.time.seconds + seconds, call))

        return OctoPrintTranslator(lambda event: self.agent.post([event]), self.clock.now, later)

    def _event(self, name: str, payload: Mapping[str, Any] | None = None) -> None:
        if self.agent.running:
            self.translator.event(name, payload or {})

    def _reading(self) -> Reading:
        job = self.job
        active = job is not None
        file = {"name": job.name, "path": job.name, "origin": "local", "size": 1000} if job is not None else {}
        spent = self.time.seconds - job.began if job is not None else None
        return Reading(
            self.state_id,
            {
                "state": {"text": self.state_id.title(), "flags": {"printing": active}, "error": ""},
                "job": {"file": file, "filament": {"tool0": {"length": 1000.0}}},
                "progress": {"completion": _completion(job, self.time.seconds) if job is not None else None,
                             "printTime": spent, "filepos": 10 if active else None},
            },
            {"tool0": {"actual": HEAT if active else 22.0, "target": HEAT if active else 0.0}},
        )  # fmt: skip

    def _read(self) -> None:
        if self.agent.running:
            self.translator.reading(self._reading())

    def _began(self) -> None:
        self.state_id = "PRINTING"
        self._event("PrintStarted", {"name": self.jobs[-1].name, "origin": "local"})
        self._read()

    def _changed(self) -> None:
        self.state_id = "PAUSED" if self.paused else "PRINTING"
        self._event("PrintPaused" if self.paused else "PrintResumed")
        self._read()

    def _ended(self, job: Job) -> None:
        spent = {"time": job.ended_at - job.began}
        if job.ended == "done":
            self.state_id = "OPERATIONAL"
            self._event("PrintDone", spent)
        elif job.ended == "cancelled":
            self.state_id = "OPERATIONAL"
            self._event("PrintCancelling")
            self._event("PrintCancelled", spent)
            self._event("PrintFailed", {**spent, "reason": "cancelled"})
        else:
            self.state_id = "CLOSED_WITH_ERROR"
            lost: list[tuple[str, Mapping[str, Any]]] = [
                ("PrintFailed", {**spent, "reason": "error", "error": "unknown"}),
                ("Error", {"error": "MINTEMP triggered", "reason": "firmware"}),
                ("Disconnected", {}),
            ]
            self.chance.shuffle(lost)
            for name, payload in lost:
                self._event(name, payload)
        self._read()

    def reconnect_printer(self) -> None:
        if self.job is None:
            self.state_id = "OPERATIONAL"
            self._read()

    def killed(self) -> None:
        """The power is gone: OctoPrint, our agent in it, and the print."""
        job = self.job
        if job is not None:
            job.ended, job.ended_at, self.paused = "error", self.time.seconds, False
            job.clock_touched = True  # nobody was there to see the time of its end
        self.state_id = "OPERATIONAL"
        self._later.clear()

    def _agent_started(self, remembered: ActivePrint | None) -> None:
        self.translator = self._new_translator()
        self.translator.begin(remembered, self._reading(), RESTARTED)

    def _tick(self) -> None:
        ready = [call for at, call in self._later if at <= self.time.seconds]
        self._later = [(at, call) for at, call in self._later if at > self.time.seconds]
        for call in ready:
            call()

    def _tick_due(self) -> float:
        return min((at for at, _ in self._later), default=float("inf"))

    def lie(self) -> None:
        if not self.agent.running:
            return
        name, payload = self.chance.choice(_ODD_EVENTS)
        self.translator.event(name, payload)
        odd = {"state": {"text": None, "flags": [], "error": None}, "progress": 7, "job": self._reading().data["job"]}
        self.translator.reading(Reading(self.state_id, odd))


_ODD_EVENTS: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("ZChange", {"new": "up"}), ("PositionUpdate", {"z": None}), ("FirmwareData", {"data": 7}), ("Upload", {}),
    ("ToolChange", {"old": -1}), ("plugin_other_thing", {"state": "PrintDone"}), ("MetadataAnalysisFinished", {}),
)  # fmt: skip

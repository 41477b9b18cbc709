"""Klipper's objects and Moonraker's notifications → the model's events. No I/O, no clock of its own.

The state of a print is computed in this order (recordings/moonraker/README.md): the socket to Moonraker, then the state
of Klippy, only then print_stats: `paused` in a shutdown is no pause. Each input returns the events to post, in order;
what has to be asked of Moonraker for them stands in `take_wants`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any

from agent_core.model import (
    ActivePrint,
    HostEvent,
    NothingPrints,
    Phase,
    PrintBegan,
    PrintEnded,
    PrinterReport,
    PrinterReported,
    PrinterUnknown,
    PrintFound,
    PrintOutcome,
    PrintPaused,
    PrintResumed,
)
from moonraker_obico.error_lines import ErrorLines
from moonraker_obico.events import KlipperEvents, complained, stopped
from moonraker_obico.facts import FactsKeeper
from moonraker_obico.frames import Frames
from moonraker_obico.history import HistoryJob, earlier_times
from moonraker_obico.identity import Known, current_job, missed_end, running_ts
from moonraker_obico.klippy import ABSENT, Klippy, Want
from moonraker_obico.objects import TIMELAPSE_MACRO, Status, field, first_line, heater_names, merge, number, text
from moonraker_obico.report import counts_layers, ready_report, stopped_report, with_final_figures
from moonraker_obico.reporting import Reporting

if TYPE_CHECKING:
    from agent_core.gcode.index import GCodeIndex

START_SECONDS = 1.0
"""How long a new print waits for its history entry (normally 5 ms)."""
ANSWER_SECONDS = 5.0
"""How long the history may take to tell of a print found or missed."""
GONE_SECONDS = 10.0
"""Klipper away for so long in mid-print: the print is over. Moonraker finds a living Klipper again within 1 s."""
SAME_SECOND = 2
"""Whole seconds by which a new print's start may fall short of the last one's identity: two began within a second."""


class _Ask(Enum):
    """Why the history is waited for."""

    START = "a print began before our eyes"
    FOUND = "a print was under way when we looked"
    MISSED = "our print was over when we looked"


@dataclass(frozen=True, slots=True)
class _Pending:
    ask: _Ask
    until: float
    began: float
    """When the print that runs began by Klipper's own clock."""


class Translator:
    """The only keeper of what is known of one Klipper. Used by the connection's thread alone."""

    def __init__(
        self, remembered: ActivePrint | None = None, index_of: Callable[[str], GCodeIndex | None] = lambda _: None
    ) -> None:
        """`index_of`: the index of the file at a path on this machine, if it is there yet; returns at once."""
        self._index_of = index_of
        self._status: Status = {}
        self._klippy = Klippy.UNKNOWN
        self._stopped: str | None = None
        self._gone_since: float | None = None
        self._was_ready = False
        self._fresh = True
        self._print = None if remembered is None else Known(remembered.ts, remembered.filename)
        self._ended_ts = 0
        self._paused = remembered is not None and remembered.paused_at is not None
        self._pending: _Pending | None = None
        self._finished: HistoryJob | None = None
        self._facts = FactsKeeper()
        self._lines = ErrorLines()
        self._frames = Frames()
        self._events = KlipperEvents()
        self._reporting = Reporting()
        self._wants: set[Want] = set()

    # --- for the connection ---------------------------------------------------------------------------------------

    @property
    def klippy(self) -> Klippy:
        return self._klippy

    @property
    def status(self) -> Mapping[str, Mapping[str, Any]]:
        """Klipper's objects as last told; empty before the first answer."""
        return self._status

    @property
    def busy(self) -> bool:
        """Whether something prints or heats: the temperatures are worth following then."""
        if text(self._status, "print_stats", "state") in {"printing", "paused"}:
            return True
        return any(number(self._status, name, "target") for name in heater_names(self._status.get("heaters", {})))

    @property
    def print_ts(self) -> int | None:
        """The identity of the print under way, as far as it is settled."""
        return None if self._print is None else self._print.ts

    @property
    def wanted_file(self) -> str:
        return self._facts.asked_file

    def take_wants(self) -> set[Want]:
        wants, self._wants = self._wants, set()
        return wants

    def due(self) -> float | None:
        """When `tick` has something to do, in the same clock as `now`."""
        times = []
        if self._pending is not None:
            times.append(self._pending.until)
        if self._gone_since is not None and self._print is not None and self._pending is None:
            times.append(self._gone_since + GONE_SECONDS)
        if self._may_report():
            times.append(self._reporting.due_at)
        return min(times, default=None)

    def clock_set(self, moved: float) -> None:
        """The wall clock was set forward by so many seconds: what waits goes on waiting as long as it would have."""
        if self._pending is not None:
            pending = self._pending
            self._pending = replace(pending, until=pending.until + moved, began=pending.began + moved)
        if self._gone_since is not None:
            self._gone_since += moved
        for part in (self._lines, self._frames, self._reporting):
            part.clock_set(moved)

    # --- inputs ---------------------------------------------------------------------------------------------------

    def socket_lost(self, reason: str, now: float) -> list[HostEvent]:
        """Moonraker is away: nothing can be told of the printer, and a print may well go on."""
        self._klippy = Klippy.UNKNOWN
        self._forget_session()
        self._gone_since = None
        return [PrinterUnknown(reason, now)]

    def klippy_changed(self, state: Klippy, message: str | None, now: float) -> list[HostEvent]:
        """What server.info, printer.info or a notification says of Klippy. Repeats are harmless."""
        if state is Klippy.READY:
            self._klippy = state
            self._was_ready = True
            self._gone_since = None
            self._stopped = None
            return []
        if state in {Klippy.ERROR, Klippy.SHUTDOWN}:
            return self._klippy_stopped(state, first_line(message), now)
        if self._klippy is state and self._gone_since is not None:
            return []
        self._klippy = state
        if self._gone_since is None:
            self._gone_since = now
        self._stopped = None
        self._forget_session()
        return [PrinterUnknown(ABSENT[state], now)]

    def subscribed(self, status: Any, now: float) -> list[HostEvent]:
        """The full status that answers a subscription: what is found now may have come about unseen."""
        self._status = {}
        merge(self._status, status)
        self._fresh = True
        self._events.prime(self._status)
        return self._observe(now, None)

    def status_changed(self, update: Any, now: float) -> list[HostEvent]:
        """An update: changed fields only."""
        if not isinstance(update, dict):
            return []
        stats = update.get("print_stats")
        turning = isinstance(stats, dict) and ("state" in stats or "filename" in stats)
        # A cancelled print's figures are zeroed with the same update that says so: keep them as they were.
        before = self._report() if turning and self._print is not None and self._klippy is Klippy.READY else None
        restarted = self._restarted(stats)
        was, last_file = text(self._status, "print_stats", "state"), self._filename()
        merge(self._status, update)
        self._reporting.dirty = True
        if self._klippy is not Klippy.READY or self._fresh:
            return []
        alerts: list[HostEvent] = [*self._events.look(self._status, now)]
        idle = self._print is None and self._pending is None and was not in {"printing", "paused"}
        if turning and idle and (was == "standby" or self._filename() != last_file):
            alerts += self._flashed(now)
        if not turning and not restarted and "webhooks" not in update and TIMELAPSE_MACRO not in update:
            return alerts + self._settle_frame(now) + self.tick(now)
        return alerts + self._observe(now, before, restarted=restarted)

    def history_listed(self, jobs: Sequence[HistoryJob] | None, now: float) -> list[HostEvent]:
        """Newest first; None: Moonraker keeps no history."""
        filename = text(self._status, "print_stats", "filename")
        if jobs and filename:
            average, last = earlier_times(jobs, filename)
            current = current_job(jobs, filename)
            self._facts.take(filename, average_time=average, last_time=last)
            if current is not None:
                self._facts.take_job(current)
            self._reporting.dirty = True
        pending = self._pending
        if pending is None:
            return []
        if pending.ask is _Ask.START and jobs is not None and current_job(jobs, filename) is None:
            return []  # asked too early: the entry is announced in a moment
        return self._resolve(jobs or (), now)

    def history_changed(self, action: str, job: HistoryJob, now: float) -> list[HostEvent]:
        """notify_history_changed. Entries without a file name are Moonraker's own confusion."""
        if action == "finished":
            self._finished = job
            return []
        if action != "added" or not job.filename or self._klippy is not Klippy.READY:
            return []
        if job.filename != text(self._status, "print_stats", "filename"):
            return []
        self._facts.take_job(job)
        self._reporting.dirty = True
        if self._pending is not None and self._pending.ask is _Ask.START:
            return self._resolve((job,), now)
        return []

    def metadata(self, filename: str, metadata: Mapping[str, Any] | None) -> None:
        """server.files.metadata; None: Moonraker has none."""
        self._facts.take(filename, metadata=metadata or {})
        self._reporting.dirty = True

    def filament_diameter(self, millimetres: float | None) -> None:
        self._facts.take_diameter(millimetres)
        self._reporting.dirty = True

    def gcode_line(self, line: str, now: float) -> list[HostEvent]:
        """notify_gcode_response."""
        if self._klippy is not Klippy.READY:
            return []
        said = self._lines.take(line, now)
        if self._print is None:
            return []
        if said is None:
            return [] if line.startswith("!!") else [*self._events.line(line, now)]
        return [complained(said, now)] if self._lines.is_news(said) else []

    def tick(self, now: float) -> list[HostEvent]:
        """To be called when `due` has come; harmless at any time."""
        events: list[HostEvent] = []
        pending = self._pending
        if pending is not None and now >= pending.until:
            events += self._resolve((), now)
        gone = self._gone_since
        if gone is not None and self._print is not None and self._pending is None and now >= gone + GONE_SECONDS:
            self._ask_missed(now, "Klipper stopped during the print")
        if self._may_report() and now >= self._reporting.due_at:
            events += self._reported(now, urgent=False)
        return events

    def _may_report(self) -> bool:
        return self._reporting.dirty and self._pending is None and self._klippy is Klippy.READY and not self._fresh

    # --- Klippy -----------------------------------------------------------------------------------------------------

    def _klippy_stopped(self, state: Klippy, reason: str, now: float) -> list[HostEvent]:
        if not reason and text(self._status, "webhooks", "state") == state.value:
            reason = first_line(field(self._status, "webhooks", "state_message"))
        if self._klippy is state and (not reason or reason == self._stopped):
            return []
        live = self._klippy is Klippy.READY and not self._fresh
        told_before = self._klippy is state and bool(self._stopped)
        self._klippy = state
        self._stopped = reason
        self._gone_since = None
        if not reason:
            self._wants.add(Want.REASON)
            return []
        events: list[HostEvent] = []
        if self._print is not None or (self._pending is not None and self._pending.ask is _Ask.START):
            if live:
                events += self._finish_start(now)
                events.append(stopped(reason, now))  # before the end: it belongs to the print
                told_before = True
                events += self._end(PrintOutcome.FAILED, now, reason, self._report())
            else:
                self._ask_missed(now, reason)
                return events
        if not told_before and self._was_ready:
            events.append(stopped(reason, now))
        return events + self._tell_stopped(now)

    def _tell_stopped(self, now: float) -> list[HostEvent]:
        self._forget_session()
        return [
            PrinterReported(stopped_report(self._status, self._stopped or ""), now, urgent=True),
            NothingPrints(now),
        ]

    def _forget_session(self) -> None:
        self._fresh = True
        self._pending = None
        self._reporting.forget()

    # --- print_stats ------------------------------------------------------------------------------------------------

    def _observe(self, now: float, before: PrinterReport | None, *, restarted: bool = False) -> list[HostEvent]:
        webhooks = text(self._status, "webhooks", "state")
        if webhooks and webhooks != "ready":
            klippy = Klippy(webhooks) if webhooks in {"startup", "error", "shutdown"} else Klippy.STARTUP
            return self.klippy_changed(klippy, text(self._status, "webhooks", "state_message"), now)
        if "print_stats" not in self._status:
            self._fresh = False
            return [PrinterUnknown("Klipper has no [virtual_sdcard] section, so it cannot print files", now)]
        state = text(self._status, "print_stats", "state")
        running = state in {"printing", "paused"}
        self._wants |= self._facts.wants(self._filename())
        if self._fresh:
            self._fresh = False
            return self._first_sight(running, now)
        if self._pending is not None and self._pending.ask is not _Ask.START:
            return self._observe_while_asking(running, now)
        if not running:
            events = self._finish_start(now)
            return events + self._stopped_running(state, now, before)
        if self._print is None:
            if self._pending is None:
                self._begin_asking(_Ask.START, now, START_SECONDS)
                self._paused = False
                self._lines.forget()
            return []
        if restarted or (before is not None and text(self._status, "print_stats", "filename") != self._print.filename):
            self._begin_asking(_Ask.MISSED, now, ANSWER_SECONDS)
            return []
        return self._pause_or_resume(state, now)

    def _first_sight(self, running: bool, now: float) -> list[HostEvent]:
        if running:
            self._begin_asking(_Ask.FOUND, now, ANSWER_SECONDS)
            return []
        if self._print is not None:
            self._begin_asking(_Ask.MISSED, now, ANSWER_SECONDS)
            return []
        return [*self._reported(now, urgent=True), NothingPrints(now)]

    def _observe_while_asking(self, running: bool, now: float) -> list[HostEvent]:
        """The printer moved on before the history answered."""
        asked = self._pending.ask if self._pending is not None else None
        if asked is _Ask.FOUND and not running:
            events = self._resolve((), now)
            return events + self._stopped_running(text(self._status, "print_stats", "state"), now, None)
        return []

    def _stopped_running(self, state: str, now: float, before: PrinterReport | None) -> list[HostEvent]:
        events: list[HostEvent] = []
        if self._print is not None:
            outcome, reason = self._outcome(state, now)
            last = before or self._report()
            last = with_final_figures(last, self._status)
            if outcome is PrintOutcome.DONE:
                last = replace(last, progress=replace(last.progress, completion=100.0, print_time_left=0.0))
            events += self._end(outcome, now, reason, last)
        elif self._reporting.phase is Phase.OPERATIONAL:
            return []  # nothing printed before either: the next report tells the rest
        return [*events, *self._reported(now, urgent=True), NothingPrints(now)]

    def _flashed(self, now: float) -> list[HostEvent]:
        """A print began and ended within one status tick, as one does whose first move is refused (a cold nozzle): it
        is told all the same, or nobody would learn why nothing was printed."""
        filename, state = self._filename(), text(self._status, "print_stats", "state")
        if not filename or state not in {"complete", "cancelled", "error"}:
            return []
        elapsed = number(self._status, "print_stats", "total_duration") or 0.0
        ts = max(int(now - elapsed), self._ended_ts + 1)
        self._print = Known(ts, filename)
        self._lines.forget()
        began = PrintBegan(ts, filename, max(float(ts), now - 5.0))
        return [*self._reported(now, urgent=True), began, *self._stopped_running(state, now, None)]

    def _outcome(self, state: str, now: float) -> tuple[PrintOutcome, str | None]:
        if state == "complete":
            return PrintOutcome.DONE, None
        if state == "error":
            return PrintOutcome.FAILED, first_line(field(self._status, "print_stats", "message")) or "Klipper's error"
        said = self._lines.explanation(now) if state == "cancelled" else None
        if said is not None:
            return PrintOutcome.FAILED, said
        return PrintOutcome.CANCELLED, None

    def _end(
        self, outcome: PrintOutcome, at: float, reason: str | None, report: PrinterReport | None
    ) -> list[HostEvent]:
        self._ended_ts = 0 if self._print is None else self._print.ts
        self._print = None
        self._paused = False
        self._lines.forget()
        if report is not None:
            report = replace(report, phase=Phase.OPERATIONAL)
        return [PrintEnded(outcome, at, reason, report)]

    def _pause_or_resume(self, state: str, now: float) -> list[HostEvent]:
        paused = self._frames.paused(self._status, now, says_paused=state == "paused", was_paused=self._paused)
        if paused == self._paused:
            return self._settle_phase(now)
        self._paused = paused
        change: HostEvent = PrintPaused(now) if paused else PrintResumed(now)
        return [*self._reported(now, urgent=True), change]

    def _settle_frame(self, now: float) -> list[HostEvent]:
        """A pause that began with a time-lapse frame and outlasted it is a real one after all."""
        if self._print is None or self._pending is not None or not self._frames.outlasted(now):
            return []
        return self._pause_or_resume(text(self._status, "print_stats", "state"), now)

    def _settle_phase(self, now: float) -> list[HostEvent]:
        return self._reported(now, urgent=True) if self._reporting.phase is not self._current_phase() else []

    def _restarted(self, stats: Any) -> bool:
        """Whether Klipper's clock of the print went back: another print began within one status tick."""
        if self._print is None or not isinstance(stats, dict) or self._klippy is not Klippy.READY:
            return False
        was, now_is = number(self._status, "print_stats", "total_duration"), stats.get("total_duration")
        return (
            isinstance(now_is, (int, float))
            and was is not None
            and now_is < was - 0.5
            and (stats.get("state") or text(self._status, "print_stats", "state")) in {"printing", "paused"}
        )

    # --- identity ---------------------------------------------------------------------------------------------------

    def _begin_asking(self, ask: _Ask, now: float, seconds: float) -> None:
        elapsed = number(self._status, "print_stats", "total_duration") or 0.0
        self._pending = _Pending(ask, now + seconds, now - elapsed)
        self._wants.add(Want.HISTORY)

    def _ask_missed(self, now: float, reason: str) -> None:
        self._stopped = reason
        self._begin_asking(_Ask.MISSED, now, ANSWER_SECONDS)

    def _finish_start(self, now: float) -> list[HostEvent]:
        """A print that began is settled now, with or without its history entry."""
        return self._resolve((), now) if self._pending is not None and self._pending.ask is _Ask.START else []

    def _resolve(self, jobs: Sequence[HistoryJob], now: float) -> list[HostEvent]:
        pending, self._pending = self._pending, None
        if pending is None:
            return []
        if pending.ask is _Ask.MISSED:
            return self._missed(jobs, now)
        filename = text(self._status, "print_stats", "filename")
        ts = running_ts(filename=filename, began=pending.began, jobs=jobs, candidate=self._print)
        events: list[HostEvent] = []
        if self._print is not None and self._print.ts != ts:
            events += self._over(jobs, now)
        if pending.ask is _Ask.START and 0 <= self._ended_ts - ts <= SAME_SECOND:
            ts = self._ended_ts + 1
        self._print = Known(ts, filename)
        state = text(self._status, "print_stats", "state")
        if pending.ask is _Ask.START:
            events += [*self._reported(now, urgent=True), PrintBegan(ts, filename, max(float(ts), now - 5.0))]
            return events + (self._pause_or_resume(state, now) if state == "paused" else [])
        self._paused = state == "paused" and field(self._status, TIMELAPSE_MACRO, "is_paused") is not True
        return [*events, *self._reported(now, urgent=True), PrintFound(ts, filename, now, self._paused)]

    def _missed(self, jobs: Sequence[HistoryJob], now: float) -> list[HostEvent]:
        events = self._over(jobs, now)
        if self._klippy is not Klippy.READY:
            if self._klippy in {Klippy.ERROR, Klippy.SHUTDOWN}:
                return events + self._tell_stopped(now)
            return events
        if text(self._status, "print_stats", "state") in {"printing", "paused"}:
            # Another print began within one status tick, or while the history was asked.
            self._begin_asking(_Ask.START, now, START_SECONDS)
            return events + (self._resolve(jobs, now) if current_job(jobs, self._filename()) is not None else [])
        return [*events, *self._reported(now, urgent=True), NothingPrints(now)]

    def _over(self, jobs: Sequence[HistoryJob], now: float) -> list[HostEvent]:
        """The end of our print, which nobody watched."""
        ours = self._print
        if ours is None:
            return []
        known = [*jobs, self._finished] if self._finished is not None else list(jobs)
        ended = missed_end(
            ours,
            jobs=known,
            state=text(self._status, "print_stats", "state") if self._klippy is Klippy.READY else "",
            filename=self._filename(),
            message=first_line(field(self._status, "print_stats", "message")),
            stopped=self._stopped,
            now=now,
        )
        return self._end(ended.outcome, ended.at, ended.reason, ended.report)

    # --- facts and reports --------------------------------------------------------------------------------------------

    def _filename(self) -> str:
        return text(self._status, "print_stats", "filename")

    def _current_phase(self) -> Phase:
        if text(self._status, "print_stats", "state") not in {"printing", "paused"}:
            return Phase.OPERATIONAL
        return Phase.PAUSED if self._paused else Phase.PRINTING

    def _report(self) -> PrinterReport:
        phase = self._current_phase()
        return ready_report(self._status, phase, self._facts.facts, self._reporting.settled_z, self._index(phase))

    def _index(self, phase: Phase) -> GCodeIndex | None:
        """Of the file in print, if it is ours to read and the printer does not count the layers itself."""
        path = text(self._status, "virtual_sdcard", "file_path")
        printing = phase.active and bool(number(self._status, "print_stats", "print_duration"))
        if not path or not printing or counts_layers(self._status):
            return None
        found = self._index_of(path)
        size = self._facts.facts.value("size")
        # A file of that name on another machine than Klipper's is another file.
        return found if found is not None and size in {None, found.size} else None

    def _reported(self, now: float, *, urgent: bool) -> list[HostEvent]:
        self._reporting.begin(self._current_phase(), self._status, now)
        return [PrinterReported(self._report(), now, urgent)]

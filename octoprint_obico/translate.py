"""OctoPrint's events and readings -> the life of a print in the agent's model.

Imports neither OctoPrint nor anything that does I/O; report.py reads the figures.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any

from agent_core.features.event_texts import Sign, error, told
from agent_core.gcode.index import GCodeIndex
from agent_core.model import (
    ActivePrint,
    HostEvent,
    Job,
    NothingPrints,
    Phase,
    PrintBegan,
    PrintCancelling,
    PrintEnded,
    PrinterReport,
    PrinterReported,
    PrinterUnknown,
    PrintFound,
    PrintOutcome,
    PrintPaused,
    PrintResumed,
)
from octoprint_obico.parking import Parking
from octoprint_obico.report import Reading, filament_used, number, placed, report, text

REPORT_SECONDS = 1.0
"""Least time between two reports of the same phase; OctoPrint tells its state up to twice a second."""

IDLE_SECONDS = 10.0
"""A printer idle for so long prints nothing, whatever events were missed: its last ones are queued no longer."""

EXPLAIN_SECONDS = 3.0
"""How long the end of a failed print waits for the Error event that tells why: OctoPrint fires PrintFailed,
Disconnected and Error from different threads, in any order."""

RESTARTED = "OctoPrint was restarted during the print"


@dataclass(frozen=True, slots=True)
class _Print:
    """The print that OctoPrint told us of; `on_card`: it runs from the printer's own storage and needs no OctoPrint."""

    ts: int
    filename: str
    on_card: bool = False


@dataclass(frozen=True, slots=True)
class _Unexplained:
    """A print that failed at `at`; `otherwise` is the reason that is told if no better one comes."""

    at: float
    payload: Mapping[str, Any]
    otherwise: str


class Translator:
    """OctoPrint's events and readings, in; the agent's events, out through `post`, which must return at once.

    OctoPrint calls from its event thread and its state monitor: `_lock` keeps what they say in one order. It is held
    for a few lines without I/O, so neither thread waits for more than that.
    """

    def __init__(
        self,
        post: Callable[[HostEvent], None],
        now: Callable[[], float],
        later: Callable[[float, Callable[[], None]], None],
        index_of: Callable[[Job], GCodeIndex | None] = lambda _: None,
    ) -> None:
        """`later`: calls a function after so many seconds, on a thread of its own. `index_of`: the index of a job's
        file, if it is there; called with each report, so it returns at once."""
        self._post = post
        self._now = now
        self._later = later
        self._index_of = index_of
        self._lock = Lock()
        self._print: _Print | None = None
        self._last_ts = 0
        self._unseen_end = False
        self._error: str | None = None
        self._unexplained: _Unexplained | None = None
        self._sent: PrinterReport | None = None
        self._sent_at = -math.inf
        self._last_active: PrinterReport | None = None
        self._last_index: GCodeIndex | None = None
        self._idle_since: float | None = None
        self._unknown_since: float | None = None
        self._said_idle = False
        self._parking = Parking()

    @property
    def current(self) -> tuple[int, str] | None:
        """ts and file name of the print under way."""
        known = self._print
        return None if known is None else (known.ts, known.filename)

    def begin(self, remembered: ActivePrint | None, reading: Reading, lost: str = RESTARTED) -> None:
        """Once at the start: what became of the print that the agent remembers, and what OctoPrint prints now.

        `lost`: why a remembered print is over, if it is.
        """
        now = self._now()
        seen = report(reading)
        seen = self._placed(seen, self._index(seen))
        name = seen.job.name
        with self._lock:
            if self._print is not None:
                pass  # its PrintStarted was quicker than we
            elif seen.phase.active and name is not None:
                self._find(seen, name, remembered, now)
            elif remembered is not None:
                self._last_ts = remembered.ts
                self._post(PrintEnded(PrintOutcome.FAILED, now, lost))
        self.reading(reading)

    def reading(self, reading: Reading) -> None:
        """OctoPrint's newest data; posted if something changed, once a second at most unless the phase changed."""
        seen = report(reading)
        index = self._index(seen)
        seen = self._placed(seen, index)
        now = self._now()
        with self._lock:
            seen = self._unparked(seen, now)
            # OctoPrint clears its figures in a cancel while its state still says that it prints.
            if seen.phase.active and (seen.progress.filepos is not None or self._last_active is None):
                self._last_active, self._last_index = seen, index
            if seen.error is not None:
                self._explain(seen.error)
            self._watch_idle(seen.phase, now)
            self._watch_unknown(seen, now)
            before = self._sent
            changed = before is None or before.phase is not seen.phase or before.text != seen.text
            if not changed and (seen == before or 0 <= now - self._sent_at < REPORT_SECONDS):
                return
            self._sent, self._sent_at = seen, now
            self._post(PrinterReported(seen, now, urgent=changed))

    def event(self, name: str, payload: Mapping[str, Any]) -> None:
        """One of OctoPrint's events; those that say nothing about a print's life are ignored."""
        handler = _HANDLERS.get(name)
        if handler is not None:
            with self._lock:
                if name == "PrintStarted":
                    self._explain(None)
                handler(self, payload, self._now())

    def small_talk(self, sign: Sign, text: str) -> None:
        """The printer said something, or was sent something, that a person should know of in a print."""
        with self._lock:
            now, phase = self._now(), self._sent.phase if self._sent is not None else None
            # In a pause that is known, or in a cancel, it is no news that the printer waits.
            known = phase in _WAITING and sign in {Sign.CHANGE, Sign.PAUSED_ITSELF}
            if self._print is not None and not known:
                self._post(told(sign, text, now))

    def parked(self) -> None:
        """OctoLapse moves the head: what looks like a pause now may be none."""
        self._parking.line(self._now())

    def _index(self, seen: PrinterReport) -> GCodeIndex | None:
        return self._index_of(seen.job) if seen.phase.active and seen.progress.filepos is not None else None

    @staticmethod
    def _placed(seen: PrinterReport, index: GCodeIndex | None) -> PrinterReport:
        """With what the file itself says of the place that is being printed."""
        filepos = seen.progress.filepos
        return seen if index is None or filepos is None else placed(seen, index, filepos)

    # --- each with the lock held ---

    def _unparked(self, seen: PrinterReport, now: float) -> PrinterReport:
        """Without the pause that OctoLapse makes; a real one that was held back is told."""
        if seen.phase not in _WAITING:
            return seen
        began = self._parking.overdue(now)
        if began is not None and self._print is not None:
            self._post(PrintPaused(began))
        return replace(seen, phase=Phase.PRINTING, text=None) if self._parking.hides(now) else seen

    def _new_ts(self, at: float) -> int:
        """Whole seconds, and never the last print's: two prints may begin within one second."""
        return max(int(at), self._last_ts + 1, 1)

    def _watch_idle(self, phase: Phase, now: float) -> None:
        if phase is not Phase.OPERATIONAL:
            self._idle_since, self._said_idle = None, False
            return
        if self._idle_since is None:
            self._idle_since = now
        # With a print under way, its closing event may still be queued in OctoPrint: it knows better how it ended.
        waited = self._print is None or now - self._idle_since >= IDLE_SECONDS
        if waited and not self._said_idle:
            self._said_idle = True
            self._print, self._unseen_end = None, False
            self._post(NothingPrints(now))

    def _watch_unknown(self, seen: PrinterReport, now: float) -> None:
        """A print whose PrintStarted never came (it was fired before we listened) is found all the same."""
        name = seen.job.name
        if self._print is not None or not seen.phase.active or name is None:
            self._unknown_since = None
        elif self._unknown_since is None:
            self._unknown_since = now
        elif now - self._unknown_since >= IDLE_SECONDS:
            self._unknown_since = None
            self._find(seen, name, None, now)

    def _find(self, seen: PrinterReport, name: str, remembered: ActivePrint | None, now: float) -> None:
        elapsed = seen.progress.print_time or 0.0
        same = remembered is not None and remembered.filename == name
        ts = remembered.ts if remembered is not None and same else self._new_ts(now - elapsed)
        self._print = _Print(ts, name, _on_card(seen.job.origin))
        self._last_ts = ts
        self._post(PrintFound(ts, name, now, paused=seen.phase is Phase.PAUSED))

    def _started(self, payload: Mapping[str, Any], now: float) -> None:
        name = text(payload.get("name")) or "unknown"
        on_card = _on_card(text(payload.get("origin")))
        self._error = None
        known = self._print
        if known is not None and self._unseen_end and on_card and known.filename == name:
            self._unseen_end = False
            self._post(PrintFound(known.ts, name, now))
            return
        self._unseen_end = False
        self._last_active = self._last_index = None
        self._last_ts = self._new_ts(now)
        self._print = _Print(self._last_ts, name, on_card)
        self._post(PrintBegan(self._last_ts, name, now))

    def _paused(self, _: Mapping[str, Any], now: float) -> None:
        if not self._parking.holds_pause(now):
            self._post(PrintPaused(now))

    def _resumed(self, _: Mapping[str, Any], now: float) -> None:
        if not self._parking.was_held():
            self._post(PrintResumed(now))

    def _cancelling(self, payload: Mapping[str, Any], now: float) -> None:
        self._error = text(payload.get("firmwareError")) or self._error
        newest, sent = self._last_active, self._sent
        if newest is not None and sent is not None and newest.phase is sent.phase:
            # A server counts the filament by the first word of the cancel; the last report may be a second old.
            self._sent, self._sent_at = newest, now
            self._post(PrinterReported(newest, now))
        self._post(PrintCancelling(now))

    def _cancelled(self, payload: Mapping[str, Any], now: float) -> None:
        self._end(PrintOutcome.CANCELLED, now, self._error, payload)

    def _failed(self, payload: Mapping[str, Any], now: float) -> None:
        # After a cancel OctoPrint fires PrintFailed too; the print is over for us by then. That of a print from SD
        # card whose connection broke only means that OctoPrint cannot see it any more.
        if self._print is None or self._unseen_end:
            return
        if payload.get("reason") == "cancelled":
            self._end(PrintOutcome.CANCELLED, now, self._error, payload)
            return
        self._fail(_Unexplained(now, payload, "OctoPrint gave no reason"), _explanation(payload) or self._error)

    def _fail(self, failure: _Unexplained, reason: str | None) -> None:
        """End the print, at once if the reason is known."""
        if self._unexplained is None:
            self._unexplained = failure
            if reason is None:
                self._later(EXPLAIN_SECONDS, lambda: self._give_up(failure))
        if reason is not None:
            self._explain(reason)

    def _give_up(self, failure: _Unexplained) -> None:
        with self._lock:
            if self._unexplained is failure:
                self._explain(None)

    def _explain(self, reason: str | None) -> None:
        """Tell of a failed print that waits for its reason, if there is one."""
        failure, self._unexplained = self._unexplained, None
        if failure is not None:
            self._end(PrintOutcome.FAILED, failure.at, reason or failure.otherwise, failure.payload)

    def _done(self, payload: Mapping[str, Any], now: float) -> None:
        self._end(PrintOutcome.DONE, now, None, payload)

    def _end(self, outcome: PrintOutcome, now: float, reason: str | None, payload: Mapping[str, Any]) -> None:
        if self._print is None:
            return
        self._print, self._unseen_end, self._unexplained = None, False, None
        self._parking.was_held()
        figures = _last_figures(self._last_active, self._last_index, outcome, payload)
        self._last_active = self._last_index = None
        self._post(PrintEnded(outcome, now, reason, figures))

    def _errored(self, payload: Mapping[str, Any], now: float) -> None:
        self._error = text(payload.get("error")) or "OctoPrint reports an error without saying which"
        self._post(error(self._error, now, "Printer Error"))  # first: it belongs to the print that it ends
        self._explain(self._error)

    def _disconnected(self, _: Mapping[str, Any], now: float) -> None:
        known = self._print
        if known is None:
            return
        if known.on_card:
            self._unseen_end = True
            self._post(PrinterUnknown("OctoPrint lost its printer; a print from the SD card may go on", now))
        else:
            # OctoPrint itself fires PrintFailed only if the print was not paused, and fires it late.
            self._fail(_Unexplained(now, {}, "OctoPrint was disconnected from the printer"), self._error)

    def _filament_change(self, _: Mapping[str, Any], now: float) -> None:
        if self._print is not None:
            self._post(told(Sign.CHANGE, "The print asks for a filament change.", now))


def _explanation(payload: Mapping[str, Any]) -> str | None:
    """What PrintFailed itself says of why; OctoPrint 2.0 says "unknown" when its connector has not told it yet."""
    told = text(payload.get("error"))
    return told if told and told != "unknown" else None


_HANDLERS: Mapping[str, Callable[[Translator, Mapping[str, Any], float], None]] = {
    "PrintStarted": Translator._started,
    "PrintPaused": Translator._paused,
    "PrintResumed": Translator._resumed,
    "PrintCancelling": Translator._cancelling,
    "PrintCancelled": Translator._cancelled,
    "PrintFailed": Translator._failed,
    "PrintDone": Translator._done,
    "Error": Translator._errored,
    "Disconnected": Translator._disconnected,
    "FilamentChange": Translator._filament_change,
}


_WAITING = frozenset({Phase.PAUSING, Phase.PAUSED, Phase.RESUMING, Phase.CANCELLING})


def _on_card(origin: str | None) -> bool:
    """Whether the printer itself holds the file (`sdcard` in 1.11, `printer` in 2.0)."""
    return origin in {"sdcard", "printer"}


def _last_figures(
    last: PrinterReport | None, index: GCodeIndex | None, outcome: PrintOutcome, payload: Mapping[str, Any]
) -> PrinterReport | None:
    """The print's last report, finished with what the closing event tells: OctoPrint clears its own by then.

    Filament by the file's index, up to the byte at which it ended: OctoPrint's own analysis is of the whole file, and a
    file that is printed as soon as it is there has none yet.
    """
    if last is None:
        return None
    progress = last.progress
    told = number(payload.get("fileposition"))
    if told is not None and told > (progress.filepos or 0) and (last.job.size is None or told <= last.job.size):
        progress = replace(progress, filepos=int(told))
    print_time = number(payload.get("time"))
    if print_time is not None:
        progress = replace(progress, print_time=print_time)
    if outcome is PrintOutcome.DONE:
        progress = replace(
            progress,
            completion=100.0,
            filepos=last.job.size,
            print_time_left=0.0,
            filament_used=filament_used(last.job, 100.0),
        )
    end = last.job.size if outcome is PrintOutcome.DONE else progress.filepos
    if index is not None and end is not None:
        progress = replace(progress, filament_used=index.at(end).filament)
    return replace(last, progress=progress)

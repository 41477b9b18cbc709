"""OctoPrint's data and events -> the agent's model (payload-mapping.md, column O with its *Better* column).

Imports neither OctoPrint nor anything that does I/O. `Reading` is what the plugin reads off OctoPrint in one look;
`report` turns it into a PrinterReport, `Translator` turns events into the life of a print.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any

from agent_core.model import (
    ActivePrint,
    AlertRaised,
    FilamentNeed,
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
    Progress,
    Temperature,
)

REPORT_SECONDS = 1.0
"""Least time between two reports of the same phase; OctoPrint tells its state up to twice a second."""

IDLE_SECONDS = 10.0
"""A printer idle for so long prints nothing, whatever events were missed: its last ones are queued no longer."""

FILAMENT_ALERT_SECONDS = 600.0
"""Least time between two alerts for a filament change (payload-mapping.md §9)."""

RESTARTED = "OctoPrint was restarted during the print"

_PHASES = {
    "NONE": Phase.OFFLINE,
    "OFFLINE": Phase.OFFLINE,
    "CLOSED": Phase.OFFLINE,
    "CLOSED_WITH_ERROR": Phase.OFFLINE,
    "ERROR": Phase.ERROR,
    "OPEN_SERIAL": Phase.CONNECTING,
    "DETECT_SERIAL": Phase.CONNECTING,
    "DETECTING": Phase.CONNECTING,
    "CONNECTING": Phase.CONNECTING,
    "OPERATIONAL": Phase.OPERATIONAL,
    # A transfer to the printer's SD card: nothing is printed, and nothing can be started either.
    "TRANSFERING_FILE": Phase.OPERATIONAL,
    "TRANSFERRING_FILE": Phase.OPERATIONAL,
    "STARTING": Phase.STARTING,
    "PRINTING": Phase.PRINTING,
    "PAUSING": Phase.PAUSING,
    "PAUSED": Phase.PAUSED,
    "RESUMING": Phase.RESUMING,
    "FINISHING": Phase.FINISHING,
    "CANCELLING": Phase.CANCELLING,
}
"""State ids of OctoPrint 1.11 (`MachineCom.STATE_*`) and 2.0 (`ConnectedPrinterState`)."""

_OWN_TEXT = frozenset({"CLOSED_WITH_ERROR", "TRANSFERING_FILE", "TRANSFERRING_FILE"})
"""States for which OctoPrint's own words say more than the phase; so do those of every connecting state."""


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What OctoPrint's file metadata tell of one file; `path` and `origin` say of which."""

    path: str
    origin: str
    hash: str | None = None
    max_z: float | None = None
    average_print_time: float | None = None
    last_print_time: float | None = None


@dataclass(frozen=True, slots=True)
class Overrides:
    """Seen in the G-code on its way to the printer: factors where 1.0 = 100 %, and the display's text."""

    speed_factor: float | None = None
    flow_factor: float | None = None
    fan_speed: float | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at OctoPrint: the printer's state id, `get_current_data()` and `get_current_temperatures()`."""

    state_id: str
    data: Mapping[str, Any]
    temperatures: Mapping[str, Any] = field(default_factory=dict)
    overrides: Overrides = Overrides()
    facts: FileFacts | None = None


def phase_of(state_id: str) -> Phase:
    """The phase of one of OctoPrint's state ids; a state that we do not know counts as offline."""
    return _PHASES.get(state_id, Phase.OFFLINE)


def report(reading: Reading) -> PrinterReport:
    """All that one look tells. Foreign values of the wrong kind read as unknown."""
    data = reading.data
    state = _mapping(data.get("state"))
    flags = _mapping(state.get("flags"))
    phase = phase_of(reading.state_id)
    job = _job(_mapping(data.get("job")), reading.facts)
    own_text = phase is Phase.CONNECTING or reading.state_id in _OWN_TEXT
    failed = reading.state_id in {"ERROR", "CLOSED_WITH_ERROR"}
    facts = reading.facts if _is_of(reading.facts, job) else None
    return PrinterReport(
        phase=phase,
        text=_text(state.get("text")) if own_text else None,
        error=_text(state.get("error")) or None,
        ready=reading.state_id == "OPERATIONAL",
        sd_ready=flags.get("sdReady") is True,
        error_flag=failed or flags.get("error") is True,
        closed_or_error=phase in {Phase.OFFLINE, Phase.ERROR},
        job=job,
        progress=_progress(_mapping(data.get("progress")), job),
        temperatures=temperatures(reading.temperatures),
        z=_number(data.get("currentZ")),
        object_height=facts.max_z if facts is not None else None,
        speed_factor=reading.overrides.speed_factor,
        flow_factor=reading.overrides.flow_factor,
        fan_speed=reading.overrides.fan_speed,
        message=reading.overrides.message,
    )


def file_facts(path: str, origin: str, metadata: Mapping[str, Any], profile: str) -> FileFacts:
    """The few of a file's metadata that clients read; times are those of the printer profile `profile`."""
    area = _mapping(_mapping(metadata.get("analysis")).get("printingArea"))
    statistics = _mapping(metadata.get("statistics"))
    return FileFacts(
        path=path,
        origin=origin,
        hash=_text(metadata.get("hash")),
        max_z=_number(area.get("maxZ")),
        average_print_time=_number(_mapping(statistics.get("averagePrintTime")).get(profile)),
        last_print_time=_number(_mapping(statistics.get("lastPrintTime")).get(profile)),
    )


def _is_of(facts: FileFacts | None, job: Job) -> bool:
    return facts is not None and facts.path == job.path and facts.origin == job.origin


def _job(data: Mapping[str, Any], facts: FileFacts | None) -> Job:
    file = _mapping(data.get("file"))
    name = _text(file.get("name"))
    needs = {
        tool: FilamentNeed(_number(need.get("length")), _number(need.get("volume")))
        for tool, need in _mapping(data.get("filament")).items()
        if isinstance(need, Mapping)
    }
    job = Job(
        name=name,
        path=_text(file.get("path")),
        display=_text(file.get("display")) or name,
        origin=_text(file.get("origin")),
        size=_whole(file.get("size")),
        date=_whole(file.get("date")),
        user=_text(data.get("user")),
        estimated_print_time=_number(data.get("estimatedPrintTime")),
        average_print_time=_number(data.get("averagePrintTime")),
        last_print_time=_number(data.get("lastPrintTime")),
        filament=needs,
    )
    if facts is None or not _is_of(facts, job):
        return job
    # OctoPrint 2.0 keeps no hash any more; the time of the upload then tells files of one name apart.
    dated = f"ts:{job.date}" if job.date is not None else None
    return replace(
        job,
        hash=facts.hash,
        signature=f"md5:{facts.hash}" if facts.hash else dated,
        average_print_time=job.average_print_time or facts.average_print_time,
        last_print_time=job.last_print_time or facts.last_print_time,
    )


def _progress(data: Mapping[str, Any], job: Job) -> Progress:
    completion = _number(data.get("completion"))
    return Progress(
        completion=completion,
        filepos=_whole(data.get("filepos")),
        print_time=_number(data.get("printTime")),
        print_time_left=_number(data.get("printTimeLeft")),
        print_time_left_origin=_text(data.get("printTimeLeftOrigin")),
        filament_used=_filament_used(job, completion),
    )


def _filament_used(job: Job, completion: float | None) -> float | None:
    """What has gone through so far, by the file's own estimate: charging a cancelled print in full would be wrong."""
    lengths = [need.length for need in job.filament.values() if need.length is not None]
    if not lengths or completion is None:
        return None
    return sum(lengths) * min(max(completion, 0.0), 100.0) / 100.0


def temperatures(data: Mapping[str, Any]) -> dict[str, Temperature]:
    """`get_current_temperatures()` as the model has it: tools, bed and chamber, no other sensors.

    OctoPrint lists a chamber for every printer; one that never told a temperature is none.
    """
    found = {
        name: Temperature(_number(heat.get("actual")), _number(heat.get("target")), _number(heat.get("offset")) or 0.0)
        for name, heat in data.items()
        if isinstance(heat, Mapping) and (name in {"bed", "chamber"} or _is_tool(name))
    }
    if found.get("chamber") == Temperature(None, None, 0.0):
        del found["chamber"]
    return found


def _is_tool(name: object) -> bool:
    return isinstance(name, str) and name.startswith("tool") and name[4:].isdigit()


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


def _whole(value: object) -> int | None:
    number = _number(value)
    return None if number is None else int(number)


# --- the life of a print ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Print:
    """The print that OctoPrint told us of; `on_card`: it runs from the printer's own storage and needs no OctoPrint."""

    ts: int
    filename: str
    on_card: bool = False


class Translator:
    """OctoPrint's events and readings, in; the agent's events, out through `post`, which must return at once.

    OctoPrint calls from its event thread and its state monitor: `_lock` keeps what they say in one order. It is held
    for a few lines without I/O, so neither thread waits for more than that.
    """

    def __init__(self, post: Callable[[HostEvent], None], now: Callable[[], float]) -> None:
        self._post = post
        self._now = now
        self._lock = Lock()
        self._print: _Print | None = None
        self._last_ts = 0
        self._unseen_end = False
        self._error: str | None = None
        self._sent: PrinterReport | None = None
        self._sent_at = -math.inf
        self._last_active: PrinterReport | None = None
        self._idle_since: float | None = None
        self._unknown_since: float | None = None
        self._said_idle = False
        self._alerted_filament = -math.inf

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
        now = self._now()
        with self._lock:
            if seen.phase.active:
                self._last_active = seen
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
                handler(self, payload, self._now())

    # --- each with the lock held ---

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
        name = _text(payload.get("name")) or "unknown"
        on_card = _on_card(_text(payload.get("origin")))
        self._error = None
        known = self._print
        if known is not None and self._unseen_end and on_card and known.filename == name:
            self._unseen_end = False
            self._post(PrintFound(known.ts, name, now))
            return
        self._unseen_end = False
        self._last_active = None
        self._last_ts = self._new_ts(now)
        self._print = _Print(self._last_ts, name, on_card)
        self._post(PrintBegan(self._last_ts, name, now))

    def _paused(self, _: Mapping[str, Any], now: float) -> None:
        self._post(PrintPaused(now))

    def _resumed(self, _: Mapping[str, Any], now: float) -> None:
        self._post(PrintResumed(now))

    def _cancelling(self, payload: Mapping[str, Any], now: float) -> None:
        self._error = _text(payload.get("firmwareError")) or self._error
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
        else:
            reason = _text(payload.get("error")) or self._error or _text(payload.get("reason"))
            self._end(PrintOutcome.FAILED, now, reason, payload)

    def _done(self, payload: Mapping[str, Any], now: float) -> None:
        self._end(PrintOutcome.DONE, now, None, payload)

    def _end(self, outcome: PrintOutcome, now: float, reason: str | None, payload: Mapping[str, Any]) -> None:
        if self._print is None:
            return
        self._print, self._unseen_end = None, False
        self._post(PrintEnded(outcome, now, reason, _last_figures(self._last_active, outcome, payload)))

    def _errored(self, payload: Mapping[str, Any], now: float) -> None:
        self._error = _text(payload.get("error")) or "OctoPrint reports an error without saying which"
        title = f"{self._print.filename}: printer error" if self._print is not None else "Printer error"
        self._post(AlertRaised(title, self._error, now, "PRINTER_ERROR", "ERROR"))

    def _disconnected(self, _: Mapping[str, Any], now: float) -> None:
        known = self._print
        if known is None:
            return
        if known.on_card:
            self._unseen_end = True
            self._post(PrinterUnknown("OctoPrint lost its printer; a print from the SD card may go on", now))
        else:
            # OctoPrint itself fires PrintFailed only if the print was not paused, and fires it late.
            self._end(PrintOutcome.FAILED, now, self._error or "OctoPrint was disconnected from the printer", {})

    def _filament_change(self, _: Mapping[str, Any], now: float) -> None:
        if self._print is None or 0 <= now - self._alerted_filament < FILAMENT_ALERT_SECONDS:
            return
        self._alerted_filament = now
        text = "The printer asks for a filament change."
        self._post(AlertRaised(f"{self._print.filename}: filament change", text, now, "FILAMENT_CHANGE", "WARNING"))


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


def _on_card(origin: str | None) -> bool:
    """Whether the printer itself holds the file (`sdcard` in 1.11, `printer` in 2.0)."""
    return origin in {"sdcard", "printer"}


def _last_figures(
    last: PrinterReport | None, outcome: PrintOutcome, payload: Mapping[str, Any]
) -> PrinterReport | None:
    """The print's last report, finished with what the closing event tells: OctoPrint clears its own by then."""
    if last is None:
        return None
    progress = last.progress
    print_time = _number(payload.get("time"))
    if print_time is not None:
        progress = replace(progress, print_time=print_time)
    if outcome is PrintOutcome.DONE:
        progress = replace(
            progress,
            completion=100.0,
            filepos=last.job.size,
            print_time_left=0.0,
            filament_used=_filament_used(last.job, 100.0),
        )
    return replace(last, progress=progress)

"""Print tracking as a pure function: what an agent's message means for its printer's prints (wire-protocol.md §5.1).

Where we differ from the public server, on purpose:
* an event that belongs to another print than the current one (late, from an outbox) is applied to that print with
  its own time and leaves the current one alone; the end of a print that was only guessed (LOST) is corrected by it;
* an error end is kept as such in `ended_reason` (the Obico fields read cancelled, as ever);
* a file link is kept when a message does not repeat it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from agent_core.wire import read
from agent_core.wire.messages import NOT_PRINTING, EventType, StatusMessage
from agent_core.wire.status import Status
from reference_server.services.clock import clamp, from_unix
from reference_server.services.model import EndedReason, EventKind, Print
from reference_server.services.text import clean

FILENAME_LIMIT = 1000
ERROR_LIMIT = 1000

REOPEN_AFTER = timedelta(seconds=30)
"""A message of a print that ended less than this ago is a straggler (§5.1)."""

OLDEST_START = timedelta(days=30)
"""A `current_print_ts` older than this says more about the agent's clock than about the print."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What a status message says about a print. `print_time` s, `completion` percent, `filament_used` mm. `order`: of
    the farm, that the print is (protocol-extensions.md, job_order)."""

    ts: int | None
    event: EventType | None = None
    event_id: str | None = None
    event_at: datetime | None = None
    filename: str | None = None
    file_id: int | None = None
    print_time: float | None = None
    completion: float | None = None
    filament_used: float | None = None
    active: bool = False
    reason: str | None = None
    error: str | None = None
    order: str | None = None

    @classmethod
    def of(cls, message: StatusMessage) -> Observation:
        status = Status.from_wire(message.status or {})
        event = message.event
        ts = message.current_print_ts
        name = (event.filename if event else None) or status.job.file.name
        data = event.data if event else {}
        reason = read.text(data.get("reason"))
        # What the event itself says of its print goes before the printer's present state: that may be another one's.
        told = read.text(data.get("error")) or (reason if reason not in _VAGUE_REASONS else None)
        return cls(
            # Below -1 is nothing that the protocol knows.
            ts=ts if ts is not None and ts >= NOT_PRINTING else None,
            event=event.type if event else None,
            event_id=event.id if event and event.id and len(event.id) <= 64 else None,
            event_at=from_unix(event.at) if event and event.at is not None else None,
            filename=clean(name, FILENAME_LIMIT) or None if name else None,
            file_id=status.job.file.g_code_file_id,
            print_time=status.progress.print_time,
            completion=status.progress.completion,
            filament_used=status.progress.filament_used,
            active=status.state.flags.printing or status.state.flags.paused,
            reason=reason,
            error=told or status.state.error or None,
            order=(read.text(data.get("order")) or "")[:20] or None,
        )


_VAGUE_REASONS = frozenset({None, "", "error", "cancelled", "failed", "unknown"})
"""Words of `reason` that name a kind and tell nothing of why."""


@dataclass(frozen=True, slots=True)
class EventDraft:
    """A PrinterEvent to write for `target`."""

    kind: EventKind
    at: datetime
    target: Print


@dataclass(frozen=True, slots=True)
class Outcome:
    """Prints to save, in order (id 0: insert), which of them is current afterwards, and events to write.

    `corrected`: a print whose end is known better now; its ENDED event is to be written anew.
    """

    saved: tuple[Print, ...]
    current: Print | None
    events: tuple[EventDraft, ...] = ()
    corrected: Print | None = None


def is_idle(current: Print | None, seen: Observation) -> bool:
    """True if `track` could change nothing, whatever the database holds: the status path then does no SQL."""
    if seen.ts is None:
        return True
    if seen.event in _EFFECTIVE:
        return False
    if current is None:
        return seen.ts == NOT_PRINTING or seen.filename is None
    return seen.ts == current.ext_id and seen.file_id in {None, current.g_code_file_id}


_EFFECTIVE = frozenset(EventType)


def track(
    user_id: int,
    printer_id: int,
    current: Print | None,
    known: Print | None,
    seen: Observation,
    now: datetime,
    filament_total: float | None = None,
) -> Outcome:
    """What `seen` does to the printer's prints.

    `known`: the stored print of this printer with `seen.ts`, deleted ones included. `filament_total`: mm that the
    current print's file needs, if known.
    """
    work = _Work(user_id, printer_id, current, seen, now, filament_total)
    if seen.ts is None:
        return work.outcome()
    if seen.ts == NOT_PRINTING:
        work.close_current(EndedReason.LOST, now)
        return work.outcome()
    if current is not None and _is_same(current, seen, known):
        work.keep(current)
        work.apply_event()
    elif known is not None:
        _known_again(work, known)
    elif _is_late(current, seen):
        work.add_late()
    else:
        work.open_new()
        work.apply_event()
    return work.outcome()


def _is_same(current: Print, seen: Observation, known: Print | None) -> bool:
    ts = seen.ts or 0
    if current.ext_id == ts:
        return True
    # The agent's clock was set right, or it restarted: same file, nearly the same start (§5.1).
    return known is None and current.filename == seen.filename and ts - 20 <= current.ext_id <= ts + 19


def _is_late(current: Print | None, seen: Observation) -> bool:
    """An event of an outbox that belongs to a print before the current one."""
    return current is not None and seen.event_id is not None and (seen.ts or 0) < current.ext_id


def _known_again(work: _Work, known: Print) -> None:
    seen = work.seen
    if known.deleted_at is not None:
        return
    if not known.ended:
        work.close_current(EndedReason.LOST, work.time())
        work.keep(known)
        work.apply_event()
    elif seen.event in _EFFECTIVE:
        work.apply_late(known)
    elif _was_given_up_too_early(work, known):
        work.keep(replace(known, finished_at=None, cancelled_at=None, ended_reason=None))


def _was_given_up_too_early(work: _Work, known: Print) -> bool:
    """An agent says -1 while only its printer's line is down, and then finds the print going on."""
    if known.ended_reason is not EndedReason.LOST or not work.seen.active or work.current is not None:
        return False
    return known.ended_at is not None and work.now - known.ended_at > REOPEN_AFTER


class _Work:
    """The prints as they change while one message is considered; nothing outside `track` sees it."""

    def __init__(
        self,
        user_id: int,
        printer_id: int,
        current: Print | None,
        seen: Observation,
        now: datetime,
        filament_total: float | None,
    ) -> None:
        self.user_id, self.printer_id = user_id, printer_id
        self.current, self.seen, self.now = current, seen, now
        self.filament_total = filament_total
        self.saved: list[Print] = []
        self.events: list[EventDraft] = []
        self.corrected: Print | None = None

    def outcome(self) -> Outcome:
        return Outcome(tuple(self.saved), self.current, tuple(self.events), self.corrected)

    def time(self) -> datetime:
        """When it happened: `event.at` if given, never in the future."""
        return min(self.seen.event_at or self.now, self.now)

    def _save(self, old: Print | None, new: Print) -> Print:
        """Note a change; the newest version of a print replaces an older one noted before."""
        if old == new:
            return new
        if old in self.saved:
            self.saved[self.saved.index(old)] = new
            self.events = [replace(event, target=new) if event.target == old else event for event in self.events]
        else:
            self.saved.append(new)
        return new

    def _change(self, current: Print, **changes: Any) -> Print:
        """Change the current print."""
        self.current = self._save(current, replace(current, **changes))
        return self.current

    # --- the current print -----------------------------------------------------------------------------------

    def keep(self, current: Print) -> None:
        before = self.current if self.current is not None and self.current.id == current.id else None
        self.current = current if before is None else before
        changes: dict[str, Any] = {}
        if before is None:
            self.saved.append(current)
        if self.seen.ts is not None and current.ext_id != self.seen.ts:
            changes["ext_id"] = self.seen.ts
        if self.seen.file_id is not None and current.g_code_file_id != self.seen.file_id:
            changes["g_code_file_id"] = self.seen.file_id
        if changes:
            self._change(self.current, **changes)

    def open_new(self) -> None:
        self.close_current(EndedReason.LOST, self._start())
        if self.seen.filename is None:
            return
        new = self._new(self._start())
        self.saved.append(new)
        self.current = new
        self.events.append(EventDraft(EventKind.STARTED, new.started_at, new))

    def _new(self, started_at: datetime) -> Print:
        return Print(
            id=0, user_id=self.user_id, printer_id=self.printer_id, ext_id=self.seen.ts or 0,
            filename=self.seen.filename or "", started_at=started_at, g_code_file_id=self.seen.file_id,
        )  # fmt: skip

    def _start(self) -> datetime:
        """The start of the print that the message is about: the event's own time, else its ts where that can be."""
        if self.seen.event is EventType.STARTED and self.seen.event_at is not None:
            return self.time()
        start = from_unix(self.seen.ts or 0)
        return start if start is not None and self.now - OLDEST_START <= start <= self.now else self.now

    def close_current(self, reason: EndedReason, at: datetime) -> None:
        if self.current is None:
            return
        closed = self._change(self.current, **_end(self.current, reason, clamp(at, self.current.started_at, self.now)))
        self.events.append(EventDraft(EventKind.ENDED, closed.ended_at or at, closed))
        self.current = None

    def apply_event(self) -> None:
        event, at, current = self.seen.event, self.time(), self.current
        if event is None or current is None:
            return
        if (kind := _NOTED.get(event)) is not None:
            self.events.append(EventDraft(kind, clamp(at, current.started_at, self.now), current))
        elif event is EventType.STARTED:
            if self.seen.event_at is not None and at < current.started_at:
                self._change(current, started_at=at)
        elif event is EventType.FAILED:
            self._failed(current, at)
        else:
            current = self._change(current, **self._figures(current, at))
            if event is EventType.CANCELLED and current.cancelled_at is None:
                cancelled = clamp(at, current.started_at, self.now)
                self._change(current, cancelled_at=cancelled, ended_reason=EndedReason.CANCELLED)
            elif event is EventType.DONE:
                self.close_current(EndedReason.DONE, at)

    def _failed(self, current: Print, at: datetime) -> None:
        if current.cancelled_at is None:
            figures = self._figures(current, at) if self.seen.print_time is not None else {}
            cancelled = clamp(at, current.started_at, self.now)
            self._change(current, cancelled_at=cancelled, **figures, **self._failure())
        self.close_current(EndedReason.CANCELLED, at)

    def _failure(self) -> dict[str, Any]:
        if self.seen.reason == "cancelled":
            return {"ended_reason": EndedReason.CANCELLED}
        text = self.seen.error or self.seen.reason
        return {"ended_reason": EndedReason.ERROR, "error_text": clean(text, ERROR_LIMIT) if text else None}

    def _figures(self, job: Print, at: datetime) -> dict[str, Any]:
        """Print time and filament; the first chance wins (§5.1)."""
        changes: dict[str, Any] = {}
        if job.print_time is None:
            spent = max(0.0, (at - job.started_at).total_seconds())
            changes["print_time"] = self.seen.print_time if self.seen.print_time is not None else spent
        if job.filament_used is None:
            used = self.seen.filament_used
            if used is None and self.filament_total is not None and self.seen.completion is not None:
                used = self.filament_total * self.seen.completion / 100
            if used is not None:
                changes["filament_used"] = used
        return changes

    # --- another print than the current one ------------------------------------------------------------------

    def apply_late(self, known: Print) -> None:
        """An event of a print that is over: noted with its time; a guessed end is put right."""
        event = self.seen.event
        at = clamp(self.time(), known.started_at, self.now)
        if event is None:
            return
        if (kind := _NOTED.get(event)) is not None:
            self.events.append(EventDraft(kind, at, known))
            return
        if event is EventType.STARTED or known.ended_reason not in {None, EndedReason.LOST}:
            return
        if event is EventType.CANCELLING:
            self._save(known, replace(known, **self._figures(known, at)))
            return
        changes: dict[str, Any] = dict(self._figures(known, at))
        if event is EventType.DONE:
            changes |= {"finished_at": at, "cancelled_at": None, "ended_reason": EndedReason.DONE}
        else:
            how = {"ended_reason": EndedReason.CANCELLED} if event is EventType.CANCELLED else self._failure()
            changes |= {"finished_at": None, "cancelled_at": at, **how}
        self.corrected = self._save(known, replace(known, **changes))

    def add_late(self) -> None:
        """A print that began before the current one and that we never heard of."""
        if self.seen.filename is None or self.current is None:
            return
        latest = self.current.started_at
        new = self._new(min(self._start(), latest))
        given_up = replace(new, **_end(new, EndedReason.LOST, latest))
        self.saved.append(given_up)
        self.events.append(EventDraft(EventKind.STARTED, given_up.started_at, given_up))
        self.events.append(EventDraft(EventKind.ENDED, latest, given_up))
        self.apply_late(given_up)
        # Its ENDED event is among the drafts, where `_save` has put the corrected print already.
        if self.corrected is not None:
            ended = self.corrected
            self.events = [
                replace(event, at=ended.ended_at or latest) if event.kind is EventKind.ENDED else event
                for event in self.events
            ]
            self.corrected = None


_NOTED = {
    EventType.PAUSED: EventKind.PAUSED,
    EventType.RESUMED: EventKind.RESUMED,
    EventType.FILAMENT_CHANGE: EventKind.FILAMENT_CHANGE,
}


def _end(job: Print, reason: EndedReason, at: datetime) -> dict[str, Any]:
    """The fields of an end; a cancelled print stays cancelled, whatever ends it (§5.1)."""
    if job.cancelled_at is not None:
        return {"ended_reason": job.ended_reason or EndedReason.CANCELLED}
    return {"finished_at": at, "ended_reason": reason}

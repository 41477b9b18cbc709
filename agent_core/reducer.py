"""(state, event, now) -> state, effects: the whole knowledge of what a print's life is, without any I/O.

The core thread is the only caller and keeps the state; everybody else gets frozen snapshots of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from agent_core.model import (
    ActivePrint,
    AlertRaised,
    Download,
    ExpectedPrint,
    HostEvent,
    HostSettings,
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
    SettingsReported,
)
from agent_core.wire.messages import EventType

SAME_PRINT_SECONDS = 20
"""A server takes start times this far apart for one print if the file is the same (wire-protocol.md §5.1)."""

TRANSIENT_SECONDS = 30.0
"""How long a transitional text may outlast its command while the printer shows nothing new (payload-mapping.md §3)."""

_UNKNOWN_END = "it ended while the agent was not watching, how is not known"


_GOALS = {Phase.PAUSING: Phase.PAUSED, Phase.RESUMING: Phase.PRINTING, Phase.CANCELLING: Phase.OPERATIONAL}


@dataclass(frozen=True, slots=True)
class Transient:
    """A command under way, shown as `Pausing`, `Resuming` or `Cancelling`.

    It stands until the command has ended, not only until the printer says "paused": retraction and lift come after
    that, and a resume that a person asks for meanwhile would be rejected. After the command it stands until the
    printer's own state has come to its goal or moved on from `seen`, at most until `until` (Unix seconds).
    """

    phase: Phase
    seen: Phase
    until: float | None = None

    def over(self, report: PrinterReport, now: float) -> bool:
        if self.until is None:
            return not report.phase.active
        # `seen` may lag: a host reports its state twice a second, and a resume can be over in between.
        there = report.phase is _GOALS.get(self.phase)
        # A clock that was set back by hours must not make it stand for hours.
        in_time = self.until - TRANSIENT_SECONDS <= now <= self.until
        return there or report.phase is not self.seen or not in_time


@dataclass(frozen=True, slots=True)
class AgentState:
    """What is known. `print_known` False: whether something prints is not known (the ts on the wire is then null)."""

    report: PrinterReport
    print: ActivePrint | None = None
    print_known: bool = False
    settings: HostSettings = field(default_factory=HostSettings)
    transient: Transient | None = None
    download: Download | None = None
    expected: ExpectedPrint | None = None

    @property
    def phase(self) -> Phase:
        """The phase to show: the printer's own, or the command's under way, or a download's (over Operational only)."""
        if self.transient is not None:
            return self.transient.phase
        if self.download is not None and self.report.phase is Phase.OPERATIONAL:
            return Phase.DOWNLOADING
        return self.report.phase


def initial(remembered: ActivePrint | None) -> AgentState:
    """The state at start: nothing known but the print that was under way when the agent last ran."""
    return AgentState(report=unknown_report("the agent has just started"), print=remembered)


def unknown_report(reason: str) -> PrinterReport:
    return PrinterReport(phase=Phase.OFFLINE, error=reason, closed_or_error=True)


# --- effects --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EmitPrintEvent:
    """To be put into the outbox, with the status and the print it belongs to as they were."""

    type: EventType
    print: ActivePrint
    at: float
    report: PrinterReport
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RememberPrint:
    """To be saved under the store key `print` (None: removed), in one transaction with the events beside it."""

    print: ActivePrint | None


@dataclass(frozen=True, slots=True)
class SendStatus:
    urgent: bool


@dataclass(frozen=True, slots=True)
class SendSettings:
    pass


@dataclass(frozen=True, slots=True)
class RegisterFile:
    """To be made known to the server, so that the print is linked to its file (§4, g_code upsert)."""

    ts: int
    job: Job


@dataclass(frozen=True, slots=True)
class TellAlert:
    alert: AlertRaised


Effect = EmitPrintEvent | RememberPrint | SendStatus | SendSettings | RegisterFile | TellAlert
Step = tuple[AgentState, tuple[Effect, ...]]


def reduce(state: AgentState, event: HostEvent, now: float) -> Step:  # noqa: C901 - one flat case for each event
    """One event applied. Idempotent: the same word twice has no second effect."""
    match event:
        case PrinterReported():
            return _reported(state, event, now)
        case PrinterUnknown():
            return _unknown(state, event)
        case PrintBegan():
            return _began(state, event)
        case PrintFound():
            return _found(state, event)
        case PrintPaused():
            return _paused(state, event.at)
        case PrintResumed():
            return _resumed(state, event.at)
        case PrintCancelling():
            return _cancelling(state, event.at)
        case PrintEnded():
            return _ended(state, event)
        case NothingPrints():
            return _nothing_prints(state, event)
        case SettingsReported():
            if event.settings == state.settings:
                return state, ()
            return replace(state, settings=event.settings), (SendSettings(),)
        case AlertRaised():
            return state, (TellAlert(event),)


def _unknown(state: AgentState, event: PrinterUnknown) -> Step:
    report = unknown_report(event.reason)
    if state.report == report and not state.print_known:
        return state, ()
    return replace(state, report=report, print_known=False, transient=None), (SendStatus(urgent=True),)


def _reported(state: AgentState, event: PrinterReported, now: float) -> Step:
    changed = event.report.phase is not state.report.phase
    transient = state.transient
    if transient is not None and transient.over(event.report, now):
        transient = None
    after = replace(state, report=event.report, transient=transient)
    effects: list[Effect] = [SendStatus(urgent=event.urgent or changed)]
    if after.print is not None and after.print_known and _is_news(state.report.job, event.report.job, after.print):
        effects.append(RegisterFile(after.print.ts, event.report.job))
    return after, tuple(effects)


def _began(state: AgentState, event: PrintBegan) -> Step:
    current = state.print
    if current is not None and current.ts == event.ts:
        return replace(state, print_known=True), ()
    closing = _close(state, PrintOutcome.FAILED, event.at, _UNKNOWN_END, None) if current is not None else ()
    begun = ActivePrint(ts=event.ts, filename=event.filename, began_at=event.at)
    data: dict[str, Any] = {"name": event.filename}
    expected = state.expected
    if expected is not None and expected.is_it(event.filename):
        # A farm ties the print to its order in the very transaction that makes it.
        begun = replace(begun, g_code_file_id=expected.g_code_file_id)
        data["order"] = expected.order
    after = replace(state, print=begun, print_known=True, expected=None)
    return after, (
        *closing,
        EmitPrintEvent(EventType.STARTED, begun, event.at, after.report, data),
        RememberPrint(begun),
        *_registration(after),
        SendStatus(urgent=True),
    )


def _found(state: AgentState, event: PrintFound) -> Step:
    current = state.print
    if current is not None and _same_print(current, event):
        known = replace(state, print_known=True)
        if event.paused and current.paused_at is None:
            return _paused(known, event.at)
        if not event.paused and current.paused_at is not None:
            return _resumed(known, event.at)
        return known, (*_registration(known), SendStatus(urgent=True))
    closing = _close(state, PrintOutcome.FAILED, event.at, _UNKNOWN_END, None) if current is not None else ()
    paused_at = event.at if event.paused else None
    found = ActivePrint(ts=event.ts, filename=event.filename, began_at=float(event.ts), paused_at=paused_at)
    after = replace(state, print=found, print_known=True)
    return after, (*closing, RememberPrint(found), *_registration(after), SendStatus(urgent=True))


def _same_print(current: ActivePrint, event: PrintFound) -> bool:
    if current.ts == event.ts:
        return True
    return current.filename == event.filename and abs(current.ts - event.ts) < SAME_PRINT_SECONDS


def _registration(state: AgentState) -> tuple[Effect, ...]:
    current, job = state.print, state.report.job
    if current is None or current.g_code_file_id is not None or not _is_file_of(job, current):
        return ()
    return (RegisterFile(current.ts, job),)


def _is_file_of(job: Job, current: ActivePrint) -> bool:
    """Whether a report tells the file of that print: the print's begin may be told before the new file is."""
    return job.signature is not None and current.filename in {job.name, job.path}


def _is_news(before: Job, job: Job, current: ActivePrint) -> bool:
    """Whether the print's file has become known just now, or is another one than the last report made it look like."""
    if not _is_file_of(job, current):
        return False
    if not _is_file_of(before, current):
        return current.g_code_file_id is None
    return before.signature != job.signature


def _paused(state: AgentState, at: float) -> Step:
    current = state.print
    if current is None or current.paused_at is not None:
        return state, ()
    paused = replace(current, paused_at=at)
    return _event(state, EventType.PAUSED, paused, at)


def _resumed(state: AgentState, at: float) -> Step:
    current = state.print
    if current is None or current.paused_at is None:
        return state, ()
    resumed = replace(current, paused_seconds=current.paused_until(at), paused_at=None)
    return _event(state, EventType.RESUMED, resumed, at)


def _cancelling(state: AgentState, at: float) -> Step:
    current = state.print
    if current is None or current.ending:
        return state, ()
    return _event(state, EventType.CANCELLING, replace(current, ending=True), at)


def _event(state: AgentState, kind: EventType, current: ActivePrint, at: float) -> Step:
    after = replace(state, print=current)
    emitted = EmitPrintEvent(kind, current, at, after.report, {"name": current.filename})
    return after, (emitted, RememberPrint(current), SendStatus(urgent=True))


def _ended(state: AgentState, event: PrintEnded) -> Step:
    if state.print is None:
        return replace(state, print_known=True), ()
    effects = _close(state, event.outcome, event.at, event.reason, event.report)
    after = replace(state, print=None, print_known=True, transient=None)
    return after, (*effects, RememberPrint(None), SendStatus(urgent=True))


def _nothing_prints(state: AgentState, event: NothingPrints) -> Step:
    if state.print is None:
        effects = () if state.print_known else (SendStatus(urgent=True),)
        return replace(state, print_known=True), effects
    outcome = PrintOutcome.CANCELLED if state.print.ending else PrintOutcome.FAILED
    reason = None if state.print.ending else _UNKNOWN_END
    return _ended(state, PrintEnded(outcome, event.at, reason))


def _close(
    state: AgentState, outcome: PrintOutcome, at: float, reason: str | None, report: PrinterReport | None
) -> tuple[Effect, ...]:
    """The closing events of the current print. A cancel is told as both agents of the public project tell it:
    PrintCancelled, then PrintFailed, both with the old ts (§3.3)."""
    current = state.print
    if current is None:
        return ()
    if current.paused_at is not None:
        current = replace(current, paused_seconds=current.paused_until(at), paused_at=None)
    data: dict[str, Any] = {"name": current.filename}
    last = report or state.report
    if outcome is PrintOutcome.DONE:
        return (EmitPrintEvent(EventType.DONE, current, at, last, data),)
    if outcome is PrintOutcome.CANCELLED:
        failed = {**data, "reason": reason or "cancelled"}
        return (
            EmitPrintEvent(EventType.CANCELLED, current, at, last, data),
            EmitPrintEvent(EventType.FAILED, current, at, last, failed),
        )
    return (EmitPrintEvent(EventType.FAILED, current, at, last, {**data, "reason": reason or "error"}),)


# --- what the agent itself does, not the host -------------------------------------------------------------------------


def command_began(state: AgentState, phase: Phase) -> AgentState:
    """A command was accepted: show its transitional text at once."""
    return replace(state, transient=Transient(phase=phase, seen=state.report.phase))


def command_ended(state: AgentState, succeeded: bool, now: float) -> AgentState:
    """The text stays until the printer's state moves on (at most 30 s), or goes at once after a failure."""
    if state.transient is None:
        return state
    ended = replace(state.transient, until=now + TRANSIENT_SECONDS)
    gone = not succeeded or ended.over(state.report, now)
    return replace(state, transient=None if gone else ended)


def file_registered(state: AgentState, ts: int, g_code_file_id: int) -> Step:
    """The server has told the file's id: repeated in every message of this print from now on (trap 5)."""
    if state.print is None or state.print.ts != ts or state.print.g_code_file_id == g_code_file_id:
        return state, ()
    known = replace(state.print, g_code_file_id=g_code_file_id)
    return replace(state, print=known), (RememberPrint(known), SendStatus(urgent=True))

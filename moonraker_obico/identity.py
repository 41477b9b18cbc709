"""Which print is it, and how did the one end that nobody watched? Pure; the facts come from Moonraker's history.

A print is told apart by the whole seconds of its history entry's start time (payload-mapping.md §2). Moonraker forgets:
a print that goes on over its restart gets no new entry, and one started within a second of Klipper's becoming ready may
get none, or one without a file name (recordings/moonraker/README.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agent_core.model import Phase, PrintEnded, PrinterReport, PrintOutcome, Progress
from moonraker_obico.history import REASONS, HistoryJob, find
from moonraker_obico.report import FileFacts, job

SAME_START_SECONDS = 60.0
"""How far Klipper's own clock of a print may be from the history's before they are two prints."""

NOT_WATCHED = "it ended while nobody was watching; how is not known"


@dataclass(frozen=True, slots=True)
class Known:
    """A print whose identity is settled."""

    ts: int
    filename: str


def current_job(jobs: Sequence[HistoryJob], filename: str) -> HistoryJob | None:
    """The entry of the print of `filename` that runs now, if the history has it: it can only be the newest."""
    if jobs and jobs[0].status == "in_progress" and jobs[0].filename == filename:
        return jobs[0]
    return None


def running_ts(*, filename: str, began: float, jobs: Sequence[HistoryJob], candidate: Known | None) -> int:
    """The identity of the print that runs; `began` is Klipper's own word for its start (now - total_duration)."""
    if candidate is not None and candidate.filename == filename and abs(candidate.ts - began) <= SAME_START_SECONDS:
        entry = find(jobs, candidate.ts, filename)
        if entry is None or entry.outcome is None:
            return candidate.ts
    current = current_job(jobs, filename)
    if current is not None:
        return current.ts
    for entry in jobs:
        # Moonraker was restarted: its entry was closed as server_exit, the print goes on.
        if entry.filename == filename and abs(entry.start_time - began) <= SAME_START_SECONDS:
            return entry.ts
    return max(1, int(began))


def missed_end(
    candidate: Known,
    *,
    jobs: Sequence[HistoryJob],
    state: str,
    filename: str,
    message: str,
    stopped: str | None,
    now: float,
) -> PrintEnded:
    """How the print ended that was under way when we last looked.

    `state`, `filename`, `message` are Klipper's present print_stats; `stopped` says why Klipper itself is down, if so.
    """
    entry = find(jobs, candidate.ts, candidate.filename)
    if entry is not None and entry.outcome is not None:
        reason = REASONS.get(entry.status)
        if entry.outcome is PrintOutcome.FAILED:
            reason = (
                stopped or reason or (message if filename == candidate.filename else "") or "Klipper reported an error"
            )
        return PrintEnded(entry.outcome, entry.end_time or now, reason, _last_figures(entry))
    outcome, reason = _by_state(candidate, state, filename, message, stopped)
    return PrintEnded(outcome, now, reason, None if entry is None else _last_figures(entry, final=False))


def _by_state(
    candidate: Known, state: str, filename: str, message: str, stopped: str | None
) -> tuple[PrintOutcome, str | None]:
    if stopped is not None:
        return PrintOutcome.FAILED, stopped
    if filename == candidate.filename:
        if state == "complete":
            return PrintOutcome.DONE, None
        if state == "cancelled":
            return PrintOutcome.CANCELLED, None
        if state == "error":
            return PrintOutcome.FAILED, message or "Klipper reported an error"
    if state == "standby":
        return PrintOutcome.FAILED, REASONS["klippy_disconnect"]
    return PrintOutcome.FAILED, NOT_WATCHED


def _last_figures(entry: HistoryJob, *, final: bool = True) -> PrinterReport:
    """A report as of the end of that print; of an entry that was closed too early only what stays true."""
    facts = FileFacts(entry.filename, entry.metadata, user=entry.user)
    progress = Progress(
        completion=100.0 if entry.outcome is PrintOutcome.DONE else None,
        print_time=entry.total_duration if final else None,
        print_time_includes_pauses=True,
        filament_used=entry.filament_used if final else None,
    )
    return PrinterReport(phase=Phase.OPERATIONAL, sd_ready=True, job=job(facts), progress=progress)

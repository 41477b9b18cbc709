"""Moonraker's job history: what became of a print, and how long earlier prints of a file took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent_core.model import PrintOutcome
from moonraker_obico.objects import as_number

HISTORY_LIMIT = 25
"""Jobs that are asked for at once; about 1 kB each."""

LATE_SECONDS = 15.0
"""How far an entry's start may be from Klipper's own clock of the same print."""

REASONS: Mapping[str, str] = {
    "klippy_shutdown": "Klipper shut down during the print",
    "klippy_disconnect": "Klipper was stopped or restarted during the print",
}


@dataclass(frozen=True, slots=True)
class HistoryJob:
    """One entry. `status` is one of in_progress, completed, cancelled, error, klippy_shutdown, klippy_disconnect,
    server_exit; the last says nothing about the print, which goes on when Moonraker stops.
    """

    filename: str
    status: str
    start_time: float
    end_time: float | None = None
    total_duration: float | None = None
    filament_used: float | None = None
    user: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ts(self) -> int:
        """The print's identity for the server: the integer part of its start time (payload-mapping.md §2)."""
        return int(self.start_time)

    @property
    def outcome(self) -> PrintOutcome | None:
        """None while it runs, and for server_exit."""
        return _OUTCOMES.get(self.status)


_OUTCOMES = {
    "completed": PrintOutcome.DONE,
    "cancelled": PrintOutcome.CANCELLED,
    "error": PrintOutcome.FAILED,
    "klippy_shutdown": PrintOutcome.FAILED,
    "klippy_disconnect": PrintOutcome.FAILED,
}


def read_job(wire: Any) -> HistoryJob | None:
    """None for what is no job."""
    if not isinstance(wire, dict):
        return None
    start = as_number(wire.get("start_time"))
    filename, status = wire.get("filename"), wire.get("status")
    if start is None or start < 1 or not isinstance(filename, str) or not isinstance(status, str):
        return None
    filament = as_number(wire.get("filament_used"))
    metadata = wire.get("metadata")
    return HistoryJob(
        filename=filename,
        status=status,
        start_time=start,
        end_time=as_number(wire.get("end_time")),
        total_duration=as_number(wire.get("total_duration")),
        # Negative when a print ended before the first extrusion: retractions count.
        filament_used=None if filament is None else max(0.0, filament),
        user=_user(wire.get("user")),
        metadata=metadata if isinstance(metadata, dict) else {},
    )


def read_jobs(result: Any) -> list[HistoryJob]:
    """The jobs of a `server.history.list` result, newest first; those that cannot be read are left out."""
    jobs = result.get("jobs") if isinstance(result, dict) else None
    if not isinstance(jobs, list):
        return []
    return [job for job in map(read_job, jobs[:HISTORY_LIMIT]) if job is not None]


def find(jobs: Sequence[HistoryJob], ts: int, filename: str) -> HistoryJob | None:
    """The entry of that print: the one of its start time, else the nearest within some seconds (an entry that came
    late, when the print had its identity from Klipper's clock already).
    """
    near = [job for job in jobs if job.filename == filename and abs(job.start_time - ts) <= LATE_SECONDS]
    return min(near, key=lambda job: abs(job.ts - ts), default=None)


def earlier_times(jobs: Sequence[HistoryJob], filename: str) -> tuple[float | None, float | None]:
    """(mean, newest) total duration in seconds of the completed prints of this file."""
    times = [
        job.total_duration
        for job in jobs
        if job.filename == filename and job.status == "completed" and job.total_duration
    ]
    return (sum(times) / len(times), times[0]) if times else (None, None)


def _user(value: Any) -> str | None:
    """Names that begin with `_` are Moonraker's own (`_TRUSTED_USER_`): nobody in particular."""
    if not isinstance(value, str) or not value or value.startswith("_") or value == "No User":
        return None
    return value

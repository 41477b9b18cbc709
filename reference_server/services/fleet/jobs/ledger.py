"""Where the copies of a job are, and how they move: the one place that writes jobs and attempts once they are queued.

Each move is a transaction's part: counters, state, and the event that tells of it, or nothing of all that. Moves that
make no sense any more (the attempt is over) are the caller's to keep from; `by` docs/fleet.md, the hand-over.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from reference_server.services.fleet import ids
from reference_server.services.fleet.jobs.model import MOST_MISSES, Attempt, AttemptState, Job, JobState
from reference_server.services.fleet.jobs.views import Names, job_view
from reference_server.services.model import EndedReason, Print
from reference_server.services.ports import Transaction
from reference_server.services.secrets import RandomBytes

NOBODY_SAW = "the server does not know how the print ended"
"""The reason of a copy whose print was over when its agent came back, and nobody told how."""

_EVENTS = {
    JobState.COMPLETED: "job.completed", JobState.FAILED: "job.failed", JobState.CANCELLED: "job.cancelled",
}  # fmt: skip


def place(attempt: Attempt) -> str:
    """Which of the job's counters the attempt's copy is in; only the newest attempt of a copy is asked."""
    if attempt.requeued:
        return "waiting"
    return "active" if attempt.state.open else attempt.state.value


def settled(job: Job, now: datetime) -> Job:
    """The job with the state that its counters say."""
    if job.waiting or job.active:
        return replace(job, state=JobState.QUEUED, completed_at=None) if job.state.over else job
    if job.completed == job.copies:
        state = JobState.COMPLETED
    elif job.cancelled and (job.cancel_requested_at is not None or not job.failed):
        state = JobState.CANCELLED
    else:
        state = JobState.FAILED
    return replace(job, state=state, completed_at=job.completed_at if job.state.over else now)


class Ledger:
    """For one transaction."""

    def __init__(self, tx: Transaction, now: datetime, random: RandomBytes) -> None:
        self._tx, self._now, self._random = tx, now, random

    # --- jobs ----------------------------------------------------------------------------------------------------

    def keep(self, before: Job, after: Job) -> Job:
        """Save a job that has changed, and tell what is news."""
        after = replace(settled(after, self._now), updated_at=self._now)
        self._tx.fleet.jobs.save(after)
        if after.state is not before.state:
            if after.state in _EVENTS:
                self.tell(_EVENTS[after.state], after)
            elif before.state is JobState.QUEUED and after.state is JobState.PRINTING:
                self.tell("job.started", after)
        return after

    def fail_waiting(self, job: Job, reason: str) -> Job:
        """No copy that waits can be printed."""
        return self.keep(job, replace(job, waiting=0, failed=job.failed + job.waiting, reason=reason))

    def tell(self, name: str, job: Job) -> None:
        view = job_view(job, Names(self._tx, [job]), self._tx.files.get(job.file_id))
        self._tx.fleet.events.emit(job.organization_id, name, job.public_id, {"job": view}, self._now)

    def job_of(self, attempt: Attempt) -> Job:
        job = self._tx.fleet.jobs.get(attempt.job_id)
        if job is None:  # the database keeps them together
            raise LookupError(f"attempt {attempt.public_id} has no job")
        return job

    def _move(self, before: Attempt, after: Attempt, **changes: Any) -> Job:
        """The attempt is another now, and its copy where that says; `changes` of the job besides."""
        after = replace(after, updated_at=self._now)
        self._tx.fleet.jobs.save_attempt(after)
        job = self.job_of(before)
        counts = {name: getattr(job, name) for name in ("waiting", "active", "completed", "failed", "cancelled")}
        counts[place(before)] -= 1
        counts[place(after)] += 1
        return self.keep(job, replace(job, **counts, **changes))

    # --- attempts ------------------------------------------------------------------------------------------------

    def assign(self, job: Job, printer_id: int) -> Attempt:
        """A waiting copy goes to a printer. Raises Conflict: that has an open attempt."""
        attempts = self._tx.fleet.jobs.attempts(job.id)
        taken = {attempt.copy for attempt in attempts if not attempt.requeued}
        copy = next(number for number in range(1, job.copies + 1) if number not in taken)
        attempt = self._tx.fleet.jobs.add_attempt(
            Attempt(
                0, ids.new_id(ids.ATTEMPT, self._random), job.id, job.organization_id, copy,
                1 + sum(attempt.copy == copy for attempt in attempts), printer_id, AttemptState.ASSIGNED,
                created_at=self._now, updated_at=self._now,
            )
        )  # fmt: skip
        self.keep(job, replace(job, waiting=job.waiting - 1, active=job.active + 1, printer_id=printer_id))
        return attempt

    def note(self, attempt: Attempt, **changes: Any) -> Attempt:
        """Facts that move no copy."""
        after = replace(attempt, updated_at=self._now, **changes)
        self._tx.fleet.jobs.save_attempt(after)
        return after

    def give_back(self, attempt: Attempt, reason: str, *, missed: bool = False) -> Job:
        """It did not start, for certain. After MOST_MISSES in a row the copy has failed; `missed`: this is one."""
        if self.job_of(attempt).cancel_requested_at is not None:
            return self.cancel(attempt, reason)
        if missed and 1 + self._misses_before(attempt) >= MOST_MISSES:
            return self.fail(replace(attempt, missed=True), f"{reason} ({MOST_MISSES} tries)")
        after = replace(
            attempt, state=AttemptState.RETURNED, requeued=True, missed=missed, ended_at=self._now, reason=reason
        )  # fmt: skip
        return self._move(attempt, after)

    def _misses_before(self, attempt: Attempt) -> int:
        count = 0
        for other in reversed(self._tx.fleet.jobs.attempts(attempt.job_id)):
            if other.copy == attempt.copy and other.id < attempt.id:
                if other.state is not AttemptState.RETURNED:
                    break
                count += other.missed
        return count

    def fail(self, attempt: Attempt, reason: str, *, retry: bool = False, elapsed: float | None = None) -> Job:
        """`retry`: the copy may go back to the queue as often as the job's `retries` say."""
        job = self.job_of(attempt)
        again = retry and job.cancel_requested_at is None and self._retries_used(attempt) < job.retries
        after = replace(
            attempt, state=AttemptState.FAILED, requeued=again, ended_at=self._now, reason=reason, elapsed=elapsed
        )  # fmt: skip
        return self._move(attempt, after, reason=reason, elapsed=job.elapsed + (elapsed or 0.0))

    def _retries_used(self, attempt: Attempt) -> int:
        others = self._tx.fleet.jobs.attempts(attempt.job_id)
        return sum(
            other.copy == attempt.copy and other.id != attempt.id and other.requeued
            and other.state is AttemptState.FAILED
            for other in others
        )  # fmt: skip

    def cancel(self, attempt: Attempt, reason: str, *, elapsed: float | None = None) -> Job:
        after = replace(attempt, state=AttemptState.CANCELLED, ended_at=self._now, reason=reason, elapsed=elapsed)
        return self._move(attempt, after, elapsed=self.job_of(attempt).elapsed + (elapsed or 0.0))

    # --- prints --------------------------------------------------------------------------------------------------

    def bind(self, attempt: Attempt, job_print: Print) -> Job:
        """The print of the attempt has begun. An attempt that was given up for not having started is put right."""
        job = self.job_of(attempt)
        after = replace(
            attempt, state=AttemptState.PRINTING, print_id=job_print.id, started_at=job_print.started_at,
            ended_at=None, reason=None, requeued=False,
        )  # fmt: skip
        changes: dict[str, Any] = {"state": JobState.PRINTING, "completed_at": None}
        if job.started_at is None:
            changes["started_at"] = job_print.started_at
        if attempt.state is AttemptState.FAILED:
            changes["reason"] = None
        return self._move(attempt, after, **changes)

    def end(self, attempt: Attempt, job_print: Print) -> Job | None:
        """The print is over, or how it ended is known better now. None: nothing is new."""
        elapsed = job_print.print_time
        if elapsed is None and job_print.ended_at is not None:
            elapsed = max(0.0, (job_print.ended_at - job_print.started_at).total_seconds())
        how = job_print.ended_reason
        if not attempt.state.open:
            return self._correct(attempt, job_print, elapsed)
        if how is EndedReason.DONE:
            after = replace(attempt, state=AttemptState.COMPLETED, ended_at=job_print.ended_at, elapsed=elapsed)
            return self._move(attempt, after, elapsed=self.job_of(attempt).elapsed + (elapsed or 0.0))
        if how is EndedReason.ERROR:
            return self.fail(attempt, job_print.error_text or "the print failed", retry=True, elapsed=elapsed)
        if how is EndedReason.LOST:
            return self.fail(attempt, NOBODY_SAW, elapsed=elapsed)
        return self.cancel(attempt, "the print was cancelled", elapsed=elapsed)

    def _correct(self, attempt: Attempt, job_print: Print, elapsed: float | None) -> Job | None:
        """An end that was only guessed. A copy that somebody has queued again meanwhile is not put right twice."""
        states = {EndedReason.DONE: AttemptState.COMPLETED, EndedReason.CANCELLED: AttemptState.CANCELLED}
        state = states.get(job_print.ended_reason or EndedReason.CANCELLED, AttemptState.FAILED)
        if attempt.state is not AttemptState.FAILED or attempt.reason != NOBODY_SAW:
            return None
        if job_print.ended_reason is EndedReason.LOST:
            return None
        reason = job_print.error_text if state is AttemptState.FAILED else None
        after = replace(
            attempt, state=state, ended_at=job_print.ended_at, elapsed=elapsed,
            reason=reason or ("the print failed" if state is AttemptState.FAILED else None),
        )  # fmt: skip
        newest = self.is_newest(attempt)
        if attempt.requeued and newest and state is not AttemptState.FAILED:
            after = replace(after, requeued=False)  # it waits for what is done already
        job = self.job_of(attempt)
        spent = max(0.0, job.elapsed - (attempt.elapsed or 0.0) + (elapsed or 0.0))
        more: dict[str, Any] = {"elapsed": spent, "reason": after.reason}
        if attempt.requeued and not newest:
            self.note(attempt, state=after.state, reason=after.reason, elapsed=elapsed)
            return self.keep(job, replace(job, **more))
        return self._move(attempt, after, **more)

    def reopen(self, attempt: Attempt) -> Job | None:
        """Its print, given up as lost, goes on after all. None: the copy is on its way elsewhere."""
        if not self.is_newest(attempt):
            return None
        job = self.job_of(attempt)
        after = replace(
            attempt, state=AttemptState.PRINTING, ended_at=None, reason=None, requeued=False, elapsed=None
        )  # fmt: skip
        elapsed = max(0.0, job.elapsed - (attempt.elapsed or 0.0))
        return self._move(attempt, after, state=JobState.PRINTING, completed_at=None, reason=None, elapsed=elapsed)

    def is_newest(self, attempt: Attempt) -> bool:
        """No other attempt of its copy came after it."""
        others = self._tx.fleet.jobs.attempts(attempt.job_id)
        return all(other.copy != attempt.copy or other.id <= attempt.id for other in others)

    # --- beds ----------------------------------------------------------------------------------------------------

    def bed(self, printer_id: int, *, clear: bool) -> None:
        printer = self._tx.fleet.printers.get(printer_id)
        if printer is not None and printer.bed_clear != clear:
            self._tx.fleet.printers.save(replace(printer, bed_clear=clear, updated_at=self._now))

"""From the end of a print to its videos, as rows: whatever is killed when, each job is done to its end, once.

The end of a print writes the job (in that transaction); a worker takes the oldest, builds, and notes the outcome
together with the print's paths in one transaction; only then are the pictures deleted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from reference_server.services.clock import Now
from reference_server.services.followers import PrintChange
from reference_server.services.model import EndedReason, EventKind, Print, Printer
from reference_server.services.ports import Store, Transaction
from reference_server.services.timelapse.model import Orientation, VideoJob, VideoPaths, VideoState

MOST_ATTEMPTS = 3
RETRY_AFTER = timedelta(seconds=60)

LOST_WAIT = timedelta(minutes=5)
"""A print that is only thought to be over may go on (decisions: print tracking): its pictures wait so long."""


def why_not(job: Print, printer: Printer) -> str | None:
    """Why no video is made of an ended print; None: one is (wire-protocol.md §5.5)."""
    ended = job.ended_at
    if ended is None:
        return "The print is not over."
    finished = job.finished_at is not None
    least = printer.min_timelapse_secs_on_finish if finished else printer.min_timelapse_secs_on_cancel
    how = "finished" if finished else "cancelled"
    if least < 0:
        return f"Time-lapses of {how} prints are switched off."
    if (ended - job.started_at).total_seconds() < least:
        return f"The print was shorter than {least} s (the printer's setting for {how} prints)."
    return None


class TimelapseFollower:
    """Writes the job of a print that has ended."""

    def __init__(self, now: Now) -> None:
        self._now = now

    def follow(self, tx: Transaction, change: PrintChange) -> None:
        ended = {event.print_id for event in change.events if event.event_type is EventKind.ENDED}
        for job in change.prints:
            if job.id in ended:
                self._queue(tx, job, change.printer)
        if change.corrected is not None:
            known = tx.video_jobs.of_print(change.corrected.id)
            if known is not None and known.state is VideoState.QUEUED:
                self._queue(tx, change.corrected, change.printer)

    def _queue(self, tx: Transaction, job: Print, printer: Printer) -> None:
        now, turn, why = self._now(), Orientation.of(printer), why_not(job, printer)
        wait = LOST_WAIT if job.ended_reason is EndedReason.LOST else timedelta()
        known = tx.video_jobs.of_print(job.id)
        tx.video_jobs.put(
            VideoJob(
                known.id if known else 0, job.id, job.printer_id, VideoState.QUEUED, why is None, now, now + wait,
                turn.flip_h, turn.flip_v, turn.rotation, error=why,
            )
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Task:
    """A job with what it needs. `image`: the picture of the print's end."""

    job: VideoJob
    image: str | None


class VideoJobs:
    """What the worker asks and tells; every method is one transaction and blocks."""

    def __init__(self, store: Store, now: Now) -> None:
        self._store, self._now = store, now

    def of_prints(self, prints: Sequence[Print]) -> tuple[Sequence[Print], Mapping[int, VideoJob]]:
        """The jobs of these prints, by print, and the prints, read anew where a job was finished since: a job that is
        done and a print without its video are never shown together."""
        with self._store.read() as tx:
            jobs = {job.print_id: job for job in tx.video_jobs.of_prints([job.id for job in prints])}

            def newest(known: Print) -> Print:
                job = jobs.get(known.id)
                if job is None or job.state is not VideoState.DONE or known.video_path is not None:
                    return known
                return tx.prints.get(known.id) or known

            return [newest(known) for known in prints], jobs

    def next(self) -> VideoJob | None:
        """The job to do now."""
        with self._store.read() as tx:
            return tx.video_jobs.next(self._now())

    def retry_failed(self, print_ids: Iterable[int]) -> int:
        """Queue failed jobs of these prints anew (their pictures are still there); how many."""
        with self._store.write() as tx:
            found = [job for job in tx.video_jobs.of_prints(list(print_ids)) if job.state is VideoState.FAILED]
            for job in found:
                tx.video_jobs.put(replace(job, state=VideoState.QUEUED, attempts=0, not_before=self._now()))
            return len(found)

    def begin(self, job: VideoJob) -> Task | None:
        """None: there is nothing to be done any more (the print was deleted, or it goes on), and the job is gone."""
        with self._store.write() as tx:
            subject = tx.prints.get(job.print_id)
            if subject is None or not subject.ended:
                tx.video_jobs.remove(job.id)
                return None
            if job.wanted and job.state is not VideoState.BUILDING:
                job = replace(job, state=VideoState.BUILDING)
                tx.video_jobs.put(job)
            event = tx.events.ended(job.print_id)
            return Task(job, event.image_path if event else None)

    def finish(self, job: VideoJob, paths: VideoPaths, why_none: str | None) -> VideoJob:
        """`why_none`: no video was made, for that reason."""
        with self._store.write() as tx:
            if (subject := tx.prints.get(job.print_id)) is not None:
                tx.prints.save(
                    replace(
                        subject, video_path=paths.video, tagged_video_path=paths.tagged_video,
                        poster_path=paths.poster, video_archived_at=None,
                    )
                )  # fmt: skip
            state = VideoState.DONE if why_none is None else VideoState.NONE
            return self._put(tx, replace(job, state=state, error=why_none, ended_at=self._now()))

    def fail(self, job: VideoJob, why: str, *, permanent: bool) -> VideoJob:
        """Try again later, or give up."""
        attempts = job.attempts + 1
        with self._store.write() as tx:
            if permanent or attempts >= MOST_ATTEMPTS:
                return self._put(
                    tx, replace(job, state=VideoState.FAILED, error=why, attempts=attempts, ended_at=self._now())
                )
            later = self._now() + attempts * RETRY_AFTER
            return self._put(
                tx, replace(job, state=VideoState.QUEUED, error=why, attempts=attempts, not_before=later)
            )

    def postpone(self, job: VideoJob, until: datetime, why: str) -> VideoJob:
        with self._store.write() as tx:
            return self._put(tx, replace(job, state=VideoState.QUEUED, not_before=until, error=why))

    @staticmethod
    def _put(tx: Transaction, job: VideoJob) -> VideoJob:
        tx.video_jobs.put(job)
        return job

"""The worker that turns the pictures of ended prints into videos (wire-protocol.md §5.5).

One print at a time. The job is a row (services/timelapse), the pictures stay until the outcome is committed, and the
same pictures give the same video: a server that is killed in the middle begins the job again and ends with the same.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from starlette.concurrency import run_in_threadpool

from reference_server.background import wait
from reference_server.media.disk import Room
from reference_server.media.event_images import oriented
from reference_server.media.frames import FrameStore
from reference_server.media.storage import MediaStore
from reference_server.media.video import Stopped, VideoBuilder, VideoFailed
from reference_server.services.clock import Now
from reference_server.services.live import Timelapse
from reference_server.services.timelapse.jobs import Task, VideoJobs
from reference_server.services.timelapse.model import VideoJob, VideoPaths, VideoState

log = logging.getLogger(__name__)

LOOK_EVERY = 2.0  # s between two looks for a job
FULL_WAIT = timedelta(minutes=1)
TOLD_EVERY = 1.0  # s between two words of progress to clients


def video_folder(print_id: int) -> str:
    return f"videos/{print_id}"


@dataclass(frozen=True, slots=True)
class _Share:
    """The progress of one video as a part of all that the print gets."""

    done: float
    part: float


class TimelapseWorker:
    """`tell`: called on the event loop with each change."""

    def __init__(
        self, jobs: VideoJobs, frames: FrameStore, media: MediaStore, room: Room, builder: VideoBuilder,
        tell: Callable[[int, Timelapse], None], now: Now, clock: Callable[[], float],
    ) -> None:  # fmt: skip
        self._jobs, self._frames, self._media, self._room = jobs, frames, media, room
        self._builder, self._tell, self._now, self._clock = builder, tell, now, clock
        self.progress: dict[int, float] = {}
        """Of the print whose video is being built: 0 to 1."""
        self._told_at = float("-inf")

    async def run(self, stop: asyncio.Event) -> None:
        # Pictures of a failed video are kept for some days: what was missing may be there now.
        await run_in_threadpool(self._jobs.retry_failed, await run_in_threadpool(self._frames.print_ids))
        while not stop.is_set():
            job = await run_in_threadpool(self._jobs.next)
            if job is None:
                await wait(stop, LOOK_EVERY)
            else:
                await self._do(job, stop)

    async def _do(self, job: VideoJob, stop: asyncio.Event) -> None:
        task = await run_in_threadpool(self._jobs.begin, job)
        if task is None:
            return
        job = task.job
        try:
            times = await run_in_threadpool(self._frames.times, job.print_id)
            if not job.wanted or not times:
                await self._without_video(task, times)
            elif not self._room.is_there():
                await self._postpone(job)
            else:
                await self._with_video(task, times, stop)
        except Stopped:
            return  # the row says that it was being built: it is built anew after the next start
        except VideoFailed as error:
            await (self._postpone(job) if error.disk_full else self._failed(job, str(error), error.permanent))
        except OSError as error:
            await self._failed(job, str(error.strerror or error), permanent=False)
        finally:
            self.progress.pop(job.print_id, None)

    async def _without_video(self, task: Task, times: Sequence[int]) -> None:
        poster = await run_in_threadpool(self._poster, task, times)
        why = task.job.error if not task.job.wanted else "There are no pictures of this print."
        job = await run_in_threadpool(self._jobs.finish, task.job, VideoPaths(None, None, poster), why)
        await run_in_threadpool(self._frames.drop, job.print_id)
        self._say(job)

    async def _with_video(self, task: Task, times: Sequence[int], stop: asyncio.Event) -> None:
        job = task.job
        self.progress[job.print_id] = 0.0
        self._say(job)
        plain = await run_in_threadpool(self._frames.pictures, job.print_id)
        tagged = await run_in_threadpool(lambda: self._frames.pictures(job.print_id, tagged=True))
        part = len(plain) / max(1, len(plain) + len(tagged))
        video = await self._video(job, plain, "timelapse", _Share(0.0, part), stop)
        tagged_video = None
        if tagged:
            tagged_video = await self._video(job, tagged, "tagged", _Share(part, 1 - part), stop)
        poster = await run_in_threadpool(self._poster, task, times)
        job = await run_in_threadpool(self._jobs.finish, job, VideoPaths(video, tagged_video, poster), None)
        await run_in_threadpool(self._frames.drop, job.print_id)
        log.info("print %s: its time-lapse of %d pictures is done", job.print_id, len(times))
        self.progress.pop(job.print_id, None)
        self._say(job)

    async def _video(
        self, job: VideoJob, pictures: Sequence[Path], name: str, share: _Share, stop: asyncio.Event
    ) -> str:
        path = f"{video_folder(job.print_id)}/{name}.mp4"
        final = self._media.locate(path)
        assert final is not None  # noqa: S101 - made of plain names
        final.parent.mkdir(parents=True, exist_ok=True)
        unfinished = final.with_name(f".part-{name}")  # a leftover is removed at the next start

        def on_progress(done: float) -> None:
            self.progress[job.print_id] = share.done + share.part * done
            if self._clock() - self._told_at >= TOLD_EVERY:
                self._say(job)

        try:
            built = await self._builder.build(pictures, unfinished, job.orientation, on_progress, stop)
        except (VideoFailed, Stopped):
            await run_in_threadpool(lambda: unfinished.unlink(missing_ok=True))
            raise
        if built.skipped:
            log.info("print %s: %d of its pictures could not be read", job.print_id, built.skipped)
        await run_in_threadpool(unfinished.replace, final)
        return path

    def _poster(self, task: Task, times: Sequence[int]) -> str | None:
        """The picture of the print's end; else the last one that was taken."""
        path = f"{video_folder(task.job.print_id)}/poster.jpg"
        try:
            if task.image is not None and self._media.link(task.image, path):
                return path
            if not times or (data := self._frames.read(task.job.print_id, times[-1])) is None:
                return None
            self._media.write(path, oriented(data, task.job.orientation))
        except OSError as error:
            log.warning("print %s has no poster: %s", task.job.print_id, error.strerror)
            return None
        return path

    async def _postpone(self, job: VideoJob) -> None:
        why = "The disk is nearly full; the video is built when there is room."
        self._say(await run_in_threadpool(self._jobs.postpone, job, self._now() + FULL_WAIT, why))

    async def _failed(self, job: VideoJob, why: str, permanent: bool) -> None:
        job = await run_in_threadpool(lambda: self._jobs.fail(job, why, permanent=permanent))
        again = "; it is tried again" if job.state is VideoState.QUEUED else ""
        log.warning("print %s: its time-lapse could not be built: %s%s", job.print_id, why, again)
        self._say(job)

    def _say(self, job: VideoJob) -> None:
        self._told_at = self._clock()
        self._tell(job.printer_id, timelapse_of(job, self.progress))


def timelapse_of(job: VideoJob, progress: dict[int, float]) -> Timelapse:
    done = {VideoState.DONE: 1.0}.get(job.state, progress.get(job.print_id, 0.0))
    return Timelapse(job.print_id, job.state.value, done, job.error)

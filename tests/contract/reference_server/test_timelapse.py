"""When a time-lapse is made, how its job survives trouble, which media go, and how pictures are turned."""

from __future__ import annotations

import asyncio
import io
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from reference_server.app import open_database
from reference_server.media.disk import Room
from reference_server.media.event_images import LatestPictures
from reference_server.media.frames import FrameStore
from reference_server.media.jpeg import read_size, turned
from reference_server.media.pictures import snapshot_path
from reference_server.media.retention import Retention, Settings
from reference_server.media.storage import MediaStore
from reference_server.media.timelapse import TimelapseWorker
from reference_server.media.video import Built, Stopped, VideoBuilder, VideoFailed
from reference_server.media.video_child import filters, fitted
from reference_server.services.followers import PrintChange
from reference_server.services.live import Timelapse
from reference_server.services.model import EndedReason, EventClass, EventKind, Print, Printer, PrinterEvent, User
from reference_server.services.timelapse.jobs import LOST_WAIT, MOST_ATTEMPTS, TimelapseFollower, VideoJobs, why_not
from reference_server.services.timelapse.model import Orientation
from reference_server.services.timelapse.retention import Kept, Limits, choose
from reference_server.store.database import Database
from tests.unit.reference_server.support import jpeg

START = datetime(2026, 11, 22, 6, tzinfo=timezone.utc)
PRINTER = Printer(1, 1, "P", "token", START)


def over(seconds: float, *, finished: bool = True, reason: EndedReason = EndedReason.DONE) -> Print:
    end = START + timedelta(seconds=seconds)
    ended = {"finished_at": end} if finished else {"cancelled_at": end}
    return replace(Print(0, 1, 1, 7, "a.gcode", START), ended_reason=reason, **ended)  # type: ignore[arg-type] # two times


# --- decisions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("job", "on_finish", "on_cancel", "word"),
    [
        (over(600), 600, 300, None),
        (over(599), 600, 300, "shorter than 600"),
        (over(300, finished=False), 600, 300, None),
        (over(299, finished=False), 600, 300, "shorter than 300"),
        (over(0), 0, 300, None),
        (over(9000), -1, 300, "switched off"),
        (over(9000, finished=False), 600, -1, "switched off"),
        (Print(0, 1, 1, 7, "a.gcode", START), 600, 300, "not over"),
    ],
)
def test_a_print_gets_a_video_if_it_was_long_enough(
    job: Print, on_finish: int, on_cancel: int, word: str | None
) -> None:
    printer = replace(PRINTER, min_timelapse_secs_on_finish=on_finish, min_timelapse_secs_on_cancel=on_cancel)
    found = why_not(job, printer)
    assert found == word or (found is not None and word is not None and word in found)


def test_the_primary_camera_says_how_pictures_are_turned() -> None:
    webcams: list[dict[str, Any]] = [
        {"is_primary_camera": False, "flipH": True, "flipV": True, "rotation": 180},
        {"is_primary_camera": True, "flipH": False, "flipV": True, "rotation": 90},
    ]
    assert Orientation.of(replace(PRINTER, settings={"webcams": webcams})) == Orientation(False, True, 90)
    assert Orientation.of(replace(PRINTER, settings={"webcams": webcams[:1]})) == Orientation(True, True, 180)
    assert Orientation.of(replace(PRINTER, settings={"webcams": [{"rotation": 7}]})) == Orientation()
    assert Orientation.of(PRINTER) == Orientation()


def kept(print_id: int, days: float, size: int = 10, printer_id: int = 1) -> Kept:
    return Kept(print_id, printer_id, START - timedelta(days=days), size)


@pytest.mark.parametrize(
    ("limits", "used", "gone", "fits"),
    [
        (Limits(), 10**15, (), True),
        (Limits(max_age_days=25), 60, (1,), True),
        (Limits(max_prints=2), 60, (1, 2), True),
        (Limits(most_bytes=60), 60, (), True),
        (Limits(most_bytes=41), 60, (1, 2), True),
        (Limits(most_bytes=30), 100, (1, 2, 3, 4, 5), False),
        (Limits(max_age_days=25, most_bytes=50), 60, (1,), True),
        (Limits(max_prints=2, most_bytes=35), 60, (1, 2, 3), True),
    ],
)
def test_the_oldest_media_go_first_and_no_more_than_needed(
    limits: Limits, used: int, gone: tuple[int, ...], fits: bool
) -> None:
    media = [kept(3, 10), kept(1, 30), kept(2, 20), kept(4, 5), kept(5, 1, 20, printer_id=2)]
    choice = choose(media, limits, START, used)
    assert (choice.print_ids, choice.fits) == (gone, fits)


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 1000), st.integers(1, 3)), max_size=40),
       st.integers(0, 300), st.integers(0, 10), st.integers(0, 5000), st.integers(0, 3000))  # fmt: skip
def test_what_stays_is_within_every_limit(
    entries: list[tuple[int, int, int]], days: int, most: int, share: int, others: int
) -> None:
    media = [kept(number, age, size, printer) for number, (age, size, printer) in enumerate(entries, 1)]
    used = others + sum(entry.size for entry in media)
    choice = choose(media, Limits(days, most, share), START, used)
    stays = [entry for entry in media if entry.print_id not in choice.print_ids]
    if days:
        assert all(entry.ended_at >= START - timedelta(days=days) for entry in stays)
    if most:
        assert all(sum(entry.printer_id == printer for entry in stays) <= most for printer in (1, 2, 3))
    if share and stays:
        assert others + sum(entry.size for entry in stays) <= share
    assert choice.fits == (not share or others + sum(entry.size for entry in stays) <= share)


# --- pictures --------------------------------------------------------------------------------------------------------


def picture() -> Image.Image:
    """Each corner has another grey, so that every turn shows."""
    image = Image.new("L", (64, 48))
    for (x, y), grey in {(0, 0): 40, (32, 0): 100, (0, 24): 160, (32, 24): 220}.items():
        image.paste(grey, (x, y, x + 32, y + 24))
    return image


def corners(image: Image.Image) -> list[int]:
    width, height = image.size
    spots = [(8, 8), (width - 8, 8), (8, height - 8), (width - 8, height - 8)]
    found = [image.convert("L").getpixel(spot) for spot in spots]
    return [round((value if isinstance(value, int | float) else 0) / 60) for value in found]


@pytest.mark.parametrize("flip_h", [False, True])
@pytest.mark.parametrize("flip_v", [False, True])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_a_turned_jpeg_shows_flips_first_then_rotation(flip_h: bool, flip_v: bool, rotation: int) -> None:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # what the camera itself believes does not count
    picture().save(buffer, "JPEG", exif=exif, quality=95)
    wanted = picture()
    wanted = ImageOps.mirror(wanted) if flip_h else wanted
    wanted = ImageOps.flip(wanted) if flip_v else wanted
    wanted = wanted.rotate(-rotation, expand=True)
    data = turned(buffer.getvalue(), flip_h=flip_h, flip_v=flip_v, rotation=rotation)
    if (flip_h, flip_v, rotation) in {(False, False, 0), (True, True, 180)}:
        assert data == buffer.getvalue()
        return
    shown = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert (shown.size, corners(shown)) == (wanted.size, corners(wanted))
    read_size(data)  # it is whole


def test_turning_leaves_what_is_no_jpeg_alone() -> None:
    assert turned(b"no picture", flip_h=True, flip_v=False, rotation=0) == b"no picture"
    assert turned(b"\xff\xd8\xff\xe1", flip_h=True, flip_v=False, rotation=0)


@given(st.integers(1, 20000), st.integers(1, 20000))
def test_videos_have_even_sizes_within_the_box(width: int, height: int) -> None:
    found = fitted(width, height)
    assert all(side % 2 == 0 and side >= 2 for side in found)
    assert max(found) <= 1280
    assert min(found) <= 960
    assert found[0] <= max(2, width) + 1
    assert found[1] <= max(2, height) + 1


def test_the_videos_filters_are_flips_first_then_rotation() -> None:
    assert filters(False, False, 0) == []
    assert [name for name, _ in filters(True, True, 90)] == ["hflip", "vflip", "transpose"]
    assert filters(False, False, 270) == [("transpose", "cclock")]


# --- jobs ------------------------------------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now = START + timedelta(hours=1)

    def __call__(self) -> datetime:
        return self.now


Build = Callable[[Path, asyncio.Event], Built]


class FakeBuilder(VideoBuilder):
    """Does what `build` says; notes what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[list[str], Orientation]] = []
        self.outcome: Build = self.works

    @staticmethod
    def works(out: Path, stop: asyncio.Event) -> Built:
        out.write_bytes(b"video")
        return Built(3, 0)

    async def build(self, pictures: Any, out: Any, turn: Any, on_progress: Any, stop: Any) -> Built:
        self.asked.append(([path.parent.name for path in pictures], turn))
        on_progress(0.5)
        return self.outcome(out, stop)


@dataclass
class Workshop:
    folder: Path
    database: Database
    clock: Clock
    frames: FrameStore
    media: MediaStore
    jobs: VideoJobs
    worker: TimelapseWorker
    builder: FakeBuilder
    told: list[Timelapse]
    printer: Printer
    free: list[int]

    def printed(self, seconds: float = 700, pictures: int = 3, tagged: int = 0, **how: Any) -> Print:
        """A print that has just ended, with its job."""
        with self.database.write() as tx:
            job = tx.prints.add(replace(over(seconds, **how), ext_id=1 + len(tx.media.print_ids())))
            event = tx.events.add(
                PrinterEvent(0, 1, 1, job.id, EventKind.ENDED, EventClass.SUCCESS, "", "", job.ended_at or START)
            )
            TimelapseFollower(self.clock).follow(tx, PrintChange(self.printer, (job,), (event,)))
        for kind, count in ((False, pictures), (True, tagged)):
            for number in range(count):
                self.frames.keep(job.id, START + timedelta(seconds=10 * number), jpeg(), tagged=kind)
        return job

    def work(self) -> None:
        """Everything that can be done now."""

        async def go() -> None:
            stop = asyncio.Event()
            while (job := self.jobs.next()) is not None:
                await self.worker._do(job, stop)

        asyncio.run(go())

    def stored(self, job: Print) -> Print:
        with self.database.read() as tx:
            found = tx.prints.get(job.id)
        assert found is not None
        return found

    def state(self, job: Print) -> tuple[str, str | None]:
        found = self.jobs.of_prints([job])[1][job.id]
        return found.state.value, found.error


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Workshop]:
    database = open_database(tmp_path / "s.sqlite3")
    with database.write() as tx:
        tx.users.add(User(0, "ada", "", True, START), "hash")
        printer = tx.printers.add(replace(PRINTER, id=0))
    folder, clock, free = tmp_path / "media", Clock(), [10**12]
    media, ticks = MediaStore(folder), iter(range(0, 10**9, 10))
    media.prepare()
    room = Room(folder, 1000, lambda: next(ticks), lambda _: free[0])
    frames, jobs, builder, told = FrameStore(media, room), VideoJobs(database, clock), FakeBuilder(), []
    worker = TimelapseWorker(
        jobs, frames, media, room, builder, lambda _, timelapse: told.append(timelapse), clock, lambda: 0.0
    )
    yield Workshop(folder, database, clock, frames, media, jobs, worker, builder, told, printer, free)
    database.close()


def test_a_print_with_tagged_pictures_gets_both_videos_and_a_poster(shop: Workshop) -> None:
    job = shop.printed(pictures=3, tagged=2)
    shop.work()
    assert [kinds for kinds, _ in shop.builder.asked] == [["raw"] * 3, ["tagged", "tagged", "raw"]]
    stored = shop.stored(job)
    folder = f"videos/{job.id}"
    assert (stored.video_path, stored.tagged_video_path) == (f"{folder}/timelapse.mp4", f"{folder}/tagged.mp4")
    assert shop.media.read(f"{folder}/poster.jpg") == jpeg()  # the last picture: the event had none
    assert shop.state(job) == ("done", None)
    assert shop.frames.print_ids() == []
    assert shop.told[0].state == "building"
    assert (shop.told[-1].state, shop.told[-1].progress) == ("done", 1.0)


def test_done_is_never_said_of_a_print_without_its_video(shop: Workshop) -> None:
    """Who read the print just before the video was finished, and its job just after."""
    before = shop.printed()
    shop.work()
    assert before.video_path is None
    (shown,), jobs = shop.jobs.of_prints([before])
    assert (jobs[before.id].state.value, shown.video_path) == ("done", f"videos/{before.id}/timelapse.mp4")


def test_no_pictures_no_video(shop: Workshop) -> None:
    job = shop.printed(pictures=0)
    shop.work()
    assert shop.state(job) == ("none", "There are no pictures of this print.")
    assert shop.builder.asked == []


def test_a_failure_is_tried_again_later_then_told(shop: Workshop) -> None:
    def fails(out: Path, stop: asyncio.Event) -> Built:
        raise VideoFailed("the program that builds it was ended by signal 9")

    shop.builder.outcome = fails
    job = shop.printed()
    for attempt in range(1, MOST_ATTEMPTS + 1):
        shop.work()
        assert len(shop.builder.asked) == attempt
        shop.clock.now += timedelta(minutes=10)
    shop.work()
    assert shop.state(job) == ("failed", "the program that builds it was ended by signal 9")
    assert len(shop.builder.asked) == MOST_ATTEMPTS
    assert shop.frames.times(job.id)  # kept, in case somebody mends it
    assert shop.jobs.retry_failed([job.id, 99]) == 1
    shop.builder.outcome = FakeBuilder.works
    shop.work()
    assert shop.state(job) == ("done", None)


def test_what_cannot_work_is_not_tried_again(shop: Workshop) -> None:
    def fails(out: Path, stop: asyncio.Event) -> Built:
        raise VideoFailed("time-lapses need the Python package `av`", permanent=True)

    shop.builder.outcome = fails
    job = shop.printed()
    shop.work()
    assert shop.state(job) == ("failed", "time-lapses need the Python package `av`")


def test_a_full_disk_makes_the_video_wait(shop: Workshop) -> None:
    job = shop.printed()
    shop.free[0] = 10
    shop.work()
    assert shop.builder.asked == []
    assert shop.state(job)[0] == "queued"
    assert "nearly full" in (shop.state(job)[1] or "")

    def fills_up(out: Path, stop: asyncio.Event) -> Built:
        raise VideoFailed("No space left on device", disk_full=True)

    shop.free[0], shop.builder.outcome = 10**12, fills_up
    for _ in range(MOST_ATTEMPTS + 2):  # that is no attempt which counts
        shop.clock.now += timedelta(minutes=2)
        shop.work()
        assert shop.state(job)[0] == "queued"
    shop.builder.outcome = FakeBuilder.works
    shop.clock.now += timedelta(minutes=2)
    shop.work()
    assert shop.state(job) == ("done", None)


def test_a_stopped_server_builds_it_anew(shop: Workshop) -> None:
    def stops(out: Path, stop: asyncio.Event) -> Built:
        out.write_bytes(b"half")
        raise Stopped

    shop.builder.outcome = stops
    job = shop.printed()

    async def once() -> None:
        found = shop.jobs.next()
        assert found is not None
        await shop.worker._do(found, asyncio.Event())

    asyncio.run(once())
    assert shop.state(job) == ("building", None)
    assert not list((shop.folder / "videos" / str(job.id)).iterdir())
    shop.builder.outcome = FakeBuilder.works
    shop.work()
    assert shop.state(job) == ("done", None)


def test_a_print_that_was_only_lost_waits_and_may_go_on(shop: Workshop) -> None:
    job = shop.printed(reason=EndedReason.LOST)
    shop.work()
    assert shop.builder.asked == []
    with shop.database.write() as tx:
        tx.prints.save(replace(job, finished_at=None, ended_reason=None))
    shop.clock.now += LOST_WAIT
    shop.work()
    assert shop.jobs.of_prints([job])[1] == {}
    assert shop.frames.times(job.id)


def test_the_true_end_of_a_lost_print_decides_anew(shop: Workshop) -> None:
    job = shop.printed(seconds=400, reason=EndedReason.LOST)  # too short for a finished one
    cancelled = replace(job, finished_at=None, cancelled_at=job.finished_at, ended_reason=EndedReason.CANCELLED)
    with shop.database.write() as tx:
        tx.prints.save(cancelled)
        TimelapseFollower(shop.clock).follow(tx, PrintChange(shop.printer, (), (), cancelled))
    shop.work()
    assert shop.state(job) == ("done", None)


def test_a_deleted_print_gets_nothing(shop: Workshop) -> None:
    job = shop.printed()
    with shop.database.write() as tx:
        tx.prints.save(replace(job, deleted_at=START))
    shop.work()
    assert shop.jobs.of_prints([job])[1] == {}
    assert shop.builder.asked == []


# --- the child -------------------------------------------------------------------------------------------------------


def build(folder: Path, program: tuple[str, ...], seconds: float = 20, pictures: tuple[bytes, ...] = (b"x",)) -> Built:
    paths = [folder / f"{number}.jpg" for number in range(len(pictures))]
    for path, data in zip(paths, pictures, strict=True):
        path.write_bytes(data)

    async def go() -> Built:
        builder = VideoBuilder(program, seconds)
        return await builder.build(paths, folder / "out.mp4", Orientation(), lambda _: None, asyncio.Event())

    return asyncio.run(go())


def program(text: str) -> tuple[str, ...]:
    return (sys.executable, "-c", text)


CHILD = (sys.executable, "-m", "reference_server.media.video_child")


@pytest.mark.parametrize(
    ("text", "word", "permanent"),
    [
        ("import os; os.kill(os.getpid(), 9)", "signal 9", False),
        ("raise SystemExit(4)", "ended with 4", False),
        ("print('no json'); print('[1]')", "ended with 0", False),
        ("""print('{"error": "no libx264", "permanent": true}')""", "no libx264", True),
        ("import threading; threading.Event().wait()", "longer than 0.5 s", False),
    ],
)
def test_whatever_the_child_does_becomes_one_line(tmp_path: Path, text: str, word: str, permanent: bool) -> None:
    with pytest.raises(VideoFailed, match=word) as caught:
        build(tmp_path, program(text), seconds=0.5 if "wait" in text else 20)
    assert caught.value.permanent is permanent


def test_without_pyav_the_job_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = tmp_path / "absent"
    absent.mkdir()
    (absent / "av.py").write_text("raise ImportError('no module named av')")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(absent), os.environ.get("PYTHONPATH", "")]))
    with pytest.raises(VideoFailed, match="pip install av") as caught:
        build(tmp_path, CHILD)
    assert caught.value.permanent


def test_pictures_that_cannot_be_read_are_skipped(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    picture().convert("RGB").save(buffer, "JPEG")
    good = buffer.getvalue()
    assert build(tmp_path, CHILD, 60, (b"", good, good[:300], good)) == Built(2, 2)
    with pytest.raises(VideoFailed, match="none of the print's pictures"):
        build(tmp_path, CHILD, 60, (b"junk", b""))


# --- events' pictures and retention ----------------------------------------------------------------------------------


def test_an_event_has_the_latest_picture_if_it_is_of_that_time(shop: Workshop) -> None:
    images = LatestPictures(shop.media, Room(shop.folder, 0, lambda: 0.0), os.urandom)
    assert images.latest(shop.printer, START) is None
    source = snapshot_path(1, "", primary=True)
    shop.media.write(source, jpeg())
    taken = datetime.fromtimestamp((shop.folder / source).stat().st_mtime, timezone.utc)
    path = images.latest(shop.printer, taken + timedelta(minutes=9))
    assert path is not None
    shop.media.write(source, jpeg(32, 32))  # the next picture leaves the event's alone
    assert shop.media.read(path) == jpeg()
    assert images.latest(shop.printer, taken - timedelta(minutes=11)) is None
    turning = replace(shop.printer, settings={"webcams": [{"is_primary_camera": True, "rotation": 90}]})
    turned_path = images.latest(turning, taken)
    assert turned_path is not None
    assert b"Exif" in (shop.media.read(turned_path) or b"")
    full = LatestPictures(shop.media, Room(shop.folder, 10, lambda: 0.0, lambda _: 9), os.urandom)
    assert full.latest(shop.printer, taken) is None


def retention(shop: Workshop, settings: Settings, total: int = 10**12, later: float = 10**7) -> Retention:
    return Retention(
        shop.database, shop.media, shop.folder, settings, shop.clock, lambda _: total,
        lambda: datetime.now(timezone.utc).timestamp() + later,
    )  # fmt: skip


def finished(shop: Workshop, size: int = 1000) -> Print:
    job = shop.printed(pictures=0)
    shop.work()
    shop.media.write(f"videos/{job.id}/timelapse.mp4", b"v" * size)
    shop.media.write(f"events/1/{job.id}.jpg", b"e" * size)
    with shop.database.write() as tx:
        tx.prints.save(replace(job, video_path=f"videos/{job.id}/timelapse.mp4"))
        event = tx.events.ended(job.id)
        assert event is not None
        tx.events.save(replace(event, image_path=f"events/1/{job.id}.jpg"))
    return job


def test_old_media_go_and_their_rows_stay(shop: Workshop) -> None:
    jobs = [finished(shop) for _ in range(3)]
    swept = retention(shop, Settings(0, 2, 0)).sweep()
    assert swept.prints == (jobs[0].id,)
    stored = shop.stored(jobs[0])
    assert (stored.video_path, stored.video_archived_at) == (None, shop.clock.now)
    with shop.database.read() as tx:
        event = tx.events.ended(jobs[0].id)
        assert event is not None
        assert event.image_path is None
    assert not (shop.folder / "videos" / str(jobs[0].id)).exists()
    assert not (shop.folder / "events" / "1" / f"{jobs[0].id}.jpg").exists()
    assert (shop.folder / "videos" / str(jobs[2].id) / "timelapse.mp4").exists()
    shop.clock.now += timedelta(days=40)
    assert retention(shop, Settings(30, 0, 0)).sweep().prints == (jobs[1].id, jobs[2].id)
    assert retention(shop, Settings(30, 0, 0)).sweep().prints == ()


def test_media_stay_within_their_share_of_the_disk(
    shop: Workshop, caplog: pytest.LogCaptureFixture
) -> None:
    jobs = [finished(shop) for _ in range(4)]
    # 4 prints of 2 kB; half of 10 kB may be used.
    swept = retention(shop, Settings(0, 0, 50), total=10_000).sweep()
    assert swept.prints == (jobs[0].id, jobs[1].id)
    assert swept.used <= 5000
    caplog.clear()
    running = shop.printed(pictures=0)
    shop.work()
    with shop.database.write() as tx:
        tx.prints.save(replace(running, finished_at=None, ended_reason=None))
        tx.printers.save(replace(shop.printer, current_print_id=running.id))
    shop.media.write(f"frames/{running.id}/raw/1.jpg", b"f" * 9000)
    again = retention(shop, Settings(0, 0, 50), total=10_000)
    assert again.sweep().prints == (jobs[2].id, jobs[3].id)
    assert (shop.folder / "frames" / str(running.id) / "raw" / "1.jpg").exists()
    again.sweep()
    assert len([record for record in caplog.records if "--media-max-disk-percent" in record.getMessage()]) == 1


def test_what_nothing_refers_to_goes_once_it_is_old(shop: Workshop) -> None:
    kept_one = finished(shop)
    waiting = shop.printed()  # its pictures have a job
    leftovers = ("frames/900/raw/1.jpg", "videos/900/timelapse.mp4", "snapshots/900/primary.jpg", "events/1/x.jpg")
    for path in leftovers:
        shop.media.write(path, b"x")
    shop.media.write("snapshots/1/primary.jpg", b"x")
    assert retention(shop, Settings(0, 0, 0), later=60).sweep().leftovers == 0
    assert retention(shop, Settings(0, 0, 0)).sweep().leftovers == 4
    assert not any((shop.folder / path).exists() for path in leftovers)
    assert (shop.folder / "snapshots/1/primary.jpg").exists()
    assert (shop.folder / "videos" / str(kept_one.id) / "timelapse.mp4").exists()
    assert shop.frames.times(waiting.id)

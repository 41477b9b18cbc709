"""Prints of past days for the demo: rows and pictures only; the server builds the videos, as it does after any print.

`python -m demo.history DATA_DIR` seeds every printer of a server's data folder, whether the server runs or not.
"""

from __future__ import annotations

import argparse
import io
import random
import sys
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

from PIL import Image, ImageDraw

from demo.scene import Progress, draw
from reference_server.app import open_database
from reference_server.media.disk import Room
from reference_server.media.event_images import event_image_path
from reference_server.media.frames import FrameStore
from reference_server.media.storage import MediaStore
from reference_server.services import event_text
from reference_server.services.followers import PrintChange
from reference_server.services.model import EndedReason, EventKind, Print, Printer, PrinterEvent
from reference_server.services.ports import Transaction
from reference_server.services.secrets import system_random
from reference_server.services.timelapse.jobs import TimelapseFollower

SIZE = (640, 480)
PICTURES = 240
"""Of a whole print: 8 seconds of video."""

TAGGED_FROM = 0.6
"""The share of a print after which the drawn failure is seen."""


@dataclass(frozen=True, slots=True)
class Story:
    """One past print: it began `ago` and took `hours`, as far as `fraction`."""

    filename: str
    ago: timedelta
    hours: float
    reason: EndedReason
    fraction: float = 1.0
    error: str | None = None
    filament: float = 0.0  # mm, of the whole print
    paused: bool = False
    failing: bool = False


STORIES = (
    Story("spool_holder.gcode", timedelta(days=6, hours=3), 3.4, EndedReason.DONE, filament=9120.0),
    Story("cable_clip.gcode", timedelta(days=4, hours=7), 0.8, EndedReason.CANCELLED, 0.55, filament=1480.0),
    Story("lamp_shade.gcode", timedelta(days=2, hours=9), 5.2, EndedReason.DONE, filament=14_350.0, paused=True,
          failing=True),
    Story("fan_duct.gcode", timedelta(days=1, hours=5), 1.6, EndedReason.ERROR, 0.4,
          "Heater extruder not heating at expected rate", 3900.0),
)  # fmt: skip


def seed_history(data_dir: Path, printer_ids: Collection[int] | None = None, now: datetime | None = None) -> list[int]:
    """Give each printer (None: all) its past prints; the ids of the prints. A second call adds nothing."""
    now = now or datetime.now(timezone.utc)
    database = open_database(data_dir / "server.sqlite3")
    media = MediaStore(data_dir / "media")
    frames = FrameStore(media, Room(data_dir, 0, lambda: 0.0))
    made: list[int] = []
    try:
        with database.read() as tx:
            wanted = [printer for number in tx.media.printer_ids() if (printer := tx.printers.get(number)) is not None]
        for printer in wanted:
            if printer_ids is not None and printer.id not in printer_ids:
                continue
            for story in STORIES:
                # The printers were not all busy at the very same time.
                started_at = now - story.ago - timedelta(minutes=17 * printer.id)
                with database.write() as tx:
                    job = _begun(tx, printer, story, started_at)
                if job is None:
                    continue
                last = _keep_pictures(frames, printer, job, story)
                image = event_image_path(printer.id, system_random)
                media.write(image, last)
                with database.write() as tx:
                    _end(tx, printer, job, story, image, now)
                made.append(job.id)
    finally:
        database.close()
    return made


def _end_of(job: Print, story: Story) -> datetime:
    return job.started_at + timedelta(hours=story.hours * story.fraction)


def _begun(tx: Transaction, printer: Printer, story: Story, started_at: datetime) -> Print | None:
    """None: it is there already."""
    ext_id = int(started_at.timestamp())
    known = [tx.prints.by_ext_id(printer.id, ext_id + near) for near in range(-120, 121)]
    if any(known):
        return None
    return tx.prints.add(Print(0, printer.user_id, printer.id, ext_id, story.filename, started_at))


def _keep_pictures(frames: FrameStore, printer: Printer, job: Print, story: Story) -> bytes:
    """Draw and store the print's pictures; the last one."""
    count = max(2, round(PICTURES * story.fraction))
    picture = b""
    for number in range(count):
        share = number / (count - 1)
        at = job.started_at + share * (_end_of(job, story) - job.started_at)
        picture = draw(Progress(share * story.fraction, "printing"), SIZE, printer.name, at.timestamp())
        if story.failing and share > TAGGED_FROM:
            picture = _with_strands(picture, share)
            frames.keep(job.id, at, _with_box(picture), tagged=True)
        frames.keep(job.id, at, picture)
    return picture


def _with_strands(picture: bytes, share: float) -> bytes:
    """Loose filament beside the part, more of it as time goes on."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    pen, chance = ImageDraw.Draw(image), random.Random(7)  # noqa: S311 - the same strands in each picture
    for _ in range(round(60 * (share - TAGGED_FROM))):
        x, y = chance.randint(380, 470), chance.randint(330, 400)
        box = (x, y, x + chance.randint(20, 60), y + chance.randint(10, 40))
        pen.arc(box, chance.randint(0, 180), chance.randint(181, 360), (230, 120, 40), 2)
    return _jpeg(image)


def _with_box(picture: bytes) -> bytes:
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    ImageDraw.Draw(image).rectangle((370, 320, 540, 445), outline=(0, 255, 0), width=3)
    return _jpeg(image)


def _jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def _end(tx: Transaction, printer: Printer, job: Print, story: Story, image: str, now: datetime) -> None:
    ended_at, finished = _end_of(job, story), story.reason is EndedReason.DONE
    alerted = job.started_at + (TAGGED_FROM + 0.1) * (ended_at - job.started_at) if story.failing else None
    job = replace(
        job, finished_at=ended_at if finished else None, cancelled_at=None if finished else ended_at,
        ended_reason=story.reason, error_text=story.error, filament_used=story.filament * story.fraction,
        print_time=(ended_at - job.started_at).total_seconds(), alerted_at=alerted,
        alert_acknowledged_at=alerted and alerted + timedelta(minutes=4),
    )  # fmt: skip
    tx.prints.save(job)
    moments = {EventKind.STARTED: job.started_at}
    if story.paused:
        middle = job.started_at + (ended_at - job.started_at) / 2
        moments |= {EventKind.PAUSED: middle, EventKind.RESUMED: middle + timedelta(minutes=6)}
    if alerted is not None:
        moments[EventKind.FAILURE_ALERTED] = alerted
    moments[EventKind.ENDED] = ended_at
    ended = tuple(
        tx.events.add(_event(printer, job, kind, at, image if kind is EventKind.ENDED else None))
        for kind, at in sorted(moments.items(), key=lambda moment: moment[1])
    )[-1:]
    TimelapseFollower(lambda: now).follow(tx, PrintChange(printer, (job,), ended))


def _event(printer: Printer, job: Print, kind: EventKind, at: datetime, image: str | None) -> PrinterEvent:
    title, event_class = event_text.title_and_class(kind, job)
    return PrinterEvent(
        0, printer.user_id, printer.id, job.id, kind, event_class, title, event_text.text(printer, job), at, image
    )


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m demo.history", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("data_dir", type=Path, metavar="DATA_DIR")
    folder = parser.parse_args(argv).data_dir
    if not (folder / "server.sqlite3").exists():
        print(f"{folder} is no data folder of a server: it has no server.sqlite3", file=sys.stderr)
        return 1
    print(f"{len(seed_history(folder))} prints of past days were added; the server builds their videos now")
    return 0


if __name__ == "__main__":
    sys.exit(main())

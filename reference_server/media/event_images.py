"""The picture of an event: a copy of the printer's latest one, turned as its camera asks (wire-protocol.md §5.2)."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta, timezone

from reference_server.media.disk import Room
from reference_server.media.jpeg import turned
from reference_server.media.pictures import snapshot_path
from reference_server.media.storage import MediaStore
from reference_server.services.model import Printer
from reference_server.services.secrets import RandomBytes, token
from reference_server.services.timelapse.model import Orientation

log = logging.getLogger(__name__)

NEAR = timedelta(minutes=10)
"""A picture further than this from the event shows something else (agents send one in 2 minutes while printing)."""


def event_image_path(printer_id: int, random: RandomBytes) -> str:
    return f"events/{printer_id}/{token(random, 12)}.jpg"


def oriented(data: bytes, turn: Orientation) -> bytes:
    return turned(data, flip_h=turn.flip_h, flip_v=turn.flip_v, rotation=turn.rotation)


class LatestPictures:
    """services.ports.EventImages. Called within a transaction, so it does no more than name or copy one file."""

    def __init__(self, media: MediaStore, room: Room, random: RandomBytes) -> None:
        self._media, self._room, self._random = media, room, random

    def latest(self, printer: Printer, at: datetime) -> str | None:
        source = snapshot_path(printer.id, "", primary=True)
        target = event_image_path(printer.id, self._random)
        turn = Orientation.of(printer)
        try:
            file = self._media.locate(source)
            if file is None or not self._room.is_there():
                return None
            taken = datetime.fromtimestamp(file.stat().st_mtime, timezone.utc)
            if abs(at - taken) > NEAR:
                return None
            if turn == Orientation():
                return target if self._media.link(source, target) else None
            data = self._media.read(source)
            if data is None:
                return None
            self._media.write(target, oriented(data, turn))
        except FileNotFoundError:
            return None  # there is no picture
        except OSError as error:
            # The event matters more than its picture.
            log.warning("an event of printer %s has no picture: %s", printer.id, error.strerror)
            return None
        return target

"""The pictures of each print, kept until its time-lapse is built (wire-protocol.md §4 and §5.5).

`frames/<print_id>/raw/<ms>.jpg` and `frames/<print_id>/tagged/<ms>.jpg` in the media folder; the name is the time in
milliseconds since 1970. A long print has more pictures than a video needs: when there are too many, the series is
thinned out evenly and from then on pictures are kept at the wider spacing, so that no print fills the disk.
"""

from __future__ import annotations

import errno
import shutil
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from reference_server.media.disk import Room
from reference_server.media.storage import MediaStore

MOST_FRAMES = 1800
"""Of a print and kind: a minute of video. Thinning leaves half of them, two thirds at most."""

MOST_BYTES = 300_000_000
"""Of a print and kind."""

SERIES_KNOWN = 4096
"""Prints whose series is held in memory, 15 kB each at most; of another one it is read from its folder again."""

_TOLERANCE = 0.75
"""Of the wanted spacing: cameras do not come to the second."""

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def thinned(times: Sequence[int], most: int) -> tuple[list[int], int]:
    """Which of these (ascending, ms) stay, evenly in time, and the least spacing of pictures from now on.

    About `most` stay, never more than 4/3 of that and two; the first and the last always do.
    """
    if len(times) <= max(2, most):
        return list(times), 0
    least = max(1, int((times[-1] - times[0]) / max(1, most - 1) * _TOLERANCE))
    kept = [times[0]]
    for at in times[1:-1]:
        if at - kept[-1] >= least:
            kept.append(at)
    return [*kept, times[-1]], least


def spacing_of(times: Sequence[int], most: int) -> int:
    """The spacing that a series found on disk was kept at: 0 unless it has been thinned out before."""
    if len(times) < max(4, most // 3):
        return 0
    gaps = sorted(later - earlier for earlier, later in pairwise(times))
    return int(gaps[len(gaps) // 2] * _TOLERANCE)


def frames_folder(print_id: int, *, tagged: bool = False) -> str:
    return f"frames/{print_id}/{'tagged' if tagged else 'raw'}"


def frame_path(print_id: int, at: datetime, *, tagged: bool = False) -> str:
    return f"{frames_folder(print_id, tagged=tagged)}/{milliseconds(at)}.jpg"


def milliseconds(at: datetime) -> int:
    return round(at.timestamp() * 1000)


@dataclass(slots=True)
class _Series:
    times: list[int] = field(default_factory=list)
    size: int = 0  # bytes
    least: int = 0  # ms between two pictures that are kept


class FrameStore:
    """Its methods block and may be called from any thread."""

    def __init__(
        self, media: MediaStore, room: Room, most_frames: int = MOST_FRAMES, most_bytes: int = MOST_BYTES
    ) -> None:
        self._media, self._room = media, room
        self._most_frames, self._most_bytes = most_frames, most_bytes
        self._lock = threading.Lock()  # guards the series
        self._series: dict[tuple[int, bool], _Series] = {}

    def keep(self, print_id: int, at: datetime, jpeg: bytes, tagged: bool = False) -> bool:
        """Store a picture of a print, unless it comes too soon after the last or the disk is nearly full (False).

        Raises OSError other than a full disk.
        """
        if not self._room.is_there():
            return False
        ms = milliseconds(at)
        with self._lock:
            series = self._known(print_id, tagged)
            if series.times and ms - series.times[-1] < max(1, series.least):
                return False
            series.times.append(ms)
            series.size += len(jpeg)
        try:
            self._media.write(frame_path(print_id, at, tagged=tagged), jpeg)
        except OSError as error:
            with self._lock:
                self._series.pop((print_id, tagged), None)
            if error.errno not in _FULL:
                raise
            self._room.ran_out()
            return False
        with self._lock:
            self._thin(print_id, tagged)
        return True

    def times(self, print_id: int, *, tagged: bool = False) -> list[int]:
        """What is there, as milliseconds, ascending."""
        names = [name for name, _ in self._media.names(frames_folder(print_id, tagged=tagged))]
        stems = [name.removesuffix(".jpg") for name in names if name.endswith(".jpg")]
        return sorted(int(stem) for stem in stems if stem.isascii() and stem.isdigit())

    def read(self, print_id: int, ms: int, *, tagged: bool = False) -> bytes | None:
        return self._media.read(f"{frames_folder(print_id, tagged=tagged)}/{ms}.jpg")

    def folder(self, print_id: int, *, tagged: bool = False) -> Path:
        found = self._media.locate(frames_folder(print_id, tagged=tagged))
        assert found is not None  # noqa: S101 - made of plain names
        return found

    def pictures(self, print_id: int, *, tagged: bool = False) -> list[Path]:
        """The files in the order of their times; `tagged`: the tagged one where there is one, else the plain one.

        Empty if there is none of that kind.
        """
        found = {ms: self.folder(print_id, tagged=tagged) / f"{ms}.jpg" for ms in self.times(print_id, tagged=tagged)}
        if tagged and found:
            plain = self.folder(print_id)
            found = {ms: plain / f"{ms}.jpg" for ms in self.times(print_id)} | found
        return [found[ms] for ms in sorted(found)]

    def drop(self, print_id: int) -> None:
        """All pictures of a print are gone afterwards."""
        with self._lock:
            for tagged in (False, True):
                self._series.pop((print_id, tagged), None)
        shutil.rmtree(self.folder(print_id).parent, ignore_errors=True)

    def print_ids(self) -> list[int]:
        """The prints of which there are pictures."""
        folder = self._media.locate("frames")
        if folder is None or not folder.is_dir():
            return []
        return sorted(int(entry.name) for entry in folder.iterdir() if entry.name.isascii() and entry.name.isdigit())

    def _known(self, print_id: int, tagged: bool) -> _Series:
        key = (print_id, tagged)
        found = self._series.pop(key, None)
        if found is None:
            found = self._read(print_id, tagged)
        self._series[key] = found  # the newest last
        while len(self._series) > SERIES_KNOWN:
            del self._series[next(iter(self._series))]
        return found

    def _read(self, print_id: int, tagged: bool) -> _Series:
        times = self.times(print_id, tagged=tagged)
        folder = self.folder(print_id, tagged=tagged)
        size = sum(_size(folder / f"{ms}.jpg") for ms in times)
        return _Series(times, size, spacing_of(times, self._most_frames))

    def _thin(self, print_id: int, tagged: bool) -> None:
        series = self._series.get((print_id, tagged))
        if series is None or (len(series.times) <= self._most_frames and series.size <= self._most_bytes):
            return
        kept, series.least = thinned(series.times, max(2, len(series.times) // 2))
        for ms in set(series.times) - set(kept):
            path = f"{frames_folder(print_id, tagged=tagged)}/{ms}.jpg"
            self._media.remove(path)
        series.times = kept
        folder = self.folder(print_id, tagged=tagged)
        series.size = sum(_size(folder / f"{ms}.jpg") for ms in kept)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0

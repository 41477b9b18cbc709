"""Pictures kept per print: thinned out evenly, bounded, and never on a disk that is nearly full."""

from __future__ import annotations

import errno
import logging
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference_server.media.disk import Room
from reference_server.media.frames import FrameStore, frame_path, spacing_of, thinned
from reference_server.media.storage import MediaStore
from tests.unit.reference_server.support import jpeg

START = datetime(2026, 11, 22, 6, tzinfo=timezone.utc)
PLENTY = 10**12


class Disk:
    def __init__(self, free: int = PLENTY) -> None:
        self.free, self.now = free, 0.0

    def room(self, folder: Path) -> Room:
        return Room(folder, 500, lambda: self.now, lambda _: self.free)


def store(folder: Path, disk: Disk | None = None, most: int = 12, most_bytes: int = PLENTY) -> FrameStore:
    return FrameStore(MediaStore(folder), (disk or Disk()).room(folder), most, most_bytes)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def seconds(frames: FrameStore, print_id: int = 1) -> list[float]:
    return [ms / 1000 - START.timestamp() for ms in frames.times(print_id)]


def test_each_print_and_kind_has_its_own_pictures(tmp_path: Path) -> None:
    frames = store(tmp_path)
    assert frames.keep(7, at(0.25), jpeg())
    assert frames.keep(7, at(0.25), jpeg(), tagged=True)
    assert frames.keep(8, at(1), jpeg())
    path = frame_path(7, at(0.25))
    assert path == f"frames/7/raw/{int(START.timestamp() * 1000) + 250}.jpg"
    assert (tmp_path / path).read_bytes() == jpeg()
    assert (tmp_path / frame_path(7, at(0.25), tagged=True)).exists()
    assert frames.print_ids() == [7, 8]
    frames.drop(7)
    frames.drop(99)
    assert frames.print_ids() == [8]


def test_a_long_print_is_thinned_out_evenly_and_goes_on_at_the_wider_spacing(tmp_path: Path) -> None:
    frames = store(tmp_path)
    for number in range(13):
        frames.keep(1, at(10 * number), jpeg())
    assert seconds(frames) == [0, 20, 40, 60, 80, 100, 120]
    for number in range(13, 24):
        frames.keep(1, at(10 * number), jpeg())
    assert seconds(frames) == [20 * number for number in range(12)]
    # A server that starts anew goes on the same way.
    again = store(tmp_path)
    for number in range(24, 60):
        again.keep(1, at(10 * number), jpeg())
    gaps = {later - earlier for earlier, later in pairwise(seconds(again))}
    assert len(again.times(1)) <= 12
    assert gaps <= {40, 80}
    assert seconds(again)[-1] >= 540


def test_large_pictures_are_bounded_by_their_bytes(tmp_path: Path) -> None:
    size = len(jpeg())
    frames = store(tmp_path, most=1000, most_bytes=size * 10)
    for number in range(200):
        frames.keep(1, at(number), jpeg())
    assert 4 <= len(frames.times(1)) <= 10


@given(st.lists(st.integers(1, 300_000), min_size=3, max_size=400), st.integers(2, 100))
def test_thinning_keeps_the_ends_the_order_and_the_bound(gaps: list[int], most: int) -> None:
    times = [sum(gaps[:number]) for number in range(len(gaps))]
    kept, least = thinned(times, most)
    assert set(kept) <= set(times)
    assert kept == sorted(kept)
    assert (kept[0], kept[-1]) == (times[0], times[-1])
    assert len(kept) <= max(most, (most - 1) * 4 / 3 + 3)
    if least:
        assert all(later - earlier >= least for earlier, later in pairwise(kept[:-1]))
        # No gap is wider than what was there already, and one spacing.
        widest = max(later - earlier for earlier, later in pairwise(times))
        assert all(later - earlier < widest + 2 * least for earlier, later in pairwise(kept))


def test_a_series_that_was_never_thinned_takes_every_picture() -> None:
    assert spacing_of([0, 10, 20], 1800) == 0


def test_a_nearly_full_disk_keeps_nothing_and_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    disk = Disk(free=499)
    frames = store(tmp_path, disk)
    for number in range(3):
        assert not frames.keep(1, at(number), jpeg())
        disk.now += 10
    assert frames.times(1) == []
    disk.free = 500
    disk.now += 10
    assert frames.keep(1, at(10), jpeg())
    words = [record.getMessage() for record in caplog.records]
    assert len(words) == 2
    assert "--media-max-age-days" in words[0]
    assert "room again" in words[1]


def test_a_disk_that_fills_up_in_between_costs_the_picture_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    media = MediaStore(tmp_path)
    disk = Disk()
    frames = FrameStore(media, disk.room(tmp_path))

    def full(path: str, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(media, "write", full)
        assert not frames.keep(1, at(0), jpeg())
    assert not frames.keep(1, at(1), jpeg())  # until somebody has looked again
    disk.now += 10
    assert frames.keep(1, at(11), jpeg())
    assert [record.levelname for record in caplog.records if "nearly full" in record.getMessage()] == ["WARNING"]

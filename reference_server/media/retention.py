"""Keeps media within their limits and clears away what nothing refers to; services/timelapse/retention.py chooses.

Rows go before files: a server that is killed in between leaves a file that nothing refers to, which the next round
removes. Media of running prints, and pictures whose video is still to be built, are never touched.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from starlette.concurrency import run_in_threadpool

from reference_server.background import wait
from reference_server.media.storage import MediaStore
from reference_server.services.clock import Now
from reference_server.services.model import Print
from reference_server.services.ports import Store
from reference_server.services.timelapse.retention import Kept, Limits, choose

log = logging.getLogger(__name__)

FIRST_AFTER, EVERY = 30.0, 1800.0  # s

YOUNG = 3600.0
"""Seconds: a file that is younger may be about to be referred to."""

FAILED_KEPT = timedelta(days=7)
"""How long the pictures of a failed video wait for somebody to mend what was missing."""

NOTICES_KEPT = timedelta(days=7)
"""How long a notice that is to be delivered may need its picture."""

PRINT_FOLDERS = ("videos", "shots")
"""Folders of the media store with a folder for each print, named by its id."""


@dataclass(frozen=True, slots=True)
class Settings:
    """0 = no limit."""

    max_age_days: int
    max_prints: int
    max_disk_percent: int


@dataclass(frozen=True, slots=True)
class Swept:
    """What one round did: prints whose media are gone, other files and folders, bytes in use afterwards."""

    prints: tuple[int, ...]
    leftovers: int
    used: int


def total_bytes(folder: Path) -> int:
    """Raises OSError."""
    return shutil.disk_usage(folder).total


class Retention:
    def __init__(
        self, store: Store, media: MediaStore, root: Path, settings: Settings, now: Now,
        total: Callable[[Path], int] = total_bytes, file_clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self._store, self._media, self._root, self._settings = store, media, root, settings
        self._now, self._total, self._file_clock = now, total, file_clock
        self._complained = False

    async def run(self, stop: asyncio.Event) -> None:
        pause = FIRST_AFTER
        while not await wait(stop, pause):
            await run_in_threadpool(self.sweep)
            pause = EVERY

    def sweep(self) -> Swept:
        """One round. Raises StoreFailed."""
        leftovers = self._clear()
        used = size_of(self._root)
        with self._store.read() as tx:
            running = set(tx.media.running()) | set(tx.media.unfinished())
            prints = [job for job in tx.media.kept() if job.id not in running]
            images = {job.id: list(tx.media.event_images(job.id)) for job in prints}
        kept = [self._kept(job, images[job.id]) for job in prints]
        choice = choose(kept, self._limits(), self._now(), used)
        sizes = {entry.print_id: entry.size for entry in kept}
        for print_id in choice.print_ids:
            self._archive(print_id, images[print_id])
            used -= sizes[print_id]
        if choice.print_ids:
            log.info("videos and pictures of %d old prints were removed, to keep media within their limits",
                     len(choice.print_ids))  # fmt: skip
        self._watch(choice.fits)
        return Swept(choice.print_ids, leftovers, used)

    def _limits(self) -> Limits:
        wanted = self._settings
        most = self._total(self._root) * wanted.max_disk_percent // 100 if wanted.max_disk_percent else 0
        return Limits(wanted.max_age_days, wanted.max_prints, most)

    def _kept(self, job: Print, images: Iterable[str]) -> Kept:
        folders = sum(size_of(self._root / kind / str(job.id)) for kind in PRINT_FOLDERS)
        size = folders + sum(size_of(self._root / path) for path in images)
        return Kept(job.id, job.printer_id, job.ended_at or job.started_at, size)

    def _archive(self, print_id: int, images: Iterable[str]) -> None:
        with self._store.write() as tx:
            tx.media.archive(print_id, self._now())
            shots = tx.detection.candidates(print_id)
            tx.detection.remove_shots(shot.id for shot in shots if shot.answer is None)  # nobody can answer now
            for shot in shots:
                if shot.answer is not None:
                    tx.detection.save_shot(replace(shot, image_path=""))
        self._remove_folders(print_id)
        for path in images:
            self._media.remove(path)

    def _remove_folders(self, print_id: int) -> None:
        for kind in PRINT_FOLDERS:
            shutil.rmtree(self._root / kind / str(print_id), ignore_errors=True)

    def _watch(self, fits: bool) -> None:
        if not fits and not self._complained:
            log.warning(
                "pictures of running prints alone take more than the %d %% of the disk that media may have, and there "
                "is nothing else to remove: give them more (--media-max-disk-percent) or a larger disk",
                self._settings.max_disk_percent,
            )
        self._complained = not fits

    # --- what nothing refers to ----------------------------------------------------------------------------------

    def _clear(self) -> int:
        now = self._now()
        with self._store.write() as tx:
            printers, prints = set(tx.media.printer_ids()), set(tx.media.print_ids())
            busy = {*tx.media.running(), *tx.media.unfinished()}
            pictured = busy.union(tx.media.failed_since(now - FAILED_KEPT))
            if self._settings.max_age_days:
                for path in tx.media.forget_images_before(now - timedelta(days=self._settings.max_age_days)):
                    log.debug("%s is too old", path)  # its file goes below, as nothing refers to it
            images = set(tx.media.images(now - NOTICES_KEPT))
        gone = 0
        for kind in PRINT_FOLDERS:
            gone += self._clear_folders(kind, prints)
        gone += self._clear_folders("frames", prints & pictured)
        gone += self._clear_folders("snapshots", printers)
        for folder in self._folders("events"):
            for entry in list(folder.iterdir()):
                if f"events/{folder.name}/{entry.name}" not in images and self._is_old(entry):
                    entry.unlink(missing_ok=True)
                    gone += 1
        return gone

    def _clear_folders(self, kind: str, wanted: set[int]) -> int:
        gone = 0
        for folder in self._folders(kind):
            if int(folder.name) not in wanted and self._is_old(folder):
                shutil.rmtree(folder, ignore_errors=True)
                gone += 1
        return gone

    def _folders(self, kind: str) -> list[Path]:
        root = self._root / kind
        if not root.is_dir():
            return []
        return [entry for entry in root.iterdir() if entry.name.isascii() and entry.name.isdigit()]

    def _is_old(self, path: Path) -> bool:
        """By the newest of its entries, where it is a folder."""
        try:
            newest = max((entry.stat().st_mtime for entry in (path, *_inside(path))), default=0.0)
        except FileNotFoundError:
            return False  # somebody is at work there
        return self._file_clock() - newest > YOUNG


def _inside(path: Path) -> Iterable[Path]:
    return path.iterdir() if path.is_dir() else ()


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder; 0 if it is not there."""
    try:
        if not path.is_dir():
            return path.stat().st_size
        return sum(size_of(entry) for entry in path.iterdir())
    except FileNotFoundError:
        return 0

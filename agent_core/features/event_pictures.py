"""Snapshots that belong to events not yet delivered, as files beside the database: events themselves stay small, and
pictures can go without them. Used by the snapshots worker alone.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Collection
from pathlib import Path

_log = logging.getLogger(__name__)

FOLDER = "event-pictures"

LIMIT_BYTES = 50 * 1024 * 1024
"""Of all pictures together; beyond it the oldest go, their events stay."""

LARGEST = 7_000_000
"""Bytes of one; what a camera may yield (wire-protocol.md §4)."""


class EventPictures:
    def __init__(self, data_dir: str, limit: int = LIMIT_BYTES) -> None:
        self._folder = Path(data_dir) / FOLDER
        self._limit = limit
        self._refused = False

    def keep(self, ident: str, picture: bytes) -> bool:
        """Whether it is on the disk now; where that is full, older pictures give way."""
        if len(picture) > min(LARGEST, self._limit):
            return False
        self._make_room(self._limit - len(picture))
        try:
            self._write(ident, picture)
        except OSError:
            self._make_room(0)
            try:
                self._write(ident, picture)
            except OSError as error:
                if not self._refused:
                    self._refused = True
                    _log.warning("snapshots of events cannot be kept, the events are: %s", error)
                return False
        self._refused = False
        return True

    def get(self, ident: str) -> bytes | None:
        try:
            return self._file(ident).read_bytes()
        except OSError:
            return None

    def forget(self, ident: str) -> None:
        with contextlib.suppress(OSError):
            self._file(ident).unlink(missing_ok=True)

    def keep_only(self, idents: Collection[str]) -> None:
        """At the start: what a crash has left behind goes."""
        known = {self._file(ident).name for ident in idents}
        for file in self._files():
            if file.name not in known:
                with contextlib.suppress(OSError):
                    file.unlink()

    def _write(self, ident: str, picture: bytes) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = self._file(ident).with_suffix(".part")
        try:
            # Not synced: after a power cut it may be gone, which costs a picture and not an event.
            part.write_bytes(picture)
            part.replace(self._file(ident))
        except OSError:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            raise

    def _make_room(self, room: int) -> None:
        """Removes the oldest until `room` bytes are taken at most."""
        with contextlib.suppress(OSError):
            found = [(file.stat(), file) for file in self._files()]
            taken = sum(state.st_size for state, _ in found)
            for state, file in sorted(found, key=lambda each: each[0].st_mtime_ns):
                if taken <= room:
                    return
                file.unlink(missing_ok=True)
                taken -= state.st_size

    def _files(self) -> list[Path]:
        return list(self._folder.glob("*")) if self._folder.is_dir() else []

    def _file(self, ident: str) -> Path:
        """`ident` is ours (a UUID), yet it comes back out of a file: nothing of a path may be in it."""
        return self._folder / ("".join(letter for letter in ident if letter.isalnum() or letter == "-")[:64] + ".jpg")

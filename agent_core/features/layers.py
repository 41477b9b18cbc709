"""Which layer a print is in, on a host that knows only how far it has read the file: OctoPrint, and Klipper
where the file does not tell its layers.

The file is indexed once (agent_core.gcode.index), by a process of its own, and the index is kept on disk: after a
restart in mid-print it is there at once. No call waits for it; until it is there, layers are unknown.
"""

from __future__ import annotations

import hashlib
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from agent_core.gcode.index import GCodeIndex

_log = logging.getLogger(__name__)

INDEXES_KEPT = 16
"""Files; an index takes some kB, one of a huge print a few hundred."""

LARGEST_INDEX = 16 * 1024 * 1024
"""Bytes; more than the bounds of an index allow."""

STOP_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A G-code file as it is on disk now; another size or time is another file."""

    path: str
    size: int
    modified_ns: int

    @classmethod
    def at(cls, path: str) -> SourceFile | None:
        """None if there is no such file."""
        try:
            found = Path(path).stat()
        except (OSError, ValueError):
            return None
        return cls(path, found.st_size, found.st_mtime_ns)

    @property
    def key(self) -> str:
        text = f"{self.path}\0{self.size}\0{self.modified_ns}"
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]


@dataclass(slots=True)
class _Work:
    file: SourceFile
    process: subprocess.Popen[bytes]


@dataclass(slots=True)
class LayerIndexes:
    """`index_of` is called with each report of a print, from any thread of the host, and returns at once."""

    folder: Path
    start: Callable[[list[str]], subprocess.Popen[bytes]] | None = None
    """How the process is started; for tests."""

    _lock: threading.Lock = field(default_factory=threading.Lock)
    _known: tuple[str, GCodeIndex | None] | None = None
    """The file that was asked for last, and its index; None: it cannot be had."""
    _work: _Work | None = None
    _stopped: bool = False

    def index_of(self, path: str) -> GCodeIndex | None:
        """None: not known (yet), or it cannot be known, which is logged once."""
        file = SourceFile.at(path)
        if file is None:
            return None
        with self._lock:
            if self._known is not None and self._known[0] == file.key:
                return self._known[1]
            if self._work is not None:
                ended = self._work.process.poll() is not None
                if self._work.file == file:
                    return self._collect(file, self._work) if ended else None
                self._work.process.kill()  # for another file; Python reaps it by and by
                self._work = None
            if self._stopped:
                return None
            found = self._stored(file)
            if found is not None:
                self._known = (file.key, found)
                return found
            self._begin(file)
            return None

    def stop(self) -> None:
        """Ends the process that is at work, if any; the next use would start none."""
        with self._lock:
            self._stopped = True
            work, self._work = self._work, None
        if work is not None:
            work.process.kill()
            work.process.wait(STOP_SECONDS)

    # --- each with the lock held ---

    def _stored(self, file: SourceFile) -> GCodeIndex | None:
        target = self._target(file)
        try:
            if target.stat().st_size > LARGEST_INDEX:
                return None
            found = GCodeIndex.from_bytes(target.read_bytes())
        except OSError:
            return None
        return found if found is not None and found.size == file.size else None

    def _begin(self, file: SourceFile) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._forget_old()
            arguments = [file.path, str(self._target(file))]
            self._work = _Work(file, (self.start or start_process)(arguments))
        except OSError as error:
            self._known = (file.key, None)
            _log.warning("the layers of this print stay unknown: its file cannot be read through: %s", error)

    def _collect(self, file: SourceFile, work: _Work) -> GCodeIndex | None:
        self._work = None
        found = self._stored(file) if work.process.returncode == 0 else None
        self._known = (file.key, found)
        if found is None:
            _log.warning("the layers of this print stay unknown: reading ended with %s", work.process.returncode)
        else:
            _log.info("the file in print has %s layers", found.layer_count)
        return found

    def _forget_old(self) -> None:
        known = sorted(self.folder.glob("*.layers"), key=lambda entry: entry.stat().st_mtime)
        for entry in [*known[: -INDEXES_KEPT + 1], *self.folder.glob("*.part")]:
            entry.unlink(missing_ok=True)

    def _target(self, file: SourceFile) -> Path:
        return self.folder / f"{file.key}.layers"


def start_process(arguments: list[str]) -> subprocess.Popen[bytes]:
    """`python -m agent_core.gcode` with this very code, wherever it is installed."""
    home = str(Path(__file__).parents[2])
    return subprocess.Popen(  # noqa: S603 - our own program; the arguments are paths, and no shell reads them
        [sys.executable, "-m", "agent_core.gcode", *arguments],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": home}, close_fds=True,
    )  # fmt: skip

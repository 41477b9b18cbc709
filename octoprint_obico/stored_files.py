"""OctoPrint's uploaded files (agent_core.features.downloads.FilePort); never called on a thread of OctoPrint's."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

from agent_core.errors import CommandFailed, Rejected, StartUnclear
from agent_core.features.download_ports import BUSY, StoredFile
from agent_core.features.thumbnails import thumbnail_in
from agent_core.ports import Interrupt
from octoprint_obico.printer import TAGS

FOLDER = "ObicoUpload"
"""The public plugin's; clients hide it (wire-protocol.md §8)."""

LOCAL = "local"

START_SECONDS = 30.0
"""From the order to print until OctoPrint must have begun; it reads nothing but the file's first lines before."""
LOOK_SECONDS = 0.05

_BUSY = frozenset({
    "STARTING", "PRINTING", "PAUSING", "PAUSED", "RESUMING", "FINISHING", "CANCELLING", "TRANSFERING_FILE",
    "TRANSFERRING_FILE",
})  # fmt: skip
_BEGUN = frozenset({"STARTING", "PRINTING", "PAUSING", "PAUSED", "RESUMING", "FINISHING"})


@dataclass(frozen=True, slots=True)
class FileTools:
    """OctoPrint's own: its file manager and printer, what wraps a file on disk for it, and what both may raise."""

    files: Any
    printer: Any
    disk_file: Callable[[str, str], Any]
    errors: tuple[type[Exception], ...]


class OctoPrintFiles:
    copies = 1
    answers_mismatch = True

    def __init__(self, tools: FileTools, state_id: Callable[[], str]) -> None:
        self._tools = tools
        self._state_id = state_id
        self._never = Event()
        """Waited for between two looks, so that nothing sleeps."""

    # --- the printer ---

    def check_idle(self) -> None:
        state = self._state_id()
        if state in _BUSY:
            raise Rejected(BUSY)
        if state != "OPERATIONAL":
            raise Rejected(f"Printer not ready: it is {state.lower().replace('_', ' ')} in OctoPrint")

    def start(self, path: str) -> None:
        printer, files = self._tools.printer, self._tools.files
        try:
            if hasattr(files, "create_job"):  # 2.0; 1.11 knows no jobs
                printer.set_job(files.create_job(LOCAL, path), print_after_select=True, tags=set(TAGS))
            else:
                printer.select_file(path, False, printAfterSelect=True, tags=set(TAGS))
        except self._tools.errors as error:
            raise CommandFailed(f"OctoPrint does not print {path}: {error}") from None
        looks = int(START_SECONDS / LOOK_SECONDS)
        if not any(self._state_id() in _BEGUN or self._never.wait(LOOK_SECONDS) for _ in range(looks)):
            raise StartUnclear(f"OctoPrint did not begin to print {path}; octoprint.log says why")

    def mark(self, path: str) -> str | None:
        """How many prints of the file OctoPrint has noted; it does so as each ends."""
        return str(self._prints(path))

    def printed(self, path: str, mark: str | None) -> bool:
        if self._state_id() in _BEGUN | {"CANCELLING"}:
            file = (self._tools.printer.get_current_job() or {}).get("file") or {}
            if file.get("path") == path:
                return True
        return mark is not None and self._prints(path) > int(mark)

    def _prints(self, path: str) -> int:
        try:
            metadata = self._tools.files.get_metadata(LOCAL, path)
        except self._tools.errors:
            return 0
        history = metadata.get("history") if isinstance(metadata, dict) else None
        return len(history) if isinstance(history, list) else 0

    # --- files ---

    def work_folder(self) -> Path:
        try:
            self._tools.files.add_folder(LOCAL, FOLDER, ignore_existing=True)
            return Path(self._tools.files.path_on_disk(LOCAL, FOLDER))
        except self._tools.errors as error:
            raise CommandFailed(f"OctoPrint has no folder for the file: {error}") from None

    def path_for(self, name: str) -> str:
        files = self._tools.files
        try:
            return str(files.join_path(LOCAL, FOLDER, files.sanitize_name(LOCAL, name)))
        except self._tools.errors as error:
            raise Rejected(f"OctoPrint does not take a file of that name: {error}") from None

    def size(self, path: str) -> int | None:
        found = self._on_disk(path)
        return None if found is None else found.stat().st_size

    def digest(self, path: str, interrupt: Interrupt) -> str:
        return self._digest(path, hashlib.sha256(), interrupt)

    def take(self, part: Path, path: str, sha256: str, interrupt: Interrupt) -> None:  # noqa: ARG002 - the port's
        if interrupt.is_set():
            raise Rejected(interrupt.reason)
        wrapped = self._tools.disk_file(path.rpartition("/")[2], str(part))
        try:
            self._tools.files.add_file(LOCAL, path, wrapped, allow_overwrite=False)
        except self._tools.errors as error:
            raise CommandFailed(f"OctoPrint does not take the file: {error}") from None

    def stored(self, path: str) -> StoredFile:
        known = self._hash(path)
        found = self._on_disk(path)
        dated = None if found is None else f"ts:{int(found.stat().st_mtime)}"
        # As report.py signs the job that OctoPrint makes of it.
        return StoredFile(path, f"md5:{known}" if known else dated)

    def matches(self, path: str, signature: str) -> bool | None:
        found = self._on_disk(path)
        if found is None:
            return None
        kind, _, said = signature.partition(":")
        if kind == "md5":
            # Really the SHA-1 (wire-protocol.md §4); OctoPrint 2.0 keeps none, so that of the bytes counts.
            return said == (self._hash(path) or self._digest(path, hashlib.sha1(usedforsecurity=False), Interrupt()))
        return kind == "ts" and said.partition(".")[0] == str(int(found.stat().st_mtime))

    def thumbnail(self, path: str) -> bytes | None:
        found = self._on_disk(path)
        return None if found is None else thumbnail_in(found)

    def abort(self) -> None:
        """Nothing here waits for anything but the disk."""

    def _digest(self, path: str, into: Any, interrupt: Interrupt) -> str:
        found = self._on_disk(path)
        try:
            if found is None:
                raise CommandFailed(f"{path} is gone")
            with found.open("rb", buffering=0) as file:
                while piece := file.read(256 * 1024):
                    into.update(piece)
                    if interrupt.is_set():
                        raise Rejected(interrupt.reason)
        except OSError as error:
            raise CommandFailed(f"{path} cannot be read: {error.strerror}") from None
        return str(into.hexdigest())

    def _hash(self, path: str) -> str | None:
        try:
            metadata = self._tools.files.get_metadata(LOCAL, path)
        except self._tools.errors:
            return None
        found = metadata.get("hash") if isinstance(metadata, dict) else None
        return found if isinstance(found, str) else None

    def _on_disk(self, path: str) -> Path | None:
        """OctoPrint refuses what lies outside its folder."""
        try:
            found = Path(self._tools.files.path_on_disk(LOCAL, path))
        except self._tools.errors:
            return None
        return found if found.is_file() else None

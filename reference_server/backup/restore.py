"""Bringing a backup back: checked whole, into an empty folder, or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import tarfile
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from reference_server.backup.archive import (
    DATA,
    DATABASE,
    FORMAT,
    HEADER,
    MANIFEST,
    BackupFailed,
    Made,
    Progress,
    sync_folder,
)
from reference_server.lock import exclusive
from reference_server.store.migrate import known_revisions

RESTORING = ".restoring"
MOST_TEXT = 64 * 1024 * 1024
"""Bytes of header and manifest."""

_IGNORED = frozenset({"server.lock", "lost+found"})
_CHUNK = 1024 * 1024


@dataclass(slots=True)
class _Reader:
    """Reads the members one after the other, and writes the files below `target` if there is one."""

    source: Path
    target: Path | None
    progress: Progress
    found: dict[str, tuple[int, str]] = field(default_factory=dict)  # path -> size, sha256
    header: dict[str, Any] = field(default_factory=dict)
    manifest: dict[str, Any] = field(default_factory=dict)

    def read(self) -> None:
        total = self.source.stat().st_size
        with self.source.open("rb") as file, tarfile.open(fileobj=file, mode="r|", bufsize=_CHUNK) as tar:
            for number, member in enumerate(tar):
                content = tar.extractfile(member) if member.isreg() else None
                if content is None:
                    raise BackupFailed(f"{self.source} is no backup of this program: {member.name} is no file")
                if number == 0:
                    if member.name != HEADER:
                        raise BackupFailed(f"{self.source} is no backup of this program")
                    self.header = self._text(member, content)
                    self._check_header()
                elif member.name == MANIFEST:
                    self.manifest = self._text(member, content)
                else:
                    self._file(member.name, content, member.mtime)
                self.progress(min(file.tell(), total), total)
        if not self.header:
            raise BackupFailed(f"{self.source} is no backup of this program: it is empty")
        self._compare()

    def _text(self, member: tarfile.TarInfo, content: IO[bytes]) -> dict[str, Any]:
        if member.size > MOST_TEXT:
            raise BackupFailed(f"{self.source}: {member.name} is too large")
        found = json.loads(content.read())
        if not isinstance(found, dict):
            raise BackupFailed(f"{self.source}: {member.name} is not what it should be")
        return found

    def _check_header(self) -> None:
        version, revision = self.header.get("version"), self.header.get("revision")
        if self.header.get("format") != FORMAT or (revision is not None and revision not in known_revisions()):
            raise BackupFailed(
                f"{self.source} was made by version {version} of this program, which is newer than this one: install "
                "that version"
            )

    def _file(self, name: str, content: IO[bytes], mtime: float) -> None:
        path = name.removeprefix(DATA)
        parts = path.split("/")
        if not name.startswith(DATA) or name in self.found or any(part in {"", ".", ".."} for part in parts):
            raise BackupFailed(f"{self.source} is no backup of this program: {name!r} does not belong into it")
        digest, size = hashlib.sha256(), 0
        out = None
        place = (self.target or Path()) / path
        if self.target is not None:
            place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            out = os.fdopen(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb")
        try:
            while data := content.read(_CHUNK):
                digest.update(data)
                size += len(data)
                if out is not None:
                    out.write(data)
            if out is not None:
                out.flush()
                os.fsync(out.fileno())
        finally:
            if out is not None:
                out.close()
                os.utime(place, (mtime, mtime))  # retention goes by it
        self.found[name] = (size, digest.hexdigest())

    def _compare(self) -> None:
        files = self.manifest.get("files")
        if not isinstance(files, dict):
            raise BackupFailed(f"{self.source} is cut short: its end is missing")
        told = {name: (entry.get("size"), entry.get("sha256")) for name, entry in files.items()}
        wrong = sorted(name for name in told.keys() | self.found.keys() if told.get(name) != self.found.get(name))
        if wrong:
            raise BackupFailed(f"{self.source} is damaged: {wrong[0]} is not as it was saved ({len(wrong)} files)")
        if DATA + DATABASE not in self.found:
            raise BackupFailed(f"{self.source} has no database in it")

    @property
    def made(self) -> Made:
        size = sum(size for size, _ in self.found.values())
        return Made(len(self.found), size, (), str(self.header.get("made_at", "")))


def check_backup(source: Path, progress: Progress) -> Made:
    """Reads all of it. Raises BackupFailed, OSError."""
    return _read(_Reader(source, None, progress))


def _read(reader: _Reader) -> Made:
    try:
        reader.read()
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise BackupFailed(f"{reader.source} cannot be read: it is damaged or no backup ({error})") from None
    return reader.made


def restore_backup(source: Path, data_dir: Path, progress: Progress) -> Made:
    """Into an empty folder. What was written is taken away again if it fails. Raises BackupFailed, Locked, OSError."""
    with exclusive(data_dir):
        there = sorted(entry.name for entry in data_dir.iterdir() if entry.name not in _IGNORED)
        if there:
            raise BackupFailed(
                f"the data folder {data_dir} is not empty ({there[0]} is there): give an empty one with --data-dir, or "
                "move what is in it away"
            )
        part = data_dir / RESTORING
        try:
            part.mkdir(mode=0o700)
            made = _read(_Reader(source, part, progress))
            _check_database(part / DATABASE)
            # The database last: without it, the folder is as good as empty to whoever looks.
            for entry in sorted(part.iterdir(), key=lambda entry: entry.name == DATABASE):
                entry.rename(data_dir / entry.name)
            sync_folder(data_dir)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return made


def _check_database(path: Path) -> None:
    try:
        with closing(sqlite3.connect(path)) as connection:
            verdict = connection.execute("PRAGMA integrity_check").fetchone()
    except sqlite3.DatabaseError as error:
        raise BackupFailed(f"the database in the backup cannot be used: {error}") from None
    if verdict != ("ok",):
        raise BackupFailed(f"the database in the backup is damaged: {verdict}")

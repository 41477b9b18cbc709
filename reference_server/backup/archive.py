"""Writing a backup while the server runs.

The database is copied by SQLite's backup API in one read transaction. The files that it names are there as they were at
that moment: each file is hard-linked before and once more after the copy, so that what a retention rule removes
meanwhile stays, and what is new is there. Files are never changed in place (media/storage.py), so a link is a copy.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import sqlite3
import tarfile
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import BinaryIO

from reference_server import VERSION

FORMAT = 1
HEADER, MANIFEST, DATA = "header.json", "manifest.json", "data/"
DATABASE = "server.sqlite3"
STAGING = ".backup-"
_NOT_SAVED = ("server.lock", DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", f"{DATABASE}-journal")

Progress = Callable[[int, int], None]
"""Bytes done, bytes in all."""


class BackupFailed(Exception):
    """One line that says why and what to do."""


@dataclass(frozen=True, slots=True)
class Made:
    """`size`: bytes of the files; `missing`: media that the database names and that are not there."""

    files: int
    size: int
    missing: tuple[str, ...] = ()
    made_at: str = ""


def write_backup(data_dir: Path, target: Path, progress: Progress, now: datetime | None = None) -> Made:
    """Whole, or not at all. Raises BackupFailed, OSError."""
    if target.exists():
        raise BackupFailed(f"{target} is there already: choose another name")
    part = target.with_name(target.name + ".part")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            made = stream_backup(data_dir, out, progress, now, frozenset({part.resolve()}))
            os.fsync(out.fileno())
        part.replace(target)
        sync_folder(target.parent)
    finally:
        with suppress(OSError):
            part.unlink()
    return made


def stream_backup(
    data_dir: Path,
    out: BinaryIO,
    progress: Progress,
    now: datetime | None = None,
    skip: AbstractSet[Path] = frozenset(),
) -> Made:
    """Into an open file or a pipe. Raises BackupFailed, OSError."""
    staging = data_dir / f"{STAGING}{os.getpid()}"
    _clear_old(data_dir)
    try:
        staging.mkdir(mode=0o700)
        _link_all(data_dir, staging, skip)
        missing = _copy_database(data_dir / DATABASE, staging / DATABASE)
        _link_all(data_dir, staging, skip)
        missing = tuple(path for path in missing if not (staging / "media" / path).exists())
        made_at = (now or datetime.now(timezone.utc)).strftime("%Y-%m-%dT%H:%M:%SZ")
        files, size = _write(staging, out, made_at, progress)
    except sqlite3.Error as error:
        raise BackupFailed(f"the database cannot be copied: {error}") from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return Made(files, size, missing, made_at)


def _clear_old(data_dir: Path) -> None:
    """Of a backup that was killed."""
    for leftover in data_dir.glob(f"{STAGING}*"):
        pid = leftover.name.removeprefix(STAGING)
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            shutil.rmtree(leftover, ignore_errors=True)


def _files(folder: Path, inside: str = "") -> Iterator[str]:
    """Relative paths of the files to save; a folder that goes away meanwhile is empty."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    for entry in entries:
        path = f"{inside}{entry.name}"
        if entry.is_symlink() or entry.name.startswith((".part-", STAGING, ".restoring")) or path in _NOT_SAVED:
            continue
        if entry.is_dir():
            yield from _files(Path(entry.path), f"{path}/")
        elif entry.is_file():
            yield path


def _link_all(data_dir: Path, staging: Path, skip: AbstractSet[Path]) -> None:
    """What has a newer version (a camera's last picture) is taken anew."""
    for path in _files(data_dir):
        source, target = data_dir / path, staging / path
        if source.resolve() in skip:
            continue
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with suppress(FileNotFoundError):  # gone meanwhile: then the database does not need it
            if target.exists():
                if target.samefile(source):
                    continue
                target.unlink()
            try:
                os.link(source, target)
            except FileNotFoundError:
                raise
            except OSError:  # a file system without hard links
                shutil.copy2(source, target)


def _copy_database(source: Path, target: Path) -> tuple[str, ...]:
    """A copy as of one moment; the media that it names."""
    target.touch(mode=0o600)
    with (
        closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True, timeout=30)) as original,
        closing(sqlite3.connect(target)) as copy,
    ):
        original.backup(copy)  # all pages at once: one read transaction, writers go on (WAL)
        copy.execute("PRAGMA journal_mode=DELETE")  # one file, nothing beside it
        return tuple(_named_media(copy))


def _named_media(database: sqlite3.Connection) -> Iterator[str]:
    """What stands in the columns called `…_path`."""
    tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    for table in tables:
        for _, column, *_ in database.execute(f'PRAGMA table_info("{table}")').fetchall():
            if column.endswith("_path"):
                query = f'SELECT DISTINCT "{column}" FROM "{table}" WHERE "{column}" IS NOT NULL'  # noqa: S608 - own schema
                for (path,) in database.execute(query):
                    if isinstance(path, str) and path and ".." not in path.split("/") and not path.startswith("/"):
                        yield path


class _Hashed(io.RawIOBase):
    """A file that is hashed while it is read."""

    def __init__(self, file: BinaryIO, told: Callable[[int], None]) -> None:
        self._file, self._told = file, told
        self.sha256 = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.sha256.update(data)
        self._told(len(data))
        return data


def _write(staging: Path, out: BinaryIO, made_at: str, progress: Progress) -> tuple[int, int]:
    paths = [*_files(staging), DATABASE]
    total = sum((staging / path).stat().st_size for path in paths)
    done = 0

    def told(count: int) -> None:
        nonlocal done
        done += count
        progress(done, total)

    manifest: dict[str, dict[str, object]] = {}
    with tarfile.open(fileobj=out, mode="w|", bufsize=1024 * 1024, format=tarfile.PAX_FORMAT) as tar:
        revision = _revision(staging / DATABASE)
        _add_text(tar, HEADER, {"format": FORMAT, "version": VERSION, "revision": revision, "made_at": made_at})
        for path in paths:
            with (staging / path).open("rb") as file:
                stat = os.fstat(file.fileno())
                info = tarfile.TarInfo(DATA + path)
                info.size, info.mtime, info.mode = stat.st_size, stat.st_mtime, 0o600
                hashed = _Hashed(file, told)
                tar.addfile(info, hashed)
            manifest[DATA + path] = {"size": stat.st_size, "sha256": hashed.sha256.hexdigest()}
        _add_text(tar, MANIFEST, {"files": manifest})
    out.flush()
    return len(paths), total


def _add_text(tar: tarfile.TarFile, name: str, content: object) -> None:
    data = json.dumps(content, indent=1).encode()
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o600
    tar.addfile(info, io.BytesIO(data))


def _revision(database: Path) -> str | None:
    with closing(sqlite3.connect(database)) as connection:
        try:
            found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        except sqlite3.OperationalError:
            return None
    return str(found[0]) if found else None


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

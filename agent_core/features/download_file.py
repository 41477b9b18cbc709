"""A file while it is downloaded: on disk under a name that no host shows, hashed and looked at as it grows.

Nothing but the piece at hand is in memory. Removed unless it is handed on; what a crash leaves is removed at the next
start (`remove_leftovers`).
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path

from agent_core.errors import CommandFailed

PREFIX, SUFFIX = ".obico-", ".part"

KEEP_FREE = 64 * 1024 * 1024
"""Bytes that stay free on the disk: a host whose disk is full to the last byte loses more than a download."""

LOOK_EVERY = 4 * 1024 * 1024
"""Bytes between two looks at the free space."""

LONGEST_TAIL = 512
"""Bytes of an unfinished line that are kept for the next piece; no move is longer."""

HEAD = 1024
"""Bytes at the start that tell a web page from G-code."""

_PAGE = re.compile(rb"\A(?:\xef\xbb\xbf)?\s*(?:<!doctype|<html|<head|<\?xml|<body)", re.IGNORECASE)
_COMMAND = re.compile(
    rb"^[ \t]*(?:(?:[Nn]\d+[ \t]*)?[GMTgmt]\d|[A-Z][A-Z0-9]*_[A-Z0-9_]+(?=[ \t\r\n]|\Z))", re.MULTILINE
)
"""`G1 …`, `n12 m104 …`, or one of Klipper's (`PRINT_START`)."""
GZIP = b"\x1f\x8b"
_BINARY = b"GCDE"
"""How PrusaSlicer's binary G-code begins."""

FreeSpace = Callable[[Path], int]


def free_space(folder: Path) -> int:
    """Bytes that this user can still write there. Raises OSError."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def remove_leftovers(folder: Path) -> int:
    """How many half-done files of an earlier run were removed."""
    count = 0
    for path in folder.glob(f"{PREFIX}*{SUFFIX}"):
        path.unlink(missing_ok=True)
        count += 1
    return count


class Content:
    """What goes by: hash and size, and whether it is G-code."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._head = b""
        self._tail = b""
        self._commands = False
        self._zeros = False
        self.size = 0

    def feed(self, piece: bytes) -> None:
        self._hash.update(piece)
        self.size += len(piece)
        if len(self._head) < HEAD:
            self._head += piece[: HEAD - len(self._head)]
        self._zeros = self._zeros or b"\0" in piece
        if not self._commands:
            block = self._tail + piece
            self._commands = _COMMAND.search(block) is not None
            # With the line end before it, else the middle of a line would look like the start of one.
            start = max(block.rfind(b"\n"), 0)
            tail = block[start:]
            self._tail = tail if len(tail) <= LONGEST_TAIL else b";"

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    @property
    def is_gzip(self) -> bool:
        return self._head.startswith(GZIP)

    def web_page(self) -> bool:
        return _PAGE.match(self._head) is not None

    def trouble(self) -> str | None:
        """Why the whole of it cannot be printed; None if it is G-code."""
        if not self.size:
            return "the file is empty"
        if self.web_page():
            return "a web page came instead of a G-code file (perhaps a log-in page)"
        if self._head.startswith(_BINARY):
            return "this is binary G-code, which neither OctoPrint nor Klipper can print: export it as plain G-code"
        if self._zeros:
            return "this is no G-code file: it holds binary data"
        return None if self._commands else "this is no G-code file: there is not one command in it"


class PartFile:
    """Raises CommandFailed in words when the disk is full or fails. `copies`: how often the file will lie on that disk
    before the download is over."""

    def __init__(self, folder: Path, *, free: FreeSpace = free_space, copies: int = 1, most: int) -> None:
        self._free, self._copies, self._most = free, copies, most
        self.path = folder / f"{PREFIX}{os.urandom(8).hex()}{SUFFIX}"
        self._looked_at = 0
        self.content = Content()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            self._file = os.fdopen(handle, "wb", buffering=0)
        except OSError as error:
            raise _failed(error) from None

    @property
    def size(self) -> int:
        return self.content.size

    def make_room(self, total: int) -> None:
        """To be called as soon as it is known how many bytes there will be."""
        if total > self._most:
            raise CommandFailed(f"the file is too large: {_megabytes(total)}, {_megabytes(self._most)} are the most")
        self._look(total * self._copies - self.size)

    def write(self, piece: bytes) -> None:
        if self.size + len(piece) > self._most:
            raise CommandFailed(f"the file is too large: more than {_megabytes(self._most)}")
        if self.size + len(piece) >= self._looked_at + LOOK_EVERY:
            self._looked_at = self.size
            self._look(len(piece))
        try:
            view = memoryview(piece)
            while view:
                view = view[self._file.write(view) :]
        except OSError as error:
            raise _failed(error) from None
        self.content.feed(piece)

    def restart(self) -> None:
        """Empty again."""
        try:
            self._file.seek(0)
            self._file.truncate()
        except OSError as error:
            raise _failed(error) from None
        self.content = Content()
        self._looked_at = 0

    def finish(self) -> None:
        """On the disk for good, and closed."""
        try:
            os.fsync(self._file.fileno())
            self._file.close()
        except OSError as error:
            raise _failed(error) from None

    def remove(self) -> None:
        """Harmless if it was moved away."""
        self._file.close()
        self.path.unlink(missing_ok=True)

    def _look(self, needed: int) -> None:
        try:
            free = self._free(self.path.parent)
        except OSError as error:
            raise _failed(error) from None
        if free - max(needed, 0) < KEEP_FREE:
            raise CommandFailed(
                f"too little space on the printer's computer: {_megabytes(free)} free, "
                f"{_megabytes(needed + KEEP_FREE)} needed; delete old files and print again"
            )


def unpacked(part: PartFile, folder: Path, *, free: FreeSpace, copies: int, most: int) -> PartFile:
    """The gzip file `part` taken apart into another one; memory stays bounded. Raises CommandFailed."""
    import zlib  # rarely needed: servers are asked not to compress

    out = PartFile(folder, free=free, copies=copies, most=most)
    reader = zlib.decompressobj(wbits=31)
    done = False
    try:
        with part.path.open("rb", buffering=0) as file:
            while piece := file.read(64 * 1024):
                while piece and not reader.eof:
                    out.write(reader.decompress(piece, 256 * 1024))
                    piece = reader.unconsumed_tail
        if not reader.eof:
            raise CommandFailed("the file is cut off: its compressed data end in the middle")
        out.finish()
        done = True
    except zlib.error:
        raise CommandFailed("the file is damaged: its compressed data cannot be unpacked") from None
    except OSError as error:
        raise _failed(error) from None
    finally:
        if not done:
            out.remove()
    return out


def _failed(error: OSError) -> CommandFailed:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return CommandFailed("the disk of the printer's computer is full; delete old files and print again")
    return CommandFailed(f"the file cannot be written on the printer's computer: {error.strerror or 'unknown error'}")


def _megabytes(size: int) -> str:
    return f"{max(size, 0) / 1_000_000:.0f} MB"

"""Files in the data folder: written whole or not at all, never outside of it."""

from __future__ import annotations

import errno
import os
import re
import tempfile
from pathlib import Path

_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS})
"""File systems such as FAT know one name a file."""


class MediaStore:
    """Paths are relative, with `/`, and made of plain names only."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def prepare(self) -> None:
        self._root.mkdir(parents=True, exist_ok=True)
        for leftover in self._root.glob("**/.part-*"):  # of a server that was killed
            leftover.unlink(missing_ok=True)

    def locate(self, path: str) -> Path | None:
        """Where the file is (or would be); None for a path that is none of ours."""
        parts = path.split("/")
        if not all(_PART.fullmatch(part) for part in parts):
            return None
        return self._root.joinpath(*parts)

    def folder(self, path: str) -> Path:
        """A folder in the media folder, made if it is not there. Raises OSError."""
        target = self.locate(path)
        if target is None:
            raise ValueError(f"{path!r} is no media path")
        target.mkdir(parents=True, exist_ok=True)
        return target

    def write(self, path: str, data: bytes) -> None:
        """Raises OSError (disk full, …); an older file of that name stays then."""
        target = self.locate(path)
        if target is None:
            raise ValueError(f"{path!r} is no media path")
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".part-", dir=target.parent)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            temporary.replace(target)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise

    def link(self, path: str, to: str) -> bool:
        """A second name for a file, which stays when the first is written anew; False: there is no such file.

        Raises OSError.
        """
        source, target = self.locate(path), self.locate(to)
        if source is None or target is None:
            raise ValueError(f"{path!r} or {to!r} is no media path")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        try:
            os.link(source, target)
        except FileNotFoundError:
            return False
        except OSError as error:
            if error.errno in _NO_LINKS and (data := self.read(path)) is not None:
                self.write(to, data)
                return True
            raise
        return True

    def read(self, path: str) -> bytes | None:
        """None: there is no such file."""
        target = self.locate(path)
        try:
            return target.read_bytes() if target is not None else None
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None

    def remove(self, path: str) -> None:
        target = self.locate(path)
        if target is not None:
            target.unlink(missing_ok=True)

    def names(self, folder: str) -> list[tuple[str, float]]:
        """The files in a folder with their times (Unix seconds)."""
        target = self.locate(folder)
        if target is None or not target.is_dir():
            return []
        return [(entry.name, entry.stat().st_mtime) for entry in target.iterdir() if not entry.name.startswith(".")]

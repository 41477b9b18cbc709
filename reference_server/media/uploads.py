"""G-code files on their way in: written to disk piece by piece, hashed, checked and read in the same pass."""

from __future__ import annotations

import codecs
import hashlib
import os
import tempfile
from pathlib import Path

from agent_core.gcode.check import GCodeCheck
from agent_core.gcode.metadata import GCodeMetadata, MetadataReader, Thumbnail
from reference_server.media.storage import MediaStore
from reference_server.services.secrets import RandomBytes, token

MOST_THUMBNAILS = 3
_ENDINGS = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpg"}


class NotText(Exception):
    """The file is no UTF-8 text; `line`: where, from 1, if lines are counted."""

    def __init__(self, line: int | None = None) -> None:
        super().__init__(line)
        self.line = line


class TooLarge(Exception):
    """More bytes came than may be."""


class GCodeUpload:
    """One file. `write` pieces, then `finish`, then `keep`; `discard` in every other case (harmless after `keep`)."""

    def __init__(self, media: MediaStore, folder: str, most: int, check: GCodeCheck | None = None) -> None:
        """`folder`: where in the media folder; `most`: bytes; `check`: sees the file too. Raises OSError."""
        self._media, self._folder, self._most = media, folder, most
        where = media.folder(folder)
        handle, name = tempfile.mkstemp(prefix=".part-", dir=where)
        self._path = Path(name)
        self._file = os.fdopen(handle, "wb")
        self._hash = hashlib.sha256()
        self._text = codecs.getincrementaldecoder("utf-8")()
        self._reader = MetadataReader()
        self._check = check
        self.num_bytes = 0

    def write(self, piece: bytes) -> None:
        """Raises NotText, TooLarge, OSError."""
        self.num_bytes += len(piece)
        if self.num_bytes > self._most:
            raise TooLarge
        try:
            self._text.decode(piece)
        except UnicodeDecodeError as error:
            raise self._not_text(piece, error.start) from None
        if b"\0" in piece:
            raise self._not_text(piece, piece.index(b"\0"))
        if self._check is not None:
            self._check.feed(piece)
        self._hash.update(piece)
        self._reader.feed(piece)
        self._file.write(piece)

    def _not_text(self, piece: bytes, at: int) -> NotText:
        return NotText(None if self._check is None else self._check.line + piece.count(b"\n", 0, at))

    def finish(self) -> GCodeMetadata:
        """On the disk now, also after a power cut. Raises NotText, OSError."""
        try:
            self._text.decode(b"", final=True)
        except UnicodeDecodeError:
            raise NotText from None
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return self._reader.finish()

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def keep(self, random: RandomBytes) -> str:
        """The file's media path. Raises OSError."""
        path = f"{self._folder}/{token(random, 16)}.gcode"
        target = self._media.locate(path)
        if target is None:
            raise ValueError(f"{path!r} is no media path")
        self._path.replace(target)
        return path

    def discard(self) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)


def keep_thumbnails(
    media: MediaStore, folder: str, thumbnails: tuple[Thumbnail, ...], random: RandomBytes
) -> tuple[str, ...]:
    """Media paths of those that a browser can show, the largest first. Raises OSError."""
    kept: list[str] = []
    for thumbnail in sorted(thumbnails, key=lambda each: each.width * each.height, reverse=True):
        ending = next((ending for start, ending in _ENDINGS.items() if thumbnail.data.startswith(start)), None)
        if ending is not None and len(kept) < MOST_THUMBNAILS:
            path = f"{folder}/{token(random, 16)}.{ending}"
            media.write(path, thumbnail.data)
            kept.append(path)
    return tuple(kept)

"""A file on its way as multipart/form-data: read piece by piece, never held in memory."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

Progress = Callable[[int, int], None]
"""Called with bytes sent and bytes in all, of the file alone; at the beginning, after each piece, and anew from 0 when
the upload is repeated. In the asyncio client it is called on the event loop."""

PIECE = 64 * 1024  # bytes


@dataclass(frozen=True, slots=True)
class Upload:
    """`fields`: what goes with the file. The file is opened anew for each try, so that it can be repeated."""

    path: Path
    fields: Mapping[str, str]
    name: str
    progress: Progress | None = None
    boundary: str = field(default_factory=lambda: secrets.token_hex(16))

    @property
    def content_type(self) -> str:
        return f"multipart/form-data; boundary={self.boundary}"

    def _head(self) -> bytes:
        parts = [
            f'--{self.boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in self.fields.items()
        ]
        quoted = self.name.replace("\\", "\\\\").replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
        parts.append(
            f'--{self.boundary}\r\nContent-Disposition: form-data; name="file"; filename="{quoted}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        return "".join(parts).encode()

    def _tail(self) -> bytes:
        return f"\r\n--{self.boundary}--\r\n".encode()

    def open(self) -> Sending:
        """Raises OSError."""
        return Sending(self)


class Sending:
    """One try of an upload: its length, and its bytes for whichever client."""

    def __init__(self, upload: Upload) -> None:
        self._upload = upload
        self._head, self._tail = upload._head(), upload._tail()
        self._file = upload.path.open("rb")
        self._size = os.fstat(self._file.fileno()).st_size
        self._left = self._size
        self.length = len(self._head) + self._size + len(self._tail)

    def _read(self) -> bytes:
        """The next piece. A file that grows meanwhile is sent as long as it was; raises OSError if it shrinks."""
        piece = self._file.read(min(PIECE, self._left))
        if not piece and self._left:
            raise OSError(f"{self._upload.path} became shorter while it was sent")
        self._left -= len(piece)
        return piece

    def _tell(self) -> None:
        if self._upload.progress is not None:
            self._upload.progress(self._size - self._left, self._size)

    def pieces(self) -> Iterator[bytes]:
        yield self._head
        self._tell()
        while self._left:
            yield self._read()
            self._tell()
        yield self._tail

    async def pieces_later(self) -> AsyncIterator[bytes]:
        yield self._head
        self._tell()
        while self._left:
            yield await asyncio.to_thread(self._read)
            self._tell()
        yield self._tail

    def close(self) -> None:
        self._file.close()

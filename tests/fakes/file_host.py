"""A host's files and start button without a host: downloads.FilePort on a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from agent_core.errors import AgentError, CommandFailed, Rejected, StartUnclear
from agent_core.features.download_ports import BUSY, StoredFile
from agent_core.ports import Interrupt


class FileHost:
    """`busy`: something prints. `log` tells the order of what was done. `history`: what was printed, by path.

    `prints` False: a start is taken and shows nothing. `away`: what the host says when it is asked for its history.
    """

    copies = 1

    def __init__(self, folder: Path, *, answers_mismatch: bool = False) -> None:
        self.folder = folder
        self.answers_mismatch = answers_mismatch
        self.busy = False
        self.refuses_start = ""
        self.aborted = False
        self.log: list[str] = []
        self.history: list[str] = []
        self.prints = True
        self.away: AgentError | None = None
        self.on_take: Callable[[], None] = lambda: None
        self.on_start: Callable[[], None] = lambda: None
        (folder / "Up").mkdir()

    def check_idle(self) -> None:
        if self.busy:
            raise Rejected(BUSY)

    def work_folder(self) -> Path:
        return self.folder / "Up"

    def path_for(self, name: str) -> str:
        return f"Up/{name}"

    def size(self, path: str) -> int | None:
        found = self.folder / path
        return found.stat().st_size if found.exists() else None

    def digest(self, path: str, interrupt: Interrupt) -> str:
        return hashlib.sha256((self.folder / path).read_bytes()).hexdigest()

    def take(self, part: Path, path: str, sha256: str, interrupt: Interrupt) -> None:
        self.log.append(f"take {path}")
        self.on_take()
        assert not (self.folder / path).exists()
        part.rename(self.folder / path)

    def stored(self, path: str) -> StoredFile:
        return StoredFile(path, "ts:1.5")

    def matches(self, path: str, signature: str) -> bool | None:
        return signature == "ts:1.5" if (self.folder / path).exists() else None

    def thumbnail(self, path: str) -> bytes | None:
        return None

    def start(self, path: str) -> None:
        if self.refuses_start:
            raise CommandFailed(self.refuses_start)
        self.log.append(f"start {path}")
        self.on_start()
        if not self.prints:
            raise StartUnclear("it does not begin")
        self.history.append(path)

    def mark(self, path: str) -> str | None:
        if self.away is not None:
            raise self.away
        return str(len(self.history))

    def printed(self, path: str, mark: str | None) -> bool:
        if self.away is not None:
            raise self.away
        return path in self.history[int(mark or 0) :]

    def abort(self) -> None:
        self.aborted = True

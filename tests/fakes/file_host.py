"""A host's files and start button without a host: downloads.FilePort on a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from agent_core.errors import CommandFailed, Rejected
from agent_core.features.downloads import BUSY, StoredFile
from agent_core.ports import Interrupt


class FileHost:
    """`busy`: something prints. `log` tells the order of what was done. `on_start` runs when a print is started."""

    copies = 1

    def __init__(self, folder: Path, *, answers_mismatch: bool = False) -> None:
        self.folder = folder
        self.answers_mismatch = answers_mismatch
        self.busy = False
        self.refuses_start = ""
        self.aborted = False
        self.log: list[str] = []
        self.on_take: Callable[[], None] = lambda: None
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

    def abort(self) -> None:
        self.aborted = True

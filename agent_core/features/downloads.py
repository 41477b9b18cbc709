"""Files from the server, printed: downloaded, given to the host, linked, started (wire-protocol.md §8, *Download*).

`file_downloader.download` is answered at once; the work goes on in a thread of its own that lives as long as the
download. What goes wrong then reaches people as an alert. Nothing is overwritten, nothing half-done stays, and nothing
is started unless the printer is idle at that very moment.
"""

from __future__ import annotations

import logging
import random
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol

from agent_core.config import AgentConfig
from agent_core.errors import AgentError, CommandFailed, Rejected
from agent_core.features.files import safe_filename, tell_signature
from agent_core.model import AlertRaised, Download
from agent_core.pause import PauseSettings
from agent_core.ports import Clock, Http, Interrupt, PrinterPort, Store
from agent_core.runtime.worker import Worker
from agent_core.wire import read
from agent_core.wire.messages import PassthruCall

if TYPE_CHECKING:  # loaded when the first download begins: most agents of a day never need it
    from agent_core.features.download_fetch import Ask

_log = logging.getLogger(__name__)

BUSY = "Printer busy!"
"""The one word that clients know (§8)."""

RECORD_KEY = "download"
"""The store's record of a download under way: after a crash somebody still has to be told."""

MOST_SAME_NAMES = 99
LONGEST_NAME = 120
"""Characters; OctoPrint's and Klipper's disks take 255 bytes."""

REPORT_SECONDS = 1.0
"""Between two reports of the progress."""

END_SECONDS = 30.0
"""How long a cancel waits until the download has let go of everything."""

_ENDINGS = (".gcode", ".gco", ".g")
_UNWANTED = re.compile(r"[^\w .+()\[\]-]")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of the host: its path in the host's own terms, and the signature that the host's reports will give it."""

    path: str
    signature: str | None = None


class FilePort(Protocol):
    """The host's files and its start button. Called by the download's worker and by callers of passthru, never by a
    host's own thread; may block. Raises AgentError in words for a person. Paths are relative to the host's folder of
    G-code files.
    """

    @property
    def copies(self) -> int:
        """How often a file lies on the working folder's disk while it is taken in."""
        ...

    @property
    def answers_mismatch(self) -> bool:
        """A file that is not what was meant: told in the reply's `ret` (OctoPrint) or as its error (Klipper; §8)."""
        ...

    def check_idle(self) -> None:
        """By what the printer says right now: raises Rejected (BUSY where it prints) unless a print can be started."""
        ...

    def work_folder(self) -> Path:
        """Where a file grows, on the same disk as its target if there is any choice."""
        ...

    def path_for(self, name: str) -> str:
        """The path of a downloaded file of that name, as the host would store it."""
        ...

    def size(self, path: str) -> int | None:
        """Bytes; None if there is no such file."""
        ...

    def digest(self, path: str, interrupt: Interrupt) -> str:
        """SHA-256 of a file that is there, in hex."""
        ...

    def take(self, part: Path, path: str, sha256: str, interrupt: Interrupt) -> None:
        """Makes the host's own file out of `part`, which may be gone then. Never overwrites."""
        ...

    def stored(self, path: str) -> StoredFile: ...

    def matches(self, path: str, signature: str) -> bool | None:
        """Whether the file is the one that the signature was made of; None if there is no such file."""
        ...

    def thumbnail(self, path: str) -> bytes | None:
        """The largest picture that the slicer put into the file, PNG or JPEG (thumbnails.MOST_BYTES); None: none."""
        ...

    def start(self, path: str) -> None:
        """Begins to print; returns when the host has really begun. Raises CommandFailed with its own words."""
        ...

    def abort(self) -> None:
        """From any thread: ends what `take` and `digest` wait for."""
        ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the server asks for: `id` is the file's on the server; size and SHA-256 only where it tells them."""

    name: str
    url: str
    id: int | None = None
    num_bytes: int | None = None
    sha256: str | None = None

    @classmethod
    def of(cls, call: PassthruCall) -> Wanted:
        """Raises Rejected."""
        told = read.mapping(call.args[0]) if call.args else None
        url = read.text(told.get("url")) if told is not None else None
        if told is None or not url:
            raise Rejected("the call names no file to download")
        sha256 = read.text(told.get("sha256")) or ""
        size = read.integer(told.get("num_bytes"))
        return cls(
            clean_name(read.text(told.get("filename")) or read.text(told.get("safe_filename")) or ""),
            url,
            read.integer(told.get("id")),
            size if size is not None and size > 0 else None,
            sha256.lower() if _SHA256.fullmatch(sha256) else None,
        )


def clean_name(name: str) -> str:
    """A file's name without path, and without anything that a shell, a file system or Klipper's parser trips over."""
    last = name.replace("\\", "/").rpartition("/")[2]
    kept = _UNWANTED.sub("_", last).strip(" .") or "download"
    stem, dot, ending = kept.rpartition(".")
    if not stem or f"{dot}{ending}".lower() not in _ENDINGS:
        stem, ending = kept, "gcode"
    return f"{stem[:LONGEST_NAME].rstrip(' .')}.{ending}"


def numbered(name: str, number: int) -> str:
    """`clip.gcode`, `clip_2.gcode`, `clip_3.gcode`, …"""
    stem, _, ending = name.rpartition(".")
    return name if number == 1 else f"{stem}_{number}.{ending}"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a download needs besides the host. `tell(download)` shows the progress (None: over), `alert` tells people;
    both return at once. `new_http` makes a client that only the download uses, so that it can be cut off alone."""

    config: AgentConfig
    http: Http
    new_http: Callable[[], Http]
    clock: Clock
    store: Store
    tell: Callable[[Download | None], None]
    alert: Callable[[AlertRaised], None]
    uniform: Callable[[], float] = random.random


class _Run:
    """One download under way."""

    def __init__(self, wanted: Wanted, http: Http) -> None:
        self.wanted = wanted
        self.http = http
        self.interrupt = Interrupt()
        self.ended = threading.Event()
        self.worker = Worker("download", limit=1)
        self.started = False
        self.by_person = False


class Downloads:
    """One at a time. `handlers` are for passthru; `cancel` and `stop` may be called from any thread."""

    def __init__(self, files: FilePort, around: Surroundings) -> None:
        self._files = files
        self._around = around
        self._lock = threading.Lock()  # guards the two below; never held during I/O
        self._run: _Run | None = None
        self._stopped = False

    @property
    def handlers(self) -> Mapping[str, Callable[[PassthruCall], Any]]:
        return {
            "file_downloader.download": self.download,
            "file_operations.start_printer_local_print": self.start_local,
        }

    @property
    def active(self) -> bool:
        return self._run is not None

    @property
    def worker(self) -> Worker | None:
        """The one that runs now."""
        run = self._run
        return None if run is None else run.worker

    # --- calls ---

    def download(self, call: PassthruCall) -> Mapping[str, Any]:
        """`{"target_path"}` at once; a number is added later if a file of other content is there. Raises Rejected."""
        wanted = Wanted.of(call)
        self._files.check_idle()
        with self._lock:
            if self._run is not None:
                raise Rejected(BUSY)
            if self._stopped:
                raise Rejected("the agent stops")
            run = self._run = _Run(wanted, self._around.new_http())
        self._around.tell(Download(wanted.name))
        run.worker.start()
        run.worker.submit(lambda: self._work(run))
        return {"target_path": self._files.path_for(wanted.name)}

    def start_local(self, call: PassthruCall) -> Any:
        """`Success`. Raises AgentError."""
        told = read.mapping(call.args[0]) if call.args else None
        path = read.text(told.get("url")) if told is not None else None
        signature = read.text(told.get("agent_signature")) if told is not None else None
        if not path or not signature:
            raise Rejected("the call names no file with its signature")
        if self.active:
            raise Rejected(BUSY)
        self._files.check_idle()
        same = self._files.matches(path, signature)
        if same:
            self._files.check_idle()
            self._files.start(path)
            return "Success"
        trouble = (
            "The file is not on the printer any more." if same is None
            else "The file on the printer has been changed since the server was told of it."
        )  # fmt: skip
        if self._files.answers_mismatch:
            return {"error": trouble}
        raise Rejected(trouble)

    # --- ending ---

    def cancel(self) -> bool:
        """Ends the download, as a person wants; False if there is none, or its print has begun already."""
        run = self._run
        if run is None:
            return False
        run.by_person = True
        self._cut(run, "the download was cancelled")
        run.ended.wait(END_SECONDS)
        return not run.started

    def stop(self) -> None:
        """Ends the download and takes no other; returns at once."""
        with self._lock:
            self._stopped = True
            run = self._run
        if run is not None:
            self._cut(run, "the agent stops")

    def _cut(self, run: _Run, why: str) -> None:
        run.interrupt.set(why)
        run.http.close()
        self._files.abort()

    def recover(self) -> None:
        """Soon after the agent's start: what a crash left behind is removed, and told. Does I/O on a disk."""
        if self.active:
            return  # it is a new one already, and clears up itself
        left = self._around.store.load(RECORD_KEY)
        try:
            from agent_core.features.download_file import remove_leftovers  # with a record only

            if left is not None:
                self._around.store.remove(RECORD_KEY)
                remove_leftovers(self._files.work_folder())
        except (OSError, AgentError) as error:
            _log.warning("what an interrupted download left cannot be removed: %s", error)
        if left is not None:
            name = read.text(left.get("name")) or "a file"
            self._alert(name, "the agent was restarted during the download; print it again from the server")

    # --- on the download's worker ---

    def _work(self, run: _Run) -> None:
        trouble: str | None = "a fault in the agent, see its log"
        try:
            self._around.store.save(RECORD_KEY, {"name": run.wanted.name})
            self._carry_out(run)
            trouble = None
        except AgentError as error:
            trouble = str(error)
        except OSError as error:
            trouble = f"the disk of the printer's computer fails: {error.strerror}"
        finally:
            # Also after a bug, which the worker logs.
            self._end(run, trouble)

    def _end(self, run: _Run, trouble: str | None) -> None:
        run.http.close()
        try:
            self._around.tell(None)
            if trouble is not None and run.by_person:
                _log.info("the download of %s was cancelled", run.wanted.name)
            elif trouble is not None and not self._stopped:
                self._alert(run.wanted.name, trouble)
            if trouble is None or not self._stopped:  # else it is told at the next start
                self._around.store.remove(RECORD_KEY)
        finally:
            run.worker.stop()
            with self._lock:
                self._run = None
            run.ended.set()

    def _alert(self, name: str, trouble: str) -> None:
        title = f"{name} was not printed"
        now = self._around.clock.now()
        # Somebody has just asked for it: each time is worth a word.
        self._around.alert(AlertRaised(title, trouble, now, "PRINTER_ERROR", "ERROR", topic="download", every=0.0))

    def _carry_out(self, run: _Run) -> None:
        path = self._known(run) or self._fetched(run)
        kept = f" The file is on the printer as {path}."
        try:
            stored = self._files.stored(path)
            self._link(run.wanted, stored)
            if run.interrupt.is_set():
                raise Rejected(run.interrupt.reason)
            self._files.check_idle()
            run.started = True
            self._files.start(path)
        except CommandFailed as error:
            raise CommandFailed(f"{error}{kept}") from None
        except Rejected as error:
            raise Rejected(f"{error}{kept}") from None
        _log.info("printing %s, which came from the server", path)

    def _known(self, run: _Run) -> str | None:
        """Where the very file lies already, if the server has told enough to know."""
        wanted = run.wanted
        if wanted.num_bytes is None or wanted.sha256 is None:
            return None
        path, same = self._place(wanted.name, wanted.num_bytes, wanted.sha256, run.interrupt)
        return path if same else None

    def _place(self, name: str, size: int, sha256: str, interrupt: Interrupt) -> tuple[str, bool]:
        """Where a file of that content goes, and whether it is there already."""
        for number in range(1, MOST_SAME_NAMES + 1):
            path = self._files.path_for(numbered(name, number))
            there = self._files.size(path)
            if there is None:
                return path, False
            if there == size and self._files.digest(path, interrupt) == sha256:
                return path, True
        raise CommandFailed(f"there are {MOST_SAME_NAMES} other files of that name on the printer; delete some")

    def _fetched(self, run: _Run) -> str:
        from agent_core.features.download_fetch import Ask, Fetch, Tools
        from agent_core.features.download_file import remove_leftovers

        folder = self._files.work_folder()
        remove_leftovers(folder)
        wanted, around = run.wanted, self._around
        tools = Tools(
            around.config, run.http, around.clock, run.interrupt, around.uniform, self._reporter(wanted.name)
        )  # fmt: skip
        ask: Ask = Ask(wanted.url, wanted.num_bytes, wanted.sha256)
        part = Fetch(ask, folder, self._files.copies, tools).run()
        try:
            path, same = self._place(wanted.name, part.size, part.content.sha256, run.interrupt)
            if not same:
                self._files.take(part.path, path, part.content.sha256, run.interrupt)
        finally:
            part.remove()
        return path

    def _reporter(self, name: str) -> Callable[[int, int | None], None]:
        told_at = self._around.clock.monotonic()

        def progress(done: int, total: int | None) -> None:
            nonlocal told_at
            now = self._around.clock.monotonic()
            if now - told_at >= REPORT_SECONDS:
                told_at = now
                self._around.tell(Download(name, done, total))

        return progress

    def _link(self, wanted: Wanted, stored: StoredFile) -> None:
        """Before the print begins, so that it is linked to the server's file (§8). A print is worth more than that."""
        if wanted.id is None or stored.signature is None:
            return
        name = safe_filename(PurePosixPath(stored.path).name)
        try:
            tell_signature(self._around.http, self._around.config, wanted.id, stored.signature, name)
        except AgentError as error:
            _log.warning("the print will not be linked to the server's file: %s", error)


class CancelsDownloads:
    """The host's PrinterPort; a cancel while a download is under way ends that."""

    def __init__(self, printer: PrinterPort, downloads: Downloads) -> None:
        self._printer = printer
        self._downloads = downloads

    def check(self, command: str) -> None:
        if command != "cancel" or not self._downloads.active:
            self._printer.check(command)

    def pause(self, settings: PauseSettings, interrupt: Interrupt) -> str:
        return self._printer.pause(settings, interrupt)

    def resume(self, interrupt: Interrupt) -> str:
        return self._printer.resume(interrupt)

    def cancel(self, interrupt: Interrupt) -> str:
        if self._downloads.cancel():
            return "cancelled the download; nothing was started"
        return self._printer.cancel(interrupt)

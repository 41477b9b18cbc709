"""Klipper's G-code files by way of Moonraker (agent_core.features.downloads.FilePort), wherever it runs."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from agent_core import pause_klipper as klipper
from agent_core.errors import CommandFailed, Rejected, StartUnclear
from agent_core.features.download_ports import BUSY, StoredFile
from agent_core.features.thumbnails import MOST_BYTES, kind_of
from agent_core.ports import FileOnDisk, Http, HttpRequest, HttpResponse, Interrupt, Upload
from agent_core.transport.proxy import local
from moonraker_obico.klipper_api import KlipperApi, Objects
from moonraker_obico.moonraker_socket import KEY_WANTED, Address
from moonraker_obico.objects import as_number
from moonraker_obico.report import FileFacts, job

FOLDER = "Obico_Upload"
"""The public agent's; clients hide it (wire-protocol.md §8)."""

UPLOAD_SECONDS, UPLOAD_STALL = 1800.0, 300.0
"""Moonraker reads a large file for its metadata before it answers; that takes minutes on a small board."""

HISTORY_JOBS = 25
"""Asked for when a print is looked for; about 1 kB each."""

START_SECONDS = 60.0
CONFIRM_SECONDS = 15.0
SAME_SECONDS = 0.002
"""`modified` times that differ by less are the same one, written with more or fewer digits."""


class KlipperFiles:
    """`new_http`: a client for one exchange with Moonraker, which `abort` can close."""

    answers_mismatch = False

    def __init__(
        self, api: KlipperApi, address: Address, new_http: Callable[[], Http], work_folder: Path
    ) -> None:
        self._api, self._address, self._new_http, self._work_folder = api, address, new_http, work_folder
        self._lock = threading.Lock()  # guards the next
        self._http: Http | None = None

    @property
    def copies(self) -> int:
        """Moonraker takes a copy; on this machine both lie on one disk as a rule."""
        return 2 if local(self._address.host) else 1

    # --- the printer ---

    def check_idle(self) -> None:
        _require_ready(self._api.objects())
        # Asked anew: where a print is paused, Klipper would begin another one right over it.
        fresh = self._api.query({"webhooks": None, "print_stats": ("state",), "pause_resume": ("is_paused",)})
        _require_ready(fresh)
        if klipper.print_state(fresh) in {"printing", "paused"}:
            raise Rejected(BUSY)

    def start(self, path: str) -> None:
        # An earlier print of the same file reads as one that has ended; only what changes is this one.
        before = _progress(self._api.objects())
        self._api.call("printer.print.start", {"filename": path}, timeout=START_SECONDS)

        def begun(objects: Objects) -> bool:
            stats = objects.get("print_stats") or {}
            return stats.get("state") in {"printing", "paused"} or (
                stats.get("filename") == path
                and stats.get("state") not in {None, "standby"}
                and _progress(objects) != before
            )

        if not self._api.wait_for(begun, timeout=CONFIRM_SECONDS):
            raise StartUnclear("Klipper took the file, but did not begin to print it; its console says why")

    def mark(self, path: str) -> str | None:  # noqa: ARG002 - the port's
        """The newest entry of Moonraker's history; its numbers only grow, whatever its clock does."""
        newest = self._newest_jobs(1)
        return None if newest is None else str(newest[0][0] if newest else 0)

    def printed(self, path: str, mark: str | None) -> bool:
        # Moonraker first: an entry is made as the print begins, and a print may end between two questions.
        stats = self._api.query({"print_stats": ("state", "filename")}).get("print_stats") or {}
        if stats.get("state") in {"printing", "paused"} and stats.get("filename") == path:
            return True
        jobs = None if mark is None else self._newest_jobs(HISTORY_JOBS)
        return jobs is not None and any(name == path and number > int(mark or 0) for number, name in jobs)

    def _newest_jobs(self, limit: int) -> list[tuple[int, str]] | None:
        """Number and file of Moonraker's newest jobs; None if it keeps no history. Raises Unreachable."""
        try:
            found = self._api.call("server.history.list", {"limit": limit, "order": "desc"}, timeout=10.0)
        except CommandFailed:
            return None
        jobs = found.get("jobs") if isinstance(found, dict) else None
        listed = [each for each in jobs if isinstance(each, dict)] if isinstance(jobs, list) else []
        read = [(_hexadecimal(each.get("job_id")), str(each.get("filename"))) for each in listed]
        return [(number, name) for number, name in read if number is not None]

    # --- files ---

    def work_folder(self) -> Path:
        return self._work_folder

    def path_for(self, name: str) -> str:
        return f"{FOLDER}/{name}"

    def size(self, path: str) -> int | None:
        found = self._entry(path)
        size = None if found is None else as_number(found.get("size"))
        return None if size is None else int(size)

    def digest(self, path: str, interrupt: Interrupt) -> str:
        found = hashlib.sha256()

        def take(piece: bytes) -> None:
            if interrupt.is_set():
                raise Rejected(interrupt.reason)
            found.update(piece)

        def receive(status: int, _headers: Mapping[str, str]) -> Callable[[bytes], None]:
            if status != 200:
                raise CommandFailed(f"Moonraker does not give {path} out (error {status})")
            return take

        self._ask(HttpRequest(
            "GET", self._url(f"server/files/gcodes/{quote(path)}"), headers=self._headers(), receive=receive,
            timeout=UPLOAD_SECONDS, stall=UPLOAD_STALL, limit=2**40,
        ), interrupt)  # fmt: skip
        return found.hexdigest()

    def take(self, part: Path, path: str, sha256: str, interrupt: Interrupt) -> None:
        if interrupt.is_set():
            raise Rejected(interrupt.reason)
        if self.size(path) is not None:
            raise CommandFailed(f"{path} is there already")  # Moonraker itself would overwrite it
        folder, _, name = path.rpartition("/")
        content = FileOnDisk(str(part), part.stat().st_size)
        self._ask(HttpRequest(
            "POST", self._url("server/files/upload"), headers=self._headers(),
            form={"root": "gcodes", "path": folder, "checksum": sha256},
            files={"file": Upload(name, content)}, timeout=UPLOAD_SECONDS, stall=UPLOAD_STALL,
        ), interrupt)  # fmt: skip

    def stored(self, path: str) -> StoredFile:
        try:
            metadata = self._api.call("server.files.metadata", {"filename": path}, timeout=30.0)
        except CommandFailed:
            metadata = self._entry(path)  # a file that Moonraker could not read through
        # The very words of the report of its print, by which the server will know it again.
        facts = FileFacts(path, metadata if isinstance(metadata, dict) else {})
        return StoredFile(path, job(facts).signature)

    def matches(self, path: str, signature: str) -> bool | None:
        found = self._entry(path.removeprefix("gcodes/"))
        modified = None if found is None else as_number(found.get("modified"))
        if modified is None:
            return None
        kind, _, said = signature.partition(":")
        try:
            return kind == "ts" and abs(float(said) - modified) < SAME_SECONDS
        except ValueError:
            return False

    def thumbnail(self, path: str) -> bytes | None:
        metadata = self._api.call("server.files.metadata", {"filename": path}, timeout=30.0)
        listed = metadata.get("thumbnails") if isinstance(metadata, dict) else None
        found = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
        usable = [each for each in found if 0 < (as_number(each.get("size")) or 0) <= MOST_BYTES]
        if not usable:
            return None
        best = max(usable, key=lambda each: as_number(each.get("width")) or 0)
        folder = path.rpartition("/")[0]
        where = "/".join(part for part in (folder, str(best.get("relative_path"))) if part)
        response = self._ask(HttpRequest(
            "GET", self._url(f"server/files/gcodes/{quote(where)}"), headers=self._headers(), limit=MOST_BYTES,
        ), Interrupt())  # fmt: skip
        return response.body if kind_of(response.body) is not None else None

    def abort(self) -> None:
        with self._lock:
            http = self._http
        if http is not None:
            http.close()

    # --- Moonraker ---

    def _entry(self, path: str) -> Mapping[str, Any] | None:
        """What Moonraker lists of a file: `size`, `modified`."""
        folder, _, name = f"gcodes/{path}".rpartition("/")
        try:
            found = self._api.call("server.files.get_directory", {"path": folder, "extended": False}, timeout=30.0)
        except CommandFailed:
            return None  # no such folder
        files = found.get("files") if isinstance(found, dict) else None
        listed = [entry for entry in files if isinstance(entry, dict)] if isinstance(files, list) else []
        return next((entry for entry in listed if entry.get("filename") == name), None)

    def _url(self, path: str) -> str:
        return f"http://{self._address.bracketed}/{path}"

    def _headers(self) -> dict[str, str]:
        key = self._address.api_key
        return {} if key is None else {"X-Api-Key": key.reveal()}

    def _ask(self, request: HttpRequest, interrupt: Interrupt) -> HttpResponse:
        """Raises CommandFailed with Moonraker's words, Unreachable, Rejected if it was given up."""
        http = self._new_http()
        with self._lock:
            self._http = http
        try:
            if interrupt.is_set():  # before `abort` knew of this client
                raise Rejected(interrupt.reason)
            response = http.send(request)
        finally:
            with self._lock:
                self._http = None
            http.close()
        if response.status in {401, 403} and "authorized" in _words(response).lower():
            raise CommandFailed(KEY_WANTED)
        if not 200 <= response.status < 300:
            raise CommandFailed(f"Moonraker refused the file: {_words(response) or f'error {response.status}'}")
        return response


def _progress(objects: Objects) -> tuple[Any, ...]:
    stats = objects.get("print_stats") or {}
    return stats.get("state"), stats.get("filename"), stats.get("total_duration")


def _hexadecimal(value: object) -> int | None:
    """As Moonraker writes the numbers of jobs: `00001F`."""
    try:
        return int(value, 16) if isinstance(value, str) else None
    except ValueError:
        return None


def _words(response: HttpResponse) -> str:
    try:
        told = json.loads(response.body)["error"]["message"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return str(told)[:300]


def _require_ready(objects: Objects) -> None:
    why = klipper.not_ready(objects)
    if why is not None:
        raise Rejected(f"Printer not ready: {why}")

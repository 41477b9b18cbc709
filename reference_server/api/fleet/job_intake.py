"""A job's file on its way in: uploaded in a form, or fetched from an address; streamed to disk, checked as it comes.

Bytes first, row second, job third: a server that is killed in between leaves at most a file that nobody asks for.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote, urlsplit

from fastapi import Request

from agent_core.gcode.check import GCodeCheck
from reference_server.api.context import Context
from reference_server.api.uploads import FormCutOff, LargeForm, receive
from reference_server.media.uploads import GCodeUpload, NotText, TooLarge, keep_thumbnails
from reference_server.net.fetch import AnswerTooLarge, CutOff, fetch
from reference_server.net.guard import FetchFailed
from reference_server.services.errors import Invalid, StoreFailed, Throttled
from reference_server.services.files.library import Uploaded
from reference_server.services.fleet.errors import FileInvalid
from reference_server.services.model import GCodeFile, User

log = logging.getLogger(__name__)

FOLDER = "Jobs"
"""Where in the account's library the files of jobs are."""

FETCH_TIME = 600.0
"""Seconds for a whole file."""

_FETCHES = threading.BoundedSemaphore(4)
"""Files that are fetched at once; each holds a worker thread."""

_LONGEST_NAME = 150


class Broken(FileInvalid):
    """`kind` as in agent_core.gcode.check, or `too_large`."""

    def __init__(self, kind: str, text: str, line: int | None = None) -> None:
        super().__init__(text, {"file": text, "kind": kind} | ({"line": line} if line is not None else {}))


class Intake:
    """One file. `with intake(…) as file:`, feed it, `keep` it."""

    def __init__(self, context: Context, account: User) -> None:
        self._context, self._account = context, account
        self._most = context.config.fleet_upload_limit_mb * 1_000_000
        self._check = GCodeCheck()
        self._upload = GCodeUpload(context.media, f"gcodes/{account.id}", self._most, self._check)

    def write(self, piece: bytes) -> None:
        """Raises FileInvalid, OSError."""
        try:
            self._upload.write(piece)
        except TooLarge:
            raise self._too_large() from None
        except NotText as error:
            raise Broken("binary", f"The file is binary: line {error.line} is no text.", error.line) from None

    def _too_large(self) -> Broken:
        return Broken("too_large", f"The file is larger than {self._most // 1_000_000} MB.")

    def fetch(self, url: str) -> str:
        """The name of the file that was found. Raises FileInvalid, Invalid: it cannot be had; Throttled."""
        if not _FETCHES.acquire(blocking=False):
            raise Throttled(30)
        try:
            return name_in(fetch(url, self.write, self._most, FETCH_TIME, self._context.config.address_policy))
        except AnswerTooLarge:
            raise self._too_large() from None
        except CutOff as error:
            raise Broken("truncated", f"The file is cut off: {error}.", self._check.line) from None
        except FetchFailed as error:
            raise Invalid.field("file_url", f"The file cannot be fetched: {error}.") from None
        finally:
            _FETCHES.release()

    def keep(self, name: str) -> GCodeFile:
        """In the account's library. Raises FileInvalid, Conflict, OSError."""
        try:
            found = self._upload.finish()
        except NotText:
            text = "The file is cut off: its last character is not whole."
            raise Broken("truncated", text, self._check.line) from None
        fault = self._check.finish()
        if fault is not None:
            raise Broken(fault.kind, fault.text, fault.line)
        context, paths = self._context, [self._upload.keep(self._context.random)]
        file: GCodeFile | None = None
        try:
            thumbnails = keep_thumbnails(
                context.media, f"thumbnails/{self._account.id}", found.thumbnails, context.random
            )  # fmt: skip
            paths.extend(thumbnails)
            file = context.library.add(
                self._account,
                Uploaded(
                    _file_name(name), FOLDER, self._upload.num_bytes, self._upload.sha256, paths[0],
                    found.filament_total, found.estimated_time, found.to_json(), thumbnails,
                ),
            )  # fmt: skip
        finally:
            if file is None or file.media_path != paths[0]:
                for path in paths:
                    context.media.remove(path)
        return file

    def discard(self) -> None:
        self._upload.discard()


@contextmanager
def intake(context: Context, account: User) -> Iterator[Intake]:
    """Blocks; what is not kept is gone afterwards. Raises StoreFailed: the disk."""
    file: Intake | None = None
    try:
        file = Intake(context, account)
        yield file
    except OSError as error:
        raise disk_failed(error) from None
    finally:
        if file is not None:
            file.discard()


def disk_failed(error: OSError) -> StoreFailed:
    log.error("a job's file could not be written: %s; is the disk full?", error.strerror)
    return StoreFailed("The file could not be stored.")


async def take_form(request: Request, file: Intake) -> LargeForm:
    """Raises Invalid, FileInvalid, OSError: a form that ends too early is a file that was cut off."""
    try:
        return await receive(request, "file", file)
    except FormCutOff:
        raise Broken("truncated", "The upload ended before its form did: the file is cut off.") from None


def name_in(url: str) -> str:
    """What the file of an address is called."""
    return unquote(urlsplit(url).path).replace("\\", "/").rpartition("/")[2]


def _file_name(name: str) -> str:
    plain = "".join(mark for mark in name.replace("\\", "/").rpartition("/")[2] if mark.isprintable()).strip(" .")
    return plain[:_LONGEST_NAME] or "job.gcode"



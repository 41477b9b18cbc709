"""Where log lines go: a file that cannot grow for ever, or standard error (for a journal with its priorities)."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from pathlib import Path

from agent_core.errors import ConfigInvalid
from agent_core.features.scrub import Scrubber, ScrubFilter

FILE_LIMIT = 1024 * 1024
"""Bytes of a log file; one older one is kept beside it. (logging.handlers would cost half a megabyte of memory.)"""

_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


class BoundedFile(logging.FileHandler):
    """Begins a new file when the old one is full; the one before it is lost. What cannot be written (a full disk) is
    lost too, and that is said once on standard error: no log call may fail, least of all one about lost events.
    """

    _told = False

    def emit(self, record: logging.LogRecord) -> None:
        try:
            super().emit(record)
            if self.stream is None:
                return
            self._told = False
            if self.stream.tell() >= FILE_LIMIT:
                self.close()
                with contextlib.suppress(OSError):
                    Path(self.baseFilename).replace(f"{self.baseFilename}.1")
        except OSError:
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - its name in logging
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
            return
        # A file of its own for each record from now on: what a broken one still buffers would grow.
        broken, self.stream = self.stream, None
        with contextlib.suppress(OSError):
            if broken is not None:
                broken.close()
        if not self._told:
            self._told = True
            with contextlib.suppress(OSError):
                why = error.strerror or error
                sys.stderr.write(f"the log file {self.baseFilename} cannot be written ({why}): free some space\n")


class JournalFormatter(logging.Formatter):
    """A priority in front (sd-daemon(3)), no time: the journal has its own."""

    def format(self, record: logging.LogRecord) -> str:
        priority = _PRIORITIES.get(record.levelno, 6)
        return "\n".join(f"<{priority}>{line}" for line in super().format(record).splitlines())


class LastTrouble(logging.Handler):
    """Remembers the last warning or error, for `status`."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.last: tuple[float, str] | None = None

    def emit(self, record: logging.LogRecord) -> None:
        self.last = (record.created, record.getMessage().partition("\n")[0][:300])


def set_up(path: Path | None, level: str, scrubber: Scrubber) -> LastTrouble:
    """Every line goes through `scrubber`. Raises ConfigInvalid if the file cannot be written."""
    handler: logging.Handler
    if path is not None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handler = BoundedFile(path, encoding="utf-8")
        except OSError as error:
            raise ConfigInvalid(
                f"the log file {path} cannot be written ({error.strerror or error}): change [logging] path"
            ) from None
    else:
        handler = logging.StreamHandler(sys.stderr)
    if path is None and "JOURNAL_STREAM" in os.environ:
        handler.setFormatter(JournalFormatter("%(name)s: %(message)s"))
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    trouble = LastTrouble()
    # One for both: the second finds the record as the first left it.
    scrub = ScrubFilter(scrubber)
    handler.addFilter(scrub)
    trouble.addFilter(scrub)
    logging.basicConfig(level=level, handlers=[handler, trouble], force=True)
    # It logs each request at DEBUG, headers (and so tokens) included.
    logging.getLogger("websocket").setLevel(logging.WARNING)
    return trouble

"""Our lines on their way into OctoPrint's log: without secrets. Other plugins' lines are none of our business."""

from __future__ import annotations

import logging

from agent_core.features.scrub import Scrubber, ScrubFilter

NAMES = ("agent_core", "octoprint_obico", "octoprint.plugins.obico")
"""The loggers above all of ours."""


class _Onward(logging.Handler):
    """Hands a record, scrubbed by then, to the handlers that it would have gone to."""

    def emit(self, record: logging.LogRecord) -> None:
        logging.getLogger().callHandlers(record)


class ScrubbedLogs:
    def __init__(self) -> None:
        self.scrubber = Scrubber()
        self._handler = _Onward()
        self._handler.addFilter(ScrubFilter(self.scrubber))

    def begin(self) -> None:
        """Safe to call twice."""
        for name in NAMES:
            logger = logging.getLogger(name)
            if self._handler not in logger.handlers:
                logger.addHandler(self._handler)
            logger.propagate = False
            if logger.level == logging.NOTSET and not name.startswith("octoprint."):
                # OctoPrint shows INFO of its own plugins only; that a lost server is back should be seen too.
                logger.setLevel(logging.INFO)

    def end(self) -> None:
        """Lines that still come go the usual way."""
        for name in NAMES:
            logger = logging.getLogger(name)
            logger.propagate = True
            logger.removeHandler(self._handler)

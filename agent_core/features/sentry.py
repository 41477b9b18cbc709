"""Reports of the agent's own faults to a Sentry that its user names. Off by default; sentry-sdk is imported late.

A report is built here, out of a few plain facts: what the log said, the exception's type and text, and where in the
code it was (module, function, line). No local variables, no source, no request, no host name, nothing of the printer;
texts go through the scrubber. The package only carries it: no integration of it runs, and none of its global state is
touched, so that OctoPrint's or another plugin's own Sentry is left alone.
"""

from __future__ import annotations

import contextlib
import logging
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any

from agent_core.config import Secret
from agent_core.features.scrub import Scrubber

_log = logging.getLogger(__name__)

MOST_AN_HOUR = 10
FRAMES_MOST = 50
FLUSH_SECONDS = 1.0
TEXT_MOST = 2000

_KEPT = frozenset({"event_id", "timestamp", "level", "platform", "release", "environment", "logger", "sdk"})
"""What of the package's own additions goes along."""

MISSING = (
    "reports of faults are switched on, but the package sentry-sdk is not installed: "
    'pip install "OctoPrint-Obico[sentry]"; nothing is reported'
)


class FaultReports(logging.Handler):
    """Takes log records with an exception in them and sends each as a report; `client` is sentry_sdk's Client."""

    def __init__(self, client: Any, scrubber: Scrubber, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__(logging.ERROR)
        self._client = client
        self._scrubber = scrubber
        self._monotonic = monotonic
        self._sent: list[float] = []
        self._places: dict[tuple[str, int], float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None and self._due(record):
            event = build(record, self._scrubber)
            # A report is worth less than the work that was going on.
            with contextlib.suppress(OSError, RuntimeError, ValueError, TypeError):
                self._client.capture_event(event)

    def _due(self, record: logging.LogRecord) -> bool:
        """Each place in the code once an hour, and not more than MOST_AN_HOUR."""
        now = self._monotonic()
        self._sent = [at for at in self._sent if now - at < 3600]
        self._places = {place: at for place, at in self._places.items() if now - at < 3600}
        trace = record.exc_info[2] if record.exc_info else None
        place = _last(trace) or (record.pathname, record.lineno)
        if place in self._places or len(self._sent) >= MOST_AN_HOUR:
            return False
        self._sent.append(now)
        self._places[place] = now
        return True

    def close(self) -> None:
        super().close()
        with contextlib.suppress(OSError, RuntimeError):
            self._client.close(timeout=FLUSH_SECONDS)


def start(
    dsn: Secret | None,
    *,
    release: str,
    agent: str,
    scrubber: Scrubber,
    loggers: Iterable[str],
    transport: Any = None,
) -> FaultReports | None:
    """Reports what these loggers are told, from now on; None if that is switched off or cannot be.

    `stop` ends it. `transport`: what carries the reports, for tests.
    """
    if dsn is None:
        return None
    try:
        from sentry_sdk import Client
    except ImportError:
        _log.warning("%s", MISSING)
        return None
    scrubber.learn(dsn.reveal())
    try:
        client = Client(
            dsn=dsn.reveal(), release=release, environment=agent, transport=transport,
            before_send=lambda event, _hint: cleaned(event, scrubber),
            default_integrations=False, auto_enabling_integrations=False, integrations=[], auto_session_tracking=False,
            include_local_variables=False, include_source_context=False, max_breadcrumbs=0,
            send_client_reports=False, server_name="", shutdown_timeout=0,
        )  # fmt: skip
    except (ValueError, TypeError) as error:
        _log.warning("reports of faults are switched on, but sentry_dsn cannot be used: %s", scrubber.text(str(error)))
        return None
    reports = FaultReports(client, scrubber)
    for name in loggers:
        # Before the others: they leave no exception in a record, only its scrubbed text.
        logging.getLogger(name).handlers.insert(0, reports)
    _log.info("faults of the agent are reported, as the settings say")
    return reports


def stop(reports: FaultReports | None, loggers: Iterable[str]) -> None:
    """Sends what waits, for a second at most."""
    if reports is not None:
        for name in loggers:
            logging.getLogger(name).removeHandler(reports)
        reports.close()


def build(record: logging.LogRecord, scrubber: Scrubber) -> dict[str, Any]:
    """The report on a record with an exception."""
    kind, error, trace = record.exc_info or (None, None, None)
    try:
        said = record.getMessage()
    except (TypeError, ValueError):
        said = str(record.msg)
    return {
        "level": record.levelname.lower(),
        "logger": record.name,
        "platform": "python",
        "logentry": {"formatted": scrubber.text(said)[:TEXT_MOST]},
        "exception": {
            "values": [
                {
                    "type": getattr(kind, "__name__", "Exception"),
                    "value": scrubber.text(str(error))[:TEXT_MOST],
                    "stacktrace": {"frames": [_frame(frame) for frame in traceback.extract_tb(trace)[-FRAMES_MOST:]]},
                }
            ]
        },
    }


def _frame(frame: traceback.FrameSummary) -> dict[str, Any]:
    """Where in the code; of the path only its last two parts, since the others tell a user's name."""
    return {"filename": "/".join(frame.filename.split("/")[-2:]), "function": frame.name, "lineno": frame.lineno}


def cleaned(event: Mapping[str, Any], scrubber: Scrubber) -> dict[str, Any]:
    """The last look before a report leaves: only what `build` put in and the package's own marks."""
    kept = {key: value for key, value in event.items() if key in _KEPT}
    kept["logentry"] = {"formatted": scrubber.text(str((event.get("logentry") or {}).get("formatted", "")))}
    values = []
    for each in (event.get("exception") or {}).get("values") or ():
        frames = [
            {name: frame.get(name) for name in ("filename", "function", "lineno")}
            for frame in (each.get("stacktrace") or {}).get("frames") or ()
        ]
        text = scrubber.text(str(each.get("value")))
        values.append({"type": each.get("type"), "value": text, "stacktrace": {"frames": frames}})
    kept["exception"] = {"values": values}
    return kept


def _last(trace: TracebackType | None) -> tuple[str, int] | None:
    """The innermost place of a traceback."""
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return None if trace is None else (trace.tb_frame.f_code.co_filename, trace.tb_lineno)

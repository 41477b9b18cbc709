"""`run`: the agent in the foreground. The main thread waits for signals, for `status`, and for a new token."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from agent_core.errors import ConfigInvalid
from agent_core.features.camera_urls import shown
from agent_core.features.machine import COPIED, MachineRecord
from agent_core.features.scrub import Scrubber
from agent_core.runtime.clock import SystemClock
from moonraker_obico import linkage, logs
from moonraker_obico.app import App
from moonraker_obico.cli import exit_codes, lock, status_socket
from moonraker_obico.cli.notify import Notifier
from moonraker_obico.config import LEVELS, HostConfig, load
from moonraker_obico.version import AGENT_NAME, AGENT_VERSION

if TYPE_CHECKING:
    from moonraker_obico.remote_link import RemoteLink
    from moonraker_obico.waiting import Waiting

_log = logging.getLogger(__name__)

TELL_SECONDS = 10.0
"""Between two lines for `systemctl status`."""
TURN_SECONDS = 2.0
"""How often the main thread looks whether the printer was linked meanwhile."""
STOP_SECONDS = 2.3
WAIT_SECONDS = 5.0
"""How often a service that waits for another copy looks whether it is gone."""


def run(path: Path, *, level: str | None = None, to_stderr: bool = False, root: Path = Path("/")) -> int:
    """Until SIGTERM or SIGINT; the exit status. `root`: where the machine is looked at. Raises ConfigInvalid."""
    config = load(path)
    level = (level or config.log_level).upper()
    if level not in LEVELS:
        raise ConfigInvalid(f"--log-level {level} is none of {', '.join(LEVELS)}")
    scrubber = Scrubber(config.secrets())
    trouble = logs.set_up(None if to_stderr else config.log_path, level, scrubber)
    for warning in config.warnings:
        _log.warning("%s", warning)
    if config.sentry_dsn is not None:
        from agent_core.features import sentry

        sentry.start(
            config.sentry_dsn, release=AGENT_VERSION, agent=AGENT_NAME, scrubber=scrubber, loggers=[""]
        )  # fmt: skip
    notifier = Notifier()
    try:
        handle = _take(config.lock_path, notifier)
    except lock.Running as running:
        said = f"{running}: stop that one first, or give this one a configuration file of its own"
        _log.error("%s", said)
        if config.log_path is not None and not to_stderr:
            print(f"moonraker-obico: {said}", file=sys.stderr)
        return exit_codes.RUNNING
    except OSError as error:
        raise ConfigInvalid(
            f"the data folder {config.data_dir} cannot be used ({error.strerror or error}): "
            "set [agent] data_dir to a folder that this user may write"
        ) from None
    try:
        return Supervisor(config, notifier, scrubber, trouble, root).run()
    except OSError as error:
        said = f"the agent cannot work in {config.data_dir}: {error}; check the folder's owner and free space"
        _log.error("%s", said)
        return exit_codes.PROBLEM
    finally:
        with contextlib.suppress(OSError):
            config.status_path.unlink(missing_ok=True)
        os.close(handle)


def _take(path: Path, notifier: Notifier) -> int:
    """The lock. As a service it waits for a copy that somebody started by hand: when that one ends, the printer is
    still watched, and nobody's journal was filled by a restart every ten seconds. Raises lock.Running, OSError.
    """
    waits = False
    while (handle := _tried(path, notifier, waits=waits)) is None:
        waits = True
        # SIGTERM ends this wait as it ends any program.
        threading.Event().wait(WAIT_SECONDS)
    if waits:
        _log.info("the other copy has ended; this one goes on")
    return handle


def _tried(path: Path, notifier: Notifier, *, waits: bool) -> int | None:
    try:
        return lock.take(path)
    except lock.Running as running:
        if not notifier.listened_to:
            raise
        if not waits:
            _log.warning("%s; this one waits until it ends", running)
            notifier.ready()
        notifier.status(f"waits: {running}")
        notifier.alive()
        return None


class Supervisor:
    """Keeps one App running; a new token or server address gets a new App."""

    def __init__(
        self,
        config: HostConfig,
        notifier: Notifier,
        scrubber: Scrubber,
        trouble: logs.LastTrouble,
        root: Path = Path("/"),
    ) -> None:
        self._config = config
        self._record = MachineRecord(config.data_dir, root)
        self._copied = False  # the token is another printer's: not used
        self._trouble = trouble
        self._scrubber = scrubber
        self._notifier = notifier
        self._clock = SystemClock()
        self._app: App | None = None
        self._waiting: Waiting | None = None
        self._remote: RemoteLink | None = None
        self._searched_since: float | None = None
        self._tell_at = 0.0
        self._stopping = False
        self._began = time.time()
        self._seen = self._stamps()

    def run(self) -> int:
        woken, wake = socket.socketpair()
        with woken, wake:
            for end in (woken, wake):
                end.setblocking(False)
            # A signal's handler runs between two bytecodes only; the byte on this pair ends the wait.
            signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, self._stop)
            try:
                with status_socket.listen(self._config.status_path) as listener:
                    self._loop(woken, listener)
            finally:
                signal.set_wakeup_fd(-1)
        return exit_codes.OK

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _loop(self, woken: socket.socket, listener: socket.socket) -> None:
        _log.info("moonraker-obico %s, configuration %s", AGENT_VERSION, self._config.path)
        try:
            self._start()
            self._notifier.ready()
            poller = select.poll()
            poller.register(woken, select.POLLIN)
            poller.register(listener, select.POLLIN)
            watchdog = self._notifier.watchdog_seconds
            wait = TURN_SECONDS if watchdog is None else min(TURN_SECONDS, watchdog / 3)
            while not self._stopping:
                ready = {descriptor for descriptor, _ in poller.poll(wait * 1000)}
                if listener.fileno() in ready:
                    status_socket.answer(listener, self.status())
                if not self._stopping:
                    self._turn()
        finally:
            self._notifier.stopping()
            self._end()

    def _turn(self) -> None:
        stamps = self._stamps()
        if stamps != self._seen:
            self._seen = stamps
            self._reload()
        if self._waiting is not None and self._waiting.over:
            # `link` had its time; if it was given up, we are the ones to go on. (Or the token came and went.)
            self._end_waiting()
            self._wait_to_be_linked()
        if self._app is None or self._app.alive():
            self._notifier.alive()
        if self._app is not None:
            self._app.turn()
        self._tell_systemd()

    def _tell_systemd(self) -> None:
        """What `systemctl status` shows, if somebody listens: putting it together is most of what a turn costs."""
        now = self._clock.monotonic()
        if self._notifier.listened_to and now >= self._tell_at:
            self._tell_at = now + TELL_SECONDS
            self._notifier.status(_line(self.status()))

    def _start(self) -> None:
        if self._config.token is None:
            _log.warning("this printer is not linked: run `moonraker-obico link -c %s`", self._config.path)
            self._copied = False
            self._wait_to_be_linked()
            self._listen_for_link()
            return
        self._copied = self._record.is_another()
        if self._copied:
            _log.error("%s: run `moonraker-obico link`; for the same printer: `moonraker-obico link --keep`", COPIED)
            self._wait_to_be_linked()
            self._listen_for_link()
            return
        self._searched_since = None
        self._app = App(self._config, self._clock)
        self._app.start()

    def _wait_to_be_linked(self) -> None:
        """For hours, not for ever: after that a person has to begin again."""
        from moonraker_obico.waiting import SERVICE_SECONDS, Waiting  # a linked agent never needs it

        now = self._clock.monotonic()
        if self._searched_since is None:
            self._searched_since = now
        left = self._searched_since + SERVICE_SECONDS - now
        if self._config.discovery and self._config.server_chosen and left > 0:
            config = self._config
            self._waiting = Waiting(
                config, config.server_url, self._clock, seconds=left,
                keep=lambda linked: linkage.keep(config, config.server_url, linked.token, self._record),
            )  # fmt: skip
            self._waiting.start()

    def _listen_for_link(self) -> None:
        """For as long as this printer is not linked, unless it is to be linked by a typed code only."""
        if self._config.discovery:
            from moonraker_obico.remote_link import remote_link  # a linked agent never needs it

            self._remote = remote_link(self._config, self._clock, self._record)
            self._remote.start()

    def _end_waiting(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and (stragglers := waiting.stop(STOP_SECONDS)):
            _log.info("did not end in time: %s", ", ".join(stragglers))

    def _end(self) -> None:
        self._end_waiting()
        remote, self._remote = self._remote, None
        if remote is not None and not remote.stop(STOP_SECONDS):
            _log.info("did not end in time: %s", remote.worker.name)
        app, self._app = self._app, None
        if app is not None:
            stragglers = app.stop(STOP_SECONDS)
            _log.info("stopped%s", f", but not: {', '.join(stragglers)}" if stragglers else "")

    def _reload(self) -> None:
        """Only the link is taken over while running; everything else takes a restart."""
        try:
            fresh = load(self._config.path)
        except ConfigInvalid as error:
            _log.warning("the configuration was changed, but cannot be used: %s", error)
            return
        same = (fresh.token, fresh.server_url) == (self._config.token, self._config.server_url)
        if same and not (self._copied and not self._record.is_another()):
            return
        self._scrubber.learn(*fresh.secrets())
        self._config = replace(self._config, token=fresh.token, server_url=fresh.server_url)
        _log.info("the link to the server was changed; starting anew")
        self._end()
        self._start()

    def _stamps(self) -> tuple[int, ...]:
        return tuple(map(_stamp, (self._config.path, self._config.token_path, self._record.path)))

    def status(self) -> Mapping[str, Any]:
        """What `moonraker-obico status --json` prints."""
        last = self._trouble.last
        told: dict[str, Any] = {
            "agent": {"version": AGENT_VERSION, "pid": os.getpid(), "since": self._began},
            "config": str(self._config.path),
            "link": {
                "state": "not linked",
                "server": self._config.server_url,
                "reason": COPIED if self._copied else None,
            },
            "search": None if self._waiting is None else self._waiting.describe(),
            "moonraker": None,
            "printer": None,
            "print": None,
            "cameras": [],
            "trouble": None if last is None else {"at": last[0], "text": last[1]},
        }
        if self._app is not None:
            told |= describe(self._app, self._config)
        return told


def describe(app: App, config: HostConfig) -> dict[str, Any]:
    """The parts of the status that a running App knows."""
    link, view, state = app.link, app.view, app.agent.state
    report, job = view.report, state.print
    problems, load = app.agent.cameras, app.agent.load
    return {
        "link": {
            "state": "connected" if link.connected else "needs you" if link.needs_person else "connecting",
            "since": link.since,
            "reason": link.reason,
            "server": config.server_url,
            "printer": link.printer_name,
            "queued_events": link.queued_events,
        },
        "moonraker": {
            "address": f"{config.moonraker_host}:{config.moonraker_port}",
            "problem": view.moonraker,
        },
        "printer": None if report is None else {"state": state.phase.value, "error": report.error},
        "print": None if job is None else {
            "file": job.filename,
            "since": job.ts,
            "paused": job.paused_at is not None,
            "completion": None if report is None else report.progress.completion,
            "seconds_left": None if report is None else report.progress.print_time_left,
            "layer": None if report is None else report.layer,
            "layers": None if report is None else report.total_layers,
            "position": None if report is None else report.progress.filepos,
        },
        "cameras": [
            {
                "name": camera.info.name,
                "primary": camera.info.primary,
                "address": shown(camera.snapshot_url or camera.stream_url or ""),
                "problem": problems.get(camera.info.name),
            }
            for camera in app.cameras
        ],
        "pictures": {"factor": load.factor, "why": load.why, "unchanged": load.unchanged, "limit": load.limit},
    }  # fmt: skip


def _line(status: Mapping[str, Any]) -> str:
    printer = status["printer"]
    seen = printer["state"] if printer else "printer not known"
    return f"server: {status['link']['state']}; {seen}"


def _stamp(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0

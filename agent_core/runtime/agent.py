"""Builds, starts and stops everything that an agent is made of."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent_core.commands import CommandResult, CommandRunner
from agent_core.config import AgentConfig, CameraConfig
from agent_core.database import Database
from agent_core.errors import AgentError
from agent_core.features.asked_pictures import asked_picture_routes
from agent_core.features.camera import HttpCamera
from agent_core.features.download_cancel import CancelsDownloads
from agent_core.features.download_ports import FilePort, Surroundings
from agent_core.features.downloads import Downloads
from agent_core.features.event_pictures import EventPictures
from agent_core.features.files import register_file
from agent_core.features.load import LoadState
from agent_core.features.no_streaming import no_streaming_routes
from agent_core.features.printer_events import EventCourier
from agent_core.features.snapshots import Snapshots
from agent_core.features.terminal import Terminal
from agent_core.features.thumbnails import is_wanted, send_thumbnail
from agent_core.features.vision import Shrinker
from agent_core.model import ActivePrint, Download, ExpectedPrint, HostEvent, Job, LinkState
from agent_core.passthru import Handler, Route
from agent_core.ports import Clock, Http, PrinterPort
from agent_core.reducer import AgentState
from agent_core.runtime.core import PRINT_KEY, Core
from agent_core.runtime.crew import Crew
from agent_core.runtime.tunnels import LateTunnel
from agent_core.runtime.worker import Worker, stop_all
from agent_core.transport.websocket import Link, LinkEvent
from agent_core.wire.messages import Capability, Command, CommandName, TerminalFeed

if TYPE_CHECKING:
    from agent_core.features.vision_watch import PictureWatch

_log = logging.getLogger(__name__)

LAST_WORDS_SECONDS = 0.5
"""For the answers to calls that are still waited for when the agent stops."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What an agent is built from. `on_link_change` is called on the core thread, `on_command_result` on that or on the
    command worker; both must return at once.

    `database` is also the store that the host's PrinterPort keeps its pause record in.
    """

    config: AgentConfig
    printer: PrinterPort
    database: Database
    clock: Clock
    http: Http
    on_link_change: Callable[[LinkState], None] | None = None
    passthru: Mapping[str, Handler | Route] = field(default_factory=dict)
    """What viewers may call, by `target.func` or `target.*` (passthru.py)."""
    on_command_result: Callable[[CommandResult], None] | None = None
    terminal_on: bool = False
    """Whether a viewer gets the printer's terminal without asking for it."""
    files: FilePort | None = None
    """None: this agent takes no files from the server."""
    new_http: Callable[[], Http] | None = None
    """Needed with `files`: a client of its own for each download."""


class Agent:
    """One printer's link to its server: four threads (core, link, commands, snapshots), and one for each call of a
    viewer while it lasts.

    Thread-safe: `post` may be called from any host thread and returns at once. After `stop` there is no thread, no
    socket and no temporary file left.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        config = parts.config
        self._link = Link(self._request, config.verify_tls, self._on_link_event)
        self._commands = Worker("commands", limit=8)
        self._crew = Crew("call")
        self._watch: PictureWatch | None = None
        if config.pictures.watch:
            from agent_core.features.vision_watch import PictureWatch

            self._watch = PictureWatch(parts.clock, self.post)
        self._snapshots = Snapshots(
            config, parts.http, parts.clock, on_camera_state=self._on_camera_state, watch=self._watch
        )  # fmt: skip
        self._event_pictures = EventPictures(config.data_dir)
        self._cameras: dict[str, str | None] = {}
        self._camera_configs = tuple(config.cameras)
        self._tunnel = LateTunnel(config.tunnel, lambda: self._camera_configs, self._link.send_bulk)
        self._shrinker = Shrinker()  # for the pictures that clients ask for, one at a time
        self._terminal = Terminal(parts.clock, self._tell_line, on=parts.terminal_on)
        self._downloads = self._make_downloads(parts)
        calls = {} if self._downloads is None else self._downloads.handlers
        self._core = Core(
            config,
            parts.database,
            parts.clock,
            self._link,
            uniform=random.random,
            on_link_change=self._on_link_change,
            on_pictures=self._on_pictures,
            on_boost=self._snapshots.boost,
            on_greeting=self._on_greeting,
            register_file=self._register_file,
            courier=EventCourier(
                config, parts.http, self._snapshots.submit, self._snapshots.picture, self._event_pictures
            ),
            passthru={**self._routes(), **calls, **parts.passthru},
            crew=self._crew,
            tunnel=self._tunnel,
        )
        self._runner = CommandRunner(
            parts.printer if self._downloads is None else CancelsDownloads(parts.printer, self._downloads),
            self._commands.submit,
            self._core.tell,
            self._core.on_command_begin,
            self._core.on_command_end,
            parts.on_command_result,
        )
        self._core.commands = self._runner

    @property
    def link(self) -> LinkState:
        """How it stands with the server right now (a frozen snapshot)."""
        return self._core.link_state

    @property
    def state(self) -> AgentState:
        """What is known of the printer right now (a frozen snapshot)."""
        return self._core.state

    @property
    def cameras(self) -> Mapping[str, str | None]:
        """Each camera that was tried: its name and what is wrong with it, None if nothing."""
        return dict(self._cameras)

    @property
    def load(self) -> LoadState:
        """What pictures are held back, and why."""
        return self._snapshots.load

    def idle_seconds(self) -> float:
        """Seconds since the core last turned (normally ≤ 20): for a watchdog."""
        return self._core.idle_seconds()

    def remembered_print(self) -> ActivePrint | None:
        """The print that was under way when the agent last ran, from the database; for the host's translate."""
        record = self._parts.database.load(PRINT_KEY)
        return ActivePrint.from_json(record) if record else None

    def start(self) -> None:
        waiting = self._core.waiting_for_http()
        for worker in self._workers():
            worker.start()
        self._snapshots.submit(lambda: self._event_pictures.keep_only(waiting))
        if self._downloads is not None:
            self._snapshots.submit(self._downloads.recover)

    def post(self, event: HostEvent) -> None:
        """Takes what the host has to tell; never blocks. A waiting report is replaced by a newer one."""
        self._core.post(event)

    def order(self, name: CommandName, initiator: str) -> None:
        """A command of somebody at the host itself, as safe and as exclusive as the server's; returns at once."""
        self._core.order(Command(name.value, initiator=initiator))

    def set_cameras(self, cameras: Sequence[CameraConfig]) -> bool:
        """Takes pictures from these cameras from now on; False if it cannot be taken now (try again)."""
        self._cameras = {}
        self._core.on_other_cameras()
        self._camera_configs = tuple(cameras)
        return self._snapshots.set_cameras(cameras)

    def terminal_line(self, line: str) -> None:
        """A line between host and printer, either way; from any thread, at any rate, at once."""
        self._terminal.line(line)

    def stop(self, seconds: float = 3.0) -> list[str]:
        """Ends everything within `seconds`; the names of workers that did not end in time (normally none).

        The database stays open: it is the host's, whose PrinterPort may still be writing.
        """
        deadline = time.monotonic() + seconds
        self._runner.stop()
        if self._downloads is not None:
            self._downloads.stop()
        self._core.say_last_words(min(LAST_WORDS_SECONDS, seconds / 2))
        watching = self._watch.workers if self._watch is not None else []
        workers = [*self._tunnel.stop(), *self._workers(), *self._crew.close(), *watching]
        stragglers = stop_all(workers, deadline - time.monotonic())
        if stragglers:
            _log.warning("did not end within %s s: %s", seconds, ", ".join(stragglers))
        if "link" not in stragglers:
            self._link.dispose()
        return stragglers

    def _workers(self) -> list[Worker]:
        workers = [self._core.worker, self._link.worker, self._commands, self._snapshots.worker]
        return workers if self._downloads is None else [*workers, *self._downloads.workers]

    def _make_downloads(self, parts: Parts) -> Downloads | None:
        if parts.files is None or parts.new_http is None:
            return None
        return Downloads(
            parts.files,
            Surroundings(
                parts.config, parts.http, parts.new_http, parts.clock, parts.database,
                tell=self._on_download, alert=self.post, expect=self._on_expected,
            ),
        )  # fmt: skip

    def _request(self) -> tuple[str, Mapping[str, str]]:
        config = self._parts.config
        token = config.token.reveal() if config.token is not None else ""
        # The keyword must be lower-case `bearer` for a public server (wire-protocol.md §1).
        return config.websocket_url, {"authorization": f"bearer {token}"}

    def _routes(self) -> dict[str, Route]:
        """The calls that are the same on every host."""
        return {
            **self._terminal.routes(),
            **asked_picture_routes(lambda: self._camera_configs, self._asked_picture),
            **no_streaming_routes(),
        }

    def _tell_line(self, line: TerminalFeed) -> None:
        self._core.tell(line)

    def _asked_picture(self, camera: CameraConfig) -> bytes:
        return self._shrinker.fitted(HttpCamera(camera, self._parts.http).fetch())

    # --- callbacks ----------------------------------------------------------------------------------------------------

    def _on_link_change(self, state: LinkState) -> None:
        if self._parts.on_link_change is not None:
            self._parts.on_link_change(state)

    def _on_pictures(self, printing: bool, viewing: bool, should_watch: bool) -> None:
        self._snapshots.update(printing=printing, viewing=viewing, should_watch=should_watch)
        self._terminal.watched(viewing)

    def _on_link_event(self, event: LinkEvent) -> bool:
        return self._core.on_link_event(event)

    def _on_download(self, download: Download | None) -> None:
        self._core.on_download(download)

    def _on_expected(self, order: str, expected: ExpectedPrint | None) -> None:
        self._core.on_expected(order, expected)

    def _on_greeting(self, capabilities: frozenset[Capability]) -> None:
        if self._downloads is not None:
            self._downloads.greeted(Capability.JOB_ORDER in capabilities)

    def _on_camera_state(self, name: str, ok: bool, reason: str | None) -> None:
        self._cameras[name] = None if ok else reason
        self._core.on_camera_state(name, ok, reason)

    def _send_thumbnail(self, ident: int, path: str) -> None:
        files = self._parts.files
        if files is None:
            return
        try:
            picture = files.thumbnail(path)
        except AgentError as error:
            _log.info("no thumbnail of %s: %s", path, error)
            return
        if picture is not None:
            send_thumbnail(self._parts.http, self._parts.config, ident, picture)

    def _register_file(self, ts: int, job: Job) -> None:
        def register() -> None:
            wanted: list[int] = []

            def answered(ident: int, headers: Mapping[str, str]) -> None:
                if is_wanted(headers):
                    wanted.append(ident)

            ident = register_file(self._parts.http, self._parts.config, job, on_answer=answered)
            if ident is not None:
                self._core.on_file_registered(ts, ident)
            if wanted and job.path:
                self._send_thumbnail(wanted[0], job.path)

        self._snapshots.submit(register)

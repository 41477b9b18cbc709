"""Owns the agent inside OctoPrint: builds it when the printer is linked, rebuilds it when settings change, ends it.

Imports no OctoPrint; `Host` is what it needs of it. Work that waits for the network or for an agent to end runs on an
errand, a Worker that lives only as long as it takes: OctoPrint's threads never wait for it.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

from agent_core.commands import CommandResult
from agent_core.config import AgentConfig, CameraConfig, server_url
from agent_core.errors import AgentError, ConfigInvalid, Rejected
from agent_core.features.camera_urls import shown
from agent_core.features.event_texts import Sign
from agent_core.features.linking import code_digits
from agent_core.features.load import LoadState
from agent_core.features.machine import COPIED, MachineRecord
from agent_core.features.pause_reason import PauseReason, pause_reason
from agent_core.gcode.index import GCodeIndex
from agent_core.model import HostEvent, Job, LinkState, SettingsReported
from agent_core.runtime.worker import Worker, call_later
from agent_core.wire.messages import AckState, CommandName
from octoprint_obico import settings
from octoprint_obico.diagnosis import Circumstances
from octoprint_obico.discovery import Finder
from octoprint_obico.pause_notice import ENDING_EVENTS, PauseNotice
from octoprint_obico.report import Reading
from octoprint_obico.service_ports import STOP_SECONDS, Host, RunningAgent, Tools
from octoprint_obico.translate import RESTARTED, Translator

_log = logging.getLogger("octoprint.plugins.obico")

ORIGIN = "octoprint"
"""The initiator of a command that was given on OctoPrint's own page."""

_WAS_OFF = "the print ended while the Obico plugin was not watching"


_MARKS = {">>> ": "Send: ", "<<< ": "Recv: "}
"""How OctoPrint 2.0 marks its terminal's lines, and how 1.11 does, which clients know."""


class Service:
    """Thread-safe. `start` and `stop` as often as OctoPrint wants; after `stop` no thread of ours is left."""

    def __init__(
        self, host: Host, tools: Tools, finder: Finder | None = None, record: MachineRecord | None = None
    ) -> None:
        self._host = host
        self._record = record
        self._copied = False  # the token is another printer's: not used
        self._finder = finder
        self._tools = tools
        # Guards what follows; held for a few lines without I/O.
        self._lock = threading.Lock()
        self._running = False
        self._agent: RunningAgent | None = None
        self._config: AgentConfig | None = None
        self._translator: Translator | None = None
        self._errand: Worker | None = None
        self._late: Worker | None = None
        self._busy: str | None = None
        self._again = False
        self._waiting: tuple[str, Callable[[], str | None]] | None = None
        self._said: tuple[bool, str] | None = None
        """The outcome of the last errand that a person asked for: whether it went well, and in words."""
        self._trouble: str | None = None
        self._first = True
        self._was_connected = False
        self.notice = PauseNotice(self._picture, host.changed)

    # --- life ---

    def start(self) -> None:
        """Returns at once; the agent comes up on an errand."""
        with self._lock:
            if self._running:
                return
            self._running = True
        self.reconfigure()

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Ends everything of ours within about `seconds`; safe to call twice."""
        with self._lock:
            self._running = False
            if self._finder is not None:
                self._finder.stop()
            errand, self._errand = self._errand, None
            agent = self._take_agent()
        if errand is not None:
            errand.stop()
        if agent is not None:
            agent.stop(seconds)
        self._tools.abort()
        waiting = errand is not None and not errand.join(seconds)
        searching = self._finder is not None and not self._finder.join(seconds)
        if not self.notice.stop(seconds) or waiting or searching:
            _log.warning("the Obico settings are still waiting for the network; their thread ends with the answer")

    def _take_agent(self) -> RunningAgent | None:
        agent, self._agent = self._agent, None
        self._translator, self._config = None, None
        self._was_connected = False
        if self._late is not None:
            self._late.stop()
            self._late = None
        return agent

    def reconfigure(self) -> None:
        """The settings may have changed: bring the agent in line with them. Returns at once."""
        with contextlib.suppress(Rejected):
            self._start_errand("starting", lambda: None)

    # --- what OctoPrint tells ---

    def post(self, event: HostEvent) -> None:
        agent = self._agent
        if agent is not None:
            agent.post(event)

    def terminal_line(self, line: str) -> None:
        """Any line between OctoPrint and the printer, hundreds a second in a print."""
        agent = self._agent
        if agent is not None:
            mark = _MARKS.get(line[:4])
            agent.terminal_line(line if mark is None else mark + line[4:])

    def event(self, name: str, payload: Mapping[str, Any]) -> None:
        if name in ENDING_EVENTS:
            self.notice.over()
        translator = self._translator
        if translator is not None:
            translator.event(name, payload)

    def reading(self, reading: Callable[[], Reading]) -> None:
        """`reading` is called only if somebody wants to know."""
        translator = self._translator
        if translator is not None:
            translator.reading(reading())

    def small_talk(self, sign: Sign, text: str) -> None:
        """A line from or to the printer may concern a person (agent_core.features.event_texts); `text` is for him."""
        translator = self._translator
        if translator is not None:
            translator.small_talk(sign, text)

    def parked(self) -> None:
        """OctoLapse has sent a line."""
        translator = self._translator
        if translator is not None:
            translator.parked()

    def tell_facts(self) -> None:
        """The slow-moving facts may have changed."""
        config = self._config
        if config is not None:
            self.post(SettingsReported(self._host.facts(config), self._tools.clock.now()))

    @property
    def current(self) -> tuple[int, str] | None:
        """ts and file name of the print under way, if an agent watches it."""
        translator = self._translator
        return None if translator is None else translator.current

    # --- what a person asks for; each returns at once and raises AgentError in words ---

    def link(self, server: object, code: object) -> None:
        address = server_url(str(server or ""))
        digits = code_digits(str(code or ""))

        def work() -> str:
            linked = self._tools.verify_code(address, digits)
            try:
                self._keep_link(address, linked.token)
            except OSError as error:
                raise Rejected(f"the server has linked this printer, but that cannot be kept: {error}") from None
            self._host.tell("linked", {"server": address, "printer_name": linked.printer_name})
            return f"Linked to {address}" + (f" as “{linked.printer_name}”." if linked.printer_name else ".")

        self._start_errand("linking", work)

    def found(self, server: str, token: str, printer_name: str) -> None:
        """The search has led to a link; on its thread. Raises OSError."""
        self._keep_link(server, token)
        self._host.tell("linked", {"server": server, "printer_name": printer_name})
        self._said = (True, f"Linked to {server}" + (f" as “{printer_name}”." if printer_name else "."))
        self.reconfigure()

    def search(self, server: object) -> None:
        """Makes the printer known to that server, so that its page can link it; for some minutes."""
        address = server_url(str(server or ""))
        token = settings.preferences({**self._host.values(), "endpoint_prefix": address}).token
        if self._copied:
            token = None
        if self._finder is not None:
            self._said = None
            self._finder.start(address, token)

    def _keep_link(self, server: str, token: str) -> None:
        """Raises OSError."""
        if self._copied:
            # What waits in a copied folder is the other printer's. Its token goes before the record says that we are
            # its machine: whenever this ends, the copy must not have both.
            self._host.save({settings.TOKEN_KEY: ""})
            self._tools.start_over()
        if self._record is not None:
            self._record.keep()
        self._host.save({"endpoint_prefix": server, settings.TOKEN_KEY: token})

    def keep_identity(self) -> None:
        """A person says that this is the printer that was linked, with new hardware."""

        def work() -> str:
            if self._record is not None:
                try:
                    self._record.keep()
                except OSError as error:
                    raise Rejected(f"that cannot be written down: {error}") from None
            return "This printer keeps its link. If another one uses the same link, stop that one."

        self._start_errand("keeping the link", work)

    def stop_search(self) -> None:
        if self._finder is not None:
            self._finder.stop()

    def unlink(self) -> None:
        def work() -> str:
            self._host.save({settings.TOKEN_KEY: ""})
            self._host.tell("unlinked", {})
            return "Unlinked. The printer may still be listed on the server; remove it there."

        self._start_errand("unlinking", work)

    def change_camera(self, name: str, *, verify_tls: bool | None, primary: bool) -> None:
        chosen, cameras = self._cameras()
        if name not in {camera.info.name for camera in cameras}:
            raise Rejected(f"OctoPrint has no camera named {name!r} any more; reload the page")
        insecure = set(chosen.insecure_cameras)
        if verify_tls is not None:
            (insecure.discard if verify_tls else insecure.add)(name)
        wanted: dict[str, Any] = {"insecure_cameras": sorted(insecure)}
        if primary:
            wanted["primary_camera"] = name
        self._host.save(wanted)
        self.reconfigure()

    def test_camera(self, name: str) -> None:
        _, cameras = self._cameras()
        camera = next((camera for camera in cameras if camera.info.name == name), None)
        if camera is None:
            raise Rejected(f"OctoPrint has no camera named {name!r} any more; reload the page")
        self._start_errand("testing", lambda: f"{name}: {self._tools.test_camera(camera)}")

    def examine(self) -> None:
        """Checks everything; the findings show in the status."""
        self._start_errand(
            "examining", lambda: self._tools.diagnosis.examine(self._circumstances(), lambda: not self._running)
        )

    def make_bundle(self) -> None:
        """Puts a support bundle together; `bundle` then gives it."""
        self._start_errand(
            "bundling",
            lambda: self._tools.diagnosis.make_bundle(
                self._circumstances(), self.status(), lambda: not self._running
            ),
        )  # fmt: skip

    @property
    def bundle(self) -> tuple[str, bytes] | None:
        """Name and content of the last support bundle."""
        return self._tools.diagnosis.bundle

    def _circumstances(self) -> Circumstances:
        agent, around = self._agent, self._host.surroundings()
        try:
            chosen, cameras = self._cameras()
        except ConfigInvalid as error:
            return Circumstances(around, None, (), None, str(error))
        if self._copied:
            chosen = replace(chosen, token=None)
        config = settings.agent_config(chosen, cameras, version=self._tools.version, data_dir=self._tools.data_dir)
        return Circumstances(around, config, cameras, agent.link if agent is not None else None)

    def resume(self) -> None:
        """The pause of the server is ended from OctoPrint's page: as safe, and as exclusive, as from the server's."""
        agent, pause = self._agent, self.notice.pause
        if agent is None or pause is None:
            raise Rejected("this pause is over, or no longer Obico's; use OctoPrint's own Resume")
        self.notice.resuming()
        agent.order(CommandName.RESUME, ORIGIN)

    def mute(self) -> None:
        """The server is to let the rest of this print be."""
        config, pause = self._config, self.notice.pause
        if config is None or pause is None or not pause.reason.explained:
            raise Rejected("the server does not take that from here; open its page")

        def work() -> None:
            try:
                self._tools.mute_alerts(config)
            except AgentError as error:
                self.notice.failed(str(error))
                raise
            self.notice.muted()

        self._start_errand("muting", work)

    def glance(self) -> dict[str, Any]:
        """What everybody with a look at the printer may know: how it stands with the server, and why it is paused."""
        status = self.status()
        shown = ("server", "linked", "connected", "since", "reason", "needs_person", "printer_name", "queued_events")
        return {**{key: status[key] for key in shown}, "pause": status["pause"]}

    def status(self) -> dict[str, Any]:
        """What the settings page shows; nothing in it is secret."""
        try:
            chosen, cameras = self._cameras()
            server, linked, trouble = chosen.server, chosen.token is not None and not self._copied, self._trouble
        except ConfigInvalid as error:
            cameras, server, linked, trouble = (), "", False, str(error)
        agent = self._agent
        link = agent.link if agent is not None else None
        known = agent.cameras if agent is not None else {}
        with self._lock:
            busy, said = self._busy, self._said
            settling = busy == "starting"
            if settling:
                busy = None if self._waiting is None else self._waiting[0]
        return {
            "version": self._tools.version,
            "server": server,
            "linked": linked,
            "connected": bool(link and link.connected),
            "since": link.since if link else None,
            "reason": trouble or (link.reason if link else None),
            "needs_person": trouble is not None or bool(link and link.needs_person),
            "printer_name": link.printer_name if link else None,
            "server_name": link.server_name if link else None,
            "queued_events": link.queued_events if link else 0,
            "copied": self._copied,
            "search": self._finder.status() if self._finder is not None else None,
            "busy": busy,
            "settling": settling,
            "said": None if said is None else {"ok": said[0], "text": said[1]},
            "pictures": asdict(agent.load if agent is not None else LoadState()),
            "doctor": self._tools.diagnosis.shown,
            "cameras": [_camera(camera, known.get(camera.info.name)) for camera in cameras],
            "pause": self.notice.shown(),
        }

    # --- errands ---

    def _cameras(self) -> tuple[settings.Preferences, tuple[CameraConfig, ...]]:
        chosen = settings.preferences(self._host.values())
        provided, default = self._host.webcams()
        return chosen, settings.cameras(provided, chosen, default)

    def _start_errand(self, name: str, work: Callable[[], str | None]) -> None:
        worker = Worker("errand", limit=1)
        with self._lock:
            if not self._running:
                raise Rejected("the Obico plugin is stopping")
            if self._busy == "starting" and name != "starting" and self._waiting is None:
                # The agent just follows a setting; what a person asks for meanwhile comes right after that.
                self._waiting, self._said = (name, work), None
                return
            if self._busy is not None:
                self._again = True  # what is running looks at the settings once more before it ends
                raise Rejected(f"one moment, still {self._busy}")
            self._busy, self._errand = name, worker
            if name != "starting":
                self._said = None
        worker.start()
        worker.submit(lambda: self._run_errand(name, work, worker))

    def _run_errand(self, name: str, work: Callable[[], str | None], worker: Worker) -> None:
        said: tuple[bool, str] | None = (False, "A fault in the Obico plugin; see octoprint.log.")
        try:
            text = work()
            said = None if text is None else (True, text)
        except AgentError as error:
            said = (False, str(error))
        finally:
            if name != "starting":
                self._said = said
            self._settle(worker)

    def _settle(self, worker: Worker) -> None:
        """The end of an errand: the agent follows the settings, as often as they changed meanwhile."""
        settled, waiting = False, None
        try:
            while True:
                with self._lock:
                    self._again = False
                self._follow_settings()
                with self._lock:
                    if not self._again or worker.stopping.is_set():
                        settled, self._busy = True, None
                        waiting, self._waiting = self._waiting, None
                        break
        finally:
            if not settled:  # a bug, which the worker logs: it must not block what comes
                with self._lock:
                    self._busy, self._waiting = None, None
            worker.stop()
            if waiting is not None:
                with contextlib.suppress(Rejected):
                    self._start_errand(*waiting)
            self._host.changed()

    def _follow_settings(self) -> None:
        try:
            chosen, cameras = self._cameras()
            trouble = None
        except ConfigInvalid as error:
            chosen, cameras, trouble = None, (), str(error)
        if trouble is not None and trouble != self._trouble:
            _log.error("Obico is not running: %s", trouble)
        self._trouble = trouble
        chosen = self._own(chosen)
        if self._finder is not None:
            self._finder.follow(chosen)
        self._tools.report_faults(chosen.sentry_dsn if chosen is not None else None)
        config = None
        if chosen is not None and chosen.token is not None:
            config = settings.agent_config(chosen, cameras, version=self._tools.version, data_dir=self._tools.data_dir)
        if config == self._config:
            return
        with self._lock:
            agent = self._take_agent()
        if agent is not None:
            agent.stop(STOP_SECONDS)
        if config is not None:
            try:
                self._start_agent(config)
            except OSError as error:
                self._trouble = f"cannot keep its records: {error}"
                _log.error("Obico is not running: %s", self._trouble)

    def _own(self, chosen: settings.Preferences | None) -> settings.Preferences | None:
        """The settings without the token, if they were copied from another printer together with it."""
        if chosen is None or chosen.token is None or self._record is None:
            self._copied = False
            return chosen
        copied = self._record.is_another()
        if copied and not self._copied:
            _log.error("%s in the Obico settings; the same printer with new hardware is told there, too", COPIED)
        self._copied = copied
        return replace(chosen, token=None) if copied else chosen

    def _start_agent(self, config: AgentConfig) -> None:
        agent = self._tools.build(config, self._on_link_change, self._on_command_result)
        translator = Translator(agent.post, self._tools.clock.now, self._call_later, self._index_of)
        remembered = agent.remembered_print()
        with self._lock:
            if not self._running:
                return
            first, self._first = self._first, False
            self._agent, self._config, self._translator = agent, config, translator
            agent.start()
        translator.begin(remembered, self._host.reading(), RESTARTED if first else _WAS_OFF)
        self.tell_facts()
        _log.info("watching for %s", config.server_url)

    def _call_later(self, seconds: float, task: Callable[[], None]) -> None:
        with self._lock:
            if self._running:
                if self._late is not None:
                    self._late.stop()
                self._late = call_later("late", seconds, task)

    def _index_of(self, job: Job) -> GCodeIndex | None:
        path = self._host.file_on_disk(job)
        return None if path is None else self._tools.layers.index_of(path)

    def _on_link_change(self, link: LinkState) -> None:
        if link.connected != self._was_connected:
            self._was_connected = link.connected
            told = {} if link.connected else {"reason": link.reason}
            self._host.tell("connected" if link.connected else "disconnected", told)
        self._host.changed()

    def _on_command_result(self, result: CommandResult) -> None:
        config = self._config
        if config is None:
            return
        reason = pause_reason(result, config, self._tools.clock.now())
        if reason is not None:
            current = self.current
            self.notice.begin(reason, current[1] if current is not None else "")
            self._host.tell("paused", {"by": reason.by, "reason": reason.text, "score": reason.score})
        elif result.command.initiator == ORIGIN and result.state is not AckState.DONE:
            self.notice.failed(result.said or "the printer did not resume")

    def _picture(self, reason: PauseReason) -> bytes | None:
        config = self._config
        return None if config is None else self._tools.picture(config, reason)


def _camera(camera: CameraConfig, trouble: str | None) -> dict[str, Any]:
    url = camera.snapshot_url or camera.stream_url or ""
    return {
        "name": camera.info.name,
        "primary": camera.info.primary,
        "address": shown(url),
        "secure": url.startswith("https:"),
        "verify_tls": camera.verify_tls,
        "trouble": trouble,
    }

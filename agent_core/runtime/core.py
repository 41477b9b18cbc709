"""The core thread: the only writer of state. Everything that happens comes in through its inbox; everything that goes
out, to disk, to the link, to the cameras, is started here and nowhere else.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

from agent_core import payload, reducer
from agent_core.commands import CommandRunner
from agent_core.config import AgentConfig
from agent_core.database import Database
from agent_core.errors import AuthRefused, NeedsPerson
from agent_core.features.printer_events import Courier, EventDesk
from agent_core.features.watches import CameraWatch, ThermalWatch
from agent_core.model import ActivePrint, AlertRaised, Download, ExpectedPrint, HostEvent, Job, LinkState, Phase
from agent_core.outbox import LIMIT, Entry, Lane, Outbox
from agent_core.passthru import Handler, PassthruDesk, Route
from agent_core.ports import Clock
from agent_core.runtime.crew import Crew
from agent_core.runtime.inbox import Inbox, Item
from agent_core.runtime.tunnels import LateTunnel
from agent_core.runtime.worker import Worker
from agent_core.session import Action, Connect, Disconnect, Ping, Refusal, Send, Session
from agent_core.transport.websocket import Alive, Closed, FrameRead, Link, LinkEvent, Opened, Refused, Written
from agent_core.wire import messages as wire
from agent_core.wire.codec import WireError, encode

_log = logging.getLogger(__name__)

PRINT_KEY = "print"
"""The store's record of the print under way."""

ENDS = frozenset({wire.EventType.DONE, wire.EventType.CANCELLED, wire.EventType.FAILED})
"""Events that the outbox drops last of all."""

DISK_RETRY_SECONDS = 60.0
"""Between two attempts to write what a full disk has refused."""

STORAGE_ALERT_SECONDS = 24 * 3600.0

LONGEST_WAIT = 20.0
"""Seconds between two turns at the most: the sign of life for a watchdog."""

TROUBLES_TOLD = 20
"""Reasons of one outage that are not told again."""

NOT_LINKED = "not linked to a server yet: enter the six-digit code that the server shows"
DUPLICATE = "another agent uses this printer's token: stop the other one, or link this printer again"


class Core:
    """Built and stopped by Agent; `post` is for hosts, the `on_…` callbacks for the workers."""

    def __init__(
        self,
        config: AgentConfig,
        database: Database,
        clock: Clock,
        link: Link,
        *,
        uniform: Callable[[], float],
        on_link_change: Callable[[LinkState], None],
        on_pictures: Callable[[bool, bool, bool], None],
        on_boost: Callable[[], None],
        on_greeting: Callable[[frozenset[wire.Capability]], None],
        register_file: Callable[[int, Job], None],
        courier: Courier,
        passthru: Mapping[str, Handler | Route],
        crew: Crew,
        tunnel: LateTunnel,
    ) -> None:
        self.worker = Worker("core", tick=self._turn)
        self.commands: CommandRunner | None = None
        self._config = config
        self._database = database
        self._outbox = Outbox(database, self._storage_trouble)
        self._clock = clock
        self._link = link
        self._on_link_change = on_link_change
        self._on_pictures = on_pictures
        self._on_boost = on_boost
        self._on_greeting = on_greeting
        self._register_file = register_file
        self._tunnel = tunnel
        self._inbox = Inbox()
        self._session = Session(self._outbox.waiting, uniform)
        self._events = EventDesk(
            self._outbox, database, clock, courier, new_id=new_id, run_soon=self.run_soon, toast=self._session.offer,
            linked=config.token is not None,
        )  # fmt: skip
        self._cameras = CameraWatch()
        self._heaters = ThermalWatch()
        self._disk_retry_at = 0.0
        self._calls = PassthruDesk(
            passthru, clock, busy=self._why_busy, tell=self._session.offer, start=crew.start, run_soon=self.run_soon
        )
        self._last_words: threading.Event | None = None
        self._schedule = payload.Schedule()
        self._settings_due = True
        self._last_turn = clock.monotonic()
        self._told_trouble: deque[str] = deque(maxlen=TROUBLES_TOLD)
        self._lost_events = False
        self._pictures: tuple[bool, bool, bool] | None = None
        remembered = database.load(PRINT_KEY)
        self.state = reducer.initial(ActivePrint.from_json(remembered) if remembered else None)
        if config.token is None:
            self._session.stop()
        self.link_state = LinkState(
            connected=False, since=clock.now(), reason=NOT_LINKED if config.token is None else "connecting",
            needs_person=config.token is None, queued_events=len(self._outbox),
        )  # fmt: skip

    # --- called from any thread -----------------------------------------------------------------------------------

    def post(self, event: HostEvent) -> None:
        if not self._inbox.put_host(event) and not self._lost_events:
            self._lost_events = True
            _log.error("the core thread stands still: events of the printer are being lost; please restart the agent")
        self.worker.wake()

    def on_link_event(self, event: LinkEvent) -> bool:
        taken = self._inbox.put_link(event)
        self.worker.wake()
        return taken

    def run_soon(self, task: Callable[[], None]) -> None:
        """Runs a task on the core thread: the way in for results of other workers."""
        self._inbox.put(task)
        self.worker.wake()

    def tell(self, message: wire.AgentOutgoing) -> None:
        """Sends an answer when the link allows."""
        self.run_soon(lambda: self._session.offer(message))

    def on_command_begin(self, phase: Phase) -> None:
        def begin() -> None:
            self.state = reducer.command_began(self.state, phase)
            self._want_status()

        self.run_soon(begin)

    def on_command_end(self, succeeded: bool) -> None:
        def end() -> None:
            self.state = reducer.command_ended(self.state, succeeded, self._clock.now())
            self._want_status()

        self.run_soon(end)

    def on_file_registered(self, ts: int, g_code_file_id: int) -> None:
        self.run_soon(lambda: self._apply(*reducer.file_registered(self.state, ts, g_code_file_id)))

    def say_last_words(self, seconds: float) -> None:
        """Answers the calls that are waited for and lets that go out, within `seconds`; later calls are refused."""
        if self._calls.idle:
            return
        said = threading.Event()

        def end() -> None:
            self._calls.stop()
            self._last_words = said

        self.run_soon(end)
        said.wait(seconds)

    def on_camera_state(self, name: str, works: bool, reason: str | None) -> None:
        def take() -> None:
            back = self._cameras.state(name, works, reason, self._clock.monotonic(), self._clock.now())
            if back is not None:
                self._alert(back)

        self.run_soon(take)

    def on_other_cameras(self) -> None:
        self.run_soon(self._cameras.forget)

    def waiting_for_http(self) -> Collection[str]:
        """Ids of the events whose snapshots are still wanted; before the start only."""
        return [entry.id for entry in self._outbox.waiting(LIMIT, lane=Lane.HTTP)]

    def on_download(self, download: Download | None) -> None:
        """How far a download is; None: it is over."""

        def show() -> None:
            changed = (download is None) is not (self.state.download is None)
            self.state = replace(self.state, download=download)
            if changed:
                self._want_status()

        self.run_soon(show)

    def on_expected(self, order: str, expected: ExpectedPrint | None) -> None:
        """The print that the agent is about to start for that order; None: it will not begin."""

        def expect() -> None:
            known = self.state.expected
            if expected is not None or (known is not None and known.order == order):
                self.state = replace(self.state, expected=expected)

        self.run_soon(expect)

    def idle_seconds(self) -> float:
        """Seconds since the core last turned; over a minute means that it hangs."""
        return self._clock.monotonic() - self._last_turn

    # --- on the core thread -----------------------------------------------------------------------------------------

    def _turn(self) -> float:
        self._last_turn = self._clock.monotonic()
        while (item := self._inbox.take()) is not None:
            self._handle(item)
        now = self._clock.monotonic()
        self._look_around(now)
        self._events.poll(now)
        self._outbox_delivered(self._session.delivered_without_ack(now))
        self._calls.poll()
        self._tell_pictures()  # before the answers go out: who hears that the terminal is on gets its next line
        self._perform(self._session.poll(now))
        if self._last_words is not None and self._session.all_written:
            self._last_words.set()
        self._send_status(now)
        self._tell_pictures()
        self._publish_link(self.link_state)
        return self._seconds_to_next(self._clock.monotonic())

    def _seconds_to_next(self, now: float) -> float:
        wait = LONGEST_WAIT
        for deadline in (self._session.deadline(), self._events.due()):
            if deadline is not None:
                wait = min(wait, deadline - now)
        if self._session.ready_for_status:
            wait = min(wait, self._status_due() - now)
        answer_due = self._calls.deadline()
        if answer_due is not None:
            wait = min(wait, answer_due - now)
        return max(0.0, wait)

    def _handle(self, item: Item) -> None:
        match item:
            case Opened() | Refused() | FrameRead() | Alive() | Written() | Closed():
                self._on_link(item)
            case _ if callable(item):
                item()
            case _:
                self._apply(*reducer.reduce(self.state, item, self._clock.now()))

    # --- state and its effects --------------------------------------------------------------------------------------

    def _apply(self, state: reducer.AgentState, effects: tuple[reducer.Effect, ...]) -> None:
        self.state = state
        self._keep(effects)
        for effect in effects:
            match effect:
                case reducer.SendStatus(urgent=True):
                    self._want_status()
                case reducer.SendSettings():
                    self._settings_due = True
                    self._want_status()
                case reducer.RegisterFile(ts=ts, job=job):
                    self._register_file(ts, job)
                case reducer.TellAlert(alert=alert):
                    self._alert(alert)
                case _:
                    pass

    def _keep(self, effects: tuple[reducer.Effect, ...]) -> None:
        """Events and the print's record in one transaction: a kill in between would lose or double an event."""
        entries = [self._entry(effect) for effect in effects if isinstance(effect, reducer.EmitPrintEvent)]
        records = [effect for effect in effects if isinstance(effect, reducer.RememberPrint)]
        if not entries and not records:
            return

        def remember() -> None:
            for record in records:
                if record.print is None:
                    self._database.remove(PRINT_KEY)
                else:
                    self._database.save(PRINT_KEY, record.print.to_json())

        self._outbox.append(entries, remember)
        if entries:
            self._session.events_added()

    def _entry(self, effect: reducer.EmitPrintEvent) -> Entry:
        ident = new_id()
        _log.info("print event %s of %s", effect.type.value, effect.print.filename)
        return Entry(ident, str(encode(payload.event_message(effect, ident))), terminal=effect.type in ENDS)

    # --- troubles -----------------------------------------------------------------------------------------------------

    def _alert(self, alert: AlertRaised) -> None:
        current = self.state.print
        self._events.tell(alert, None if current is None else current.ts)

    def _look_around(self, now: float) -> None:
        """What shows only over time."""
        at, phase = self._clock.now(), self.state.phase
        for alert in self._cameras.look(phase, now, at) + self._heaters.look(self.state.report, phase, now, at):
            self._alert(alert)
        if self._database.damage is not None:
            self._storage_trouble(self._database.damage)
            self._database.damage = None
        if self._outbox.unsaved and now >= self._disk_retry_at:
            self._disk_retry_at = now + DISK_RETRY_SECONDS
            self._outbox.retry()
            if self._outbox.unsaved:
                self._events.make_room()

    def _storage_trouble(self, text: str) -> None:
        """Something is wrong with our own disk; later, for the outbox may be in the middle of a transaction."""
        self._disk_retry_at = self._clock.monotonic() + DISK_RETRY_SECONDS
        trouble = AlertRaised(
            "Agent Has Trouble With Its Storage", text[0].upper() + text[1:] + ".", self._clock.now(),
            topic=f"storage {text[:40]}", every=STORAGE_ALERT_SECONDS,
        )  # fmt: skip
        self.run_soon(lambda: self._alert(trouble))

    def _want_status(self) -> None:
        self._schedule = self._schedule.wanted(self._clock.monotonic())

    def _outbox_delivered(self, ids: tuple[str, ...]) -> None:
        if ids:
            self._outbox.remove(ids)

    # --- the link ---------------------------------------------------------------------------------------------------

    def _on_link(self, event: LinkEvent) -> None:
        now = self._clock.monotonic()
        match event:
            case Opened():
                self._session.on_open(now)
                self._schedule = payload.Schedule()
                self._settings_due = True
                self._told_trouble.clear()
                self._events.connected()
                _log.info("connected to %s", self._config.server_url)
                self._publish_link(LinkState(connected=True, since=self._clock.now()))
            case Refused(error=error):
                self._session.on_refused(Refusal.TOKEN if isinstance(error, AuthRefused) else Refusal.RETRY, now)
                self._trouble(str(error), needs_person=isinstance(error, NeedsPerson))
            case FrameRead(frame=frame):
                self._on_frame(frame, now)
            case Alive():
                self._session.on_alive(now)
            case Written():
                self._session.on_written()
            case Closed(code=code, reason=reason):
                self._session.on_closed(code, now)
                self._tunnel.link_lost()
                if self._session.stopped:
                    self._trouble(DUPLICATE, needs_person=True)
                else:
                    self._trouble(reason or f"the server closed the connection (code {code})", needs_person=False)

    def _on_frame(self, frame: str | bytes, now: float) -> None:
        try:
            messages = self._session.on_frame(frame, now)
        except WireError as error:
            _log.debug("a frame of the server was no message: %s", error)
            return
        for message in messages:
            match message:
                case wire.EventsAcked(ids=ids):
                    self._outbox_delivered(ids)
                case wire.Commands(commands=commands):
                    for command in commands:
                        self._take_command(command)
                case wire.PassthruCall():
                    self._calls.take(message)
                case wire.RemoteStatus():
                    self._want_status()
                    # Before the calls behind it: who switches the terminal on is watching by then.
                    self._tell_pictures()
                    if self._session.viewing:
                        self._on_boost()
                case wire.TunnelFrame() | wire.TunnelRequest() | wire.TunnelSocketData():
                    self._tunnel.take(message)
                case wire.ServerInfo(name=name, version=version, capabilities=capabilities):
                    self._tunnel.greeted(capabilities)
                    self._on_greeting(capabilities)
                    self._publish_link(replace(self.link_state, server_name=f"{name} {version}".strip()[:100] or None))
                case _:
                    pass

    def _why_busy(self) -> str | None:
        """Why the printer must be let alone but for its print, None if it need not."""
        if self.state.transient is not None:
            return f"the printer is busy ({self.state.transient.phase.value.lower()})"
        if self.state.report.phase is Phase.PAUSED:
            return "a print is paused; its place must not be lost"
        if self.state.report.phase.active:
            return "a print is under way"
        return None

    def order(self, command: wire.Command) -> None:
        """A command of somebody at the host itself; `on_result` tells what became of it. From any thread."""
        self.run_soon(lambda: self.commands.take(command) if self.commands is not None else None)

    def _take_command(self, command: wire.Command) -> None:
        if command.why is not None and not self._session.speaks(wire.Capability.COMMAND_WHY):
            command = replace(command, why=None)
        if self.commands is not None:
            self.commands.take(command)

    def _perform(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Connect():
                    self._link.connect()
                case Send(frame=frame):
                    self._link.send(frame)
                case Ping():
                    self._link.ping()
                case Disconnect(reason=reason):
                    self._link.close()
                    self._tunnel.link_lost()
                    self._trouble(reason, needs_person=False)

    def _status_due(self) -> float:
        return self._schedule.due(
            viewing=self._session.viewing,
            active=self.state.phase.active or self.state.phase is Phase.DOWNLOADING,
            ours=self._session.speaks(wire.Capability.EVENT_ACK),
        )

    def _send_status(self, now: float) -> None:
        if not self._session.ready_for_status or now < self._status_due():
            return
        settings = payload.settings(self._config, self.state.settings) if self._settings_due else None
        # Whatever becomes of them: settings that cannot be written must not keep the statuses after this one back.
        self._settings_due = False
        frame = self._status_frame(settings)
        if frame is None and settings is not None:
            frame = self._status_frame(None)
        if frame is not None:
            self._perform([self._session.status_frame(frame)])
        self._schedule = self._schedule.sent(now)

    def _status_frame(self, settings: wire.Settings | None) -> str | bytes | None:
        try:
            return encode(payload.status_message(self.state, self._clock.now(), settings))
        except WireError as error:
            what = "a status" if settings is None else "a status with the settings"
            _log.error("%s could not be written, please report this: %s", what, error)
            return None

    def _tell_pictures(self) -> None:
        wanted = (
            self._session.open and payload.printing_for_pictures(self.state),
            self._session.viewing,
            self._session.should_watch,
        )
        if wanted != self._pictures:
            self._pictures = wanted
            self._on_pictures(*wanted)

    def _trouble(self, reason: str, *, needs_person: bool) -> None:
        """Said once for each kind of trouble in an outage, not for each attempt."""
        if reason not in self._told_trouble:
            self._told_trouble.append(reason)
            _log.log(logging.ERROR if needs_person else logging.WARNING, "not connected: %s", reason)
        since = self._clock.now() if self.link_state.connected else self.link_state.since
        self._publish_link(LinkState(connected=False, since=since, reason=reason, needs_person=needs_person))

    def _publish_link(self, state: LinkState) -> None:
        state = replace(state, queued_events=len(self._outbox))
        if state != self.link_state:
            self.link_state = state
            self._on_link_change(state)


def new_id() -> str:
    """A random UUID (version 4); by hand, for the module `uuid` loads a library for the other versions."""
    digits = bytearray(os.urandom(16))
    digits[6] = digits[6] & 0x0F | 0x40
    digits[8] = digits[8] & 0x3F | 0x80
    text = digits.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))

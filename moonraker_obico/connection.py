"""The connection to Moonraker: one thread that connects, reads, feeds the Translator and posts what it makes of it.

Other threads call through `calls.KlipperCalls`. The order of a session: identify (which also shows the
API key), server.info, and once Klippy is ready objects.list, the sensors' names, subscribe. Everything the reading
thread asks is answered through callbacks, so it never waits for itself.
"""

from __future__ import annotations

import logging
import random
import select
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import websocket

from agent_core.errors import AuthRefused, NeedsPerson, Unreachable
from agent_core.features.event_texts import small_talk
from agent_core.model import HostEvent
from agent_core.ports import Clock, Http
from agent_core.runtime.worker import Worker
from moonraker_obico.calls import KlipperCalls
from moonraker_obico.history import HISTORY_LIMIT, read_job, read_jobs
from moonraker_obico.jsonrpc import METHOD_NOT_FOUND, Done, Request, RpcError
from moonraker_obico.klipper_api import Objects
from moonraker_obico.klippy import Klippy, Want
from moonraker_obico.moonraker_socket import KEY_REFUSED, KEY_WANTED, Address, Lost, MoonrakerSocket, plain
from moonraker_obico.objects import as_number, readings, subscription
from moonraker_obico.registered import LINKED_ALREADY, identity, refusal
from moonraker_obico.translate import Translator

_log = logging.getLogger(__name__)

SILENCE_SECONDS = 35.0
"""Moonraker pings every 10 s; three missed and it is dead."""
RETRY_FIRST, RETRY_MOST = 0.5, 10.0
STABLE_SECONDS = 10.0
"""A connection that lived so long was no accident: the next attempt is at once again."""
RETRY_PERSON = 30.0
"""Where only a person can help, it is still tried now and then: the person will not restart the agent."""
POLL_COMING = 1.0
"""Seconds between server.info while Klippy is away or starting: no notification tells of `startup` and `error`."""
POLL_STOPPED = 10.0
"""The same in `error` and `shutdown`: what ends them begins with a notification."""
READ_SECONDS = 5.0
"""Seconds between two looks at the temperatures of a printer that neither prints nor heats. Its sensors flicker at each
of Klipper's ticks; a subscription to them would wake us four times a second to learn that the room is warm.
"""
_SKIPPED = b'"notify_proc_stat_update"'
"""Comes each second unasked and says nothing of the printer; not worth decoding."""


class Connection:
    """`post` takes the events; `on_host_fact` takes (name, value) of the slow-moving things: `webcams`, `presets`,
    `update_status`, `printer_info`, `spoolman`; `on_update` each new status; `on_terminal` each answer to G-code. All
    are called on the reading thread and must return at once.
    """

    def __init__(
        self,
        address: Address,
        translator: Translator,
        calls: KlipperCalls,
        *,
        post: Callable[[HostEvent], None],
        on_host_fact: Callable[[str, Any], None],
        on_update: Callable[[Objects], None] = lambda _objects: None,
        on_terminal: Callable[[str], None] = lambda _line: None,
        http: Http,
        clock: Clock,
        version: str,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._address = address
        self._translator = translator
        self._calls = calls
        self._changed = calls.changed
        self._post = post
        self._on_host_fact = on_host_fact
        self._on_update = on_update
        self._on_terminal = on_terminal
        self._clock = clock
        self._version = version
        self._jitter = jitter
        self._socket = MoonrakerSocket(address, http)
        self.worker = Worker("moonraker", tick=self._session, on_stop=self._socket.hang_up)
        # The reading thread's own.
        self._failures = 0
        self._connected_at: float | None = None
        self._told: str | None = None
        self._greeted = False
        self._offset = clock.now() - clock.monotonic()
        self._heard_at = 0.0
        self._poll_at: float | None = None
        self._subscribing = False
        self._live = False
        self._follows = True
        self._readings_at = 0.0
        self._available: list[str] = []
        self._heaters: Mapping[str, Any] = {}

    # --- life ---------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        self.worker.start()

    @property
    def connected(self) -> bool:
        return self._calls.open

    @property
    def heard_at(self) -> float:
        """Monotonic seconds at which the reading thread last did something; for the watchdog."""
        return self._heard_at

    def _session(self) -> float:
        """One connection from beginning to end; the seconds until the next attempt."""
        reason, person = "the agent stops", False
        try:
            self._read(self._open())
        except Lost as lost:
            reason = str(lost)
        except NeedsPerson as error:
            reason, person = str(error), True
        finally:
            self._end_session(reason)
        self._log_loss(reason, person=person)
        self._heard_at = self._clock.monotonic()
        if self._connected_at is not None and self._heard_at - self._connected_at >= STABLE_SECONDS:
            self._failures = 0
        self._connected_at = None
        if person:
            return RETRY_PERSON
        self._failures += 1
        most = min(RETRY_MOST, RETRY_FIRST * 2.0 ** min(self._failures - 1, 10))
        return most * (0.5 + self._jitter() / 2)

    def _end_session(self, reason: str) -> None:
        self._socket.close()
        self._calls.closed()
        with self._changed:
            events = self._translator.socket_lost(reason, self._now())
        self._subscribing = False
        self._live = False
        self._poll_at = None
        for event in events:
            self._post(event)

    def _now(self) -> float:
        """Unix seconds that run evenly; where the clock was set, the times that wait move with it."""
        offset = self._clock.now() - self._clock.monotonic()
        if abs(offset - self._offset) > 2.0:
            moved, self._offset = offset - self._offset, offset
            self._translator.clock_set(moved)
            self._readings_at += moved
            if self._poll_at is not None:
                self._poll_at += moved
        return self._clock.monotonic() + self._offset

    def _log_loss(self, reason: str, *, person: bool) -> None:
        """Once for each loss; once more if it turns out that a person is needed."""
        if self.worker.stopping.is_set() or reason == self._told or (self._told is not None and not person):
            return
        _log.warning("%s%s", reason, "" if person else "; trying again until it is there")
        self._told = reason

    # --- connecting ---------------------------------------------------------------------------------------------------

    def _open(self) -> websocket.WebSocket:
        self._heard_at = self._clock.monotonic()
        ws = self._socket.open(self.worker.stopping)
        self._heard_at = self._clock.monotonic()
        self._calls.opened(self._socket.write)
        self._ask("server.connection.identify", identity(self._address, self._version), self._identified)
        return ws

    def _identified(self, _result: Any, error: RpcError | Unreachable | None) -> None:
        if isinstance(error, RpcError) and error.unauthorized:
            raise AuthRefused(KEY_WANTED if self._address.api_key is None else KEY_REFUSED)
        if error is not None:
            # Another agent of this name is connected. Moonraker serves us all the same.
            _log.info("Moonraker does not register this connection as an agent: %s", error)
        self._ask("server.info", None, self._told_info)
        self._ask("server.webcams.list", None, self._host_fact("webcams"))
        presets = {"namespace": "mainsail", "key": "presets"}
        self._ask("server.database.get_item", presets, self._host_fact("presets"))
        self._ask("machine.update.status", {"refresh": False}, self._host_fact("update_status"))
        self._ask("server.spoolman.status", None, self._host_fact("spoolman"))

    def _host_fact(self, name: str) -> Done:
        def take(result: Any, error: RpcError | Unreachable | None) -> None:
            if error is None:
                self._on_host_fact(name, result)
            elif isinstance(error, RpcError) and error.code == METHOD_NOT_FOUND:
                self._on_host_fact(name, None)

        return take

    # --- Klippy -------------------------------------------------------------------------------------------------------

    def _told_info(self, result: Any, error: RpcError | Unreachable | None) -> None:
        if isinstance(error, RpcError) and error.unauthorized:
            raise AuthRefused(KEY_WANTED if self._address.api_key is None else KEY_REFUSED)
        word = result.get("klippy_state") if isinstance(result, dict) else None
        state = Klippy(word) if isinstance(word, str) and word in _STATES else Klippy.DISCONNECTED
        self._connected_again()
        self._klippy(state, None)

    def _connected_again(self) -> None:
        if self._told is not None or not self._greeted:
            _log.info("connected to Moonraker at %s", self._address.shown)
        self._told = None
        self._greeted = True
        if self._connected_at is None:
            self._connected_at = self._clock.monotonic()

    def _klippy(self, state: Klippy, message: str | None) -> None:
        now = self._now()
        with self._changed:
            if state is not Klippy.READY:
                self._stale()
            events = self._translator.klippy_changed(state, message, now)
        self._tell(events)
        if state is Klippy.READY:
            self._poll_at = None
            if not self._live and not self._subscribing:
                self._subscribing = True
                self._ask("printer.objects.list", None, self._listed)
                self._ask("printer.info", None, self._host_fact("printer_info"))
        else:
            self._subscribing = False
            self._poll_at = now + (POLL_STOPPED if state in _STOPPED else POLL_COMING)

    def _listed(self, result: Any, error: RpcError | Unreachable | None) -> None:
        names = result.get("objects") if isinstance(result, dict) else None
        if error is not None or not isinstance(names, list):
            self._retry_subscribing()
            return
        available = [name for name in names if isinstance(name, str)]

        def heaters_told(answer: Any, refused: RpcError | Unreachable | None) -> None:
            if refused is not None:
                self._retry_subscribing()
                return
            status = answer.get("status") if isinstance(answer, dict) else None
            heaters = status.get("heaters") if isinstance(status, dict) else None
            self._available = available
            self._heaters = heaters if isinstance(heaters, dict) else {}
            self._subscribe(self._subscribed, temperatures=True)

        self._ask("printer.objects.query", {"objects": {"heaters": None}}, heaters_told)

    def _subscribed(self, result: Any, error: RpcError | Unreachable | None) -> None:
        status = result.get("status") if isinstance(result, dict) else None
        if error is not None or not isinstance(status, dict):
            self._retry_subscribing()
            return
        self._subscribing = False
        with self._changed:
            if self._translator.klippy is not Klippy.READY:
                return
            events = self._translator.subscribed(status, self._now())
            self._live = self._translator.klippy is Klippy.READY
            self._calls.updated(self._translator.status if self._live else None)
        self._tell(events)

    def _subscribe(self, done: Done, *, temperatures: bool) -> None:
        wanted = subscription(self._available, self._heaters, temperatures=temperatures)
        self._follows = temperatures
        self._readings_at = self._now() + READ_SECONDS
        self._ask("printer.objects.subscribe", {"objects": wanted}, done)

    def _merged(self, result: Any, error: RpcError | Unreachable | None) -> None:
        """What was asked for beside the subscription's own updates: temperatures, or another choice of fields."""
        status = result.get("status") if isinstance(result, dict) else None
        if error is None and isinstance(status, dict) and self._live:
            self._status_changed(status)

    def _retry_subscribing(self) -> None:
        """Klippy went away in between: server.info will tell."""
        self._subscribing = False
        self._poll_at = self._now() + POLL_COMING

    # --- reading ------------------------------------------------------------------------------------------------------

    def _read(self, ws: websocket.WebSocket) -> None:
        poller = select.poll()
        poller.register(ws.sock, select.POLLIN)
        while not self.worker.stopping.is_set():
            ready = poller.poll(self._wait_ms())
            try:
                if ready:
                    self._frame(*ws.recv_data(control_frame=True))
                elif self._clock.monotonic() - self._heard_at > SILENCE_SECONDS:
                    raise Lost(f"Moonraker at {self._address.shown} has gone silent")
                self._timers()
            except (OSError, websocket.WebSocketException) as error:
                raise Lost(f"the connection to Moonraker at {self._address.shown} broke: {plain(error)}") from None

    def _wait_ms(self) -> float:
        readings_at = self._readings_at if self._live and not self._follows else None
        due = [time for time in (self._translator.due(), self._poll_at, readings_at) if time is not None]
        wait = min(due, default=float("inf")) - self._now()
        return max(0.0, min(wait, 5.0)) * 1000.0 + 1.0

    def _timers(self) -> None:
        now = self._now()
        due = self._translator.due()
        if due is not None and now >= due:
            with self._changed:
                events = self._translator.tick(now)
            self._tell(events)
        if self._poll_at is not None and now >= self._poll_at:
            self._poll_at = now + POLL_STOPPED
            self._ask("server.info", None, self._told_info)
        if self._live and self._translator.busy != self._follows:
            self._subscribe(self._merged, temperatures=not self._follows)
        elif self._live and not self._follows and now >= self._readings_at:
            self._readings_at = now + READ_SECONDS
            self._ask("printer.objects.query", {"objects": readings(self._heaters)}, self._merged)

    def _frame(self, opcode: int, data: bytes) -> None:
        self._heard_at = self._clock.monotonic()
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            raise Lost(f"Moonraker at {self._address.shown} closed the connection")
        if opcode != websocket.ABNF.OPCODE_TEXT or _SKIPPED in data[:80]:
            return
        message = self._calls.receive(data)
        if isinstance(message, Request):
            self._refuse(message)
        elif message is not None:
            self._notified(message.method, message.params)

    def _refuse(self, request: Request) -> None:
        """Only a printer that is not linked can be called (remote_link.py); whoever calls learns why not."""
        try:
            self._socket.write(refusal(request, LINKED_ALREADY))
        except Unreachable as error:
            raise Lost(str(error)) from None

    def _notified(self, method: str, params: Sequence[Any]) -> None:
        now = self._now()
        first = params[0] if params else None
        translator = self._translator
        events: list[HostEvent] = []
        if method == "notify_status_update":
            self._status_changed(first)
        elif method == "notify_gcode_response":
            if isinstance(first, str):
                self._on_terminal(first)
                if first.startswith("!!") or small_talk(first) is not None:
                    events = translator.gcode_line(first, now)
        elif method == "notify_history_changed":
            job = read_job(first.get("job")) if isinstance(first, dict) else None
            if job is not None and isinstance(first, dict):
                with self._changed:
                    events = translator.history_changed(str(first.get("action")), job, now)
        elif method == "notify_klippy_ready":
            self._klippy(Klippy.READY, None)
        elif method == "notify_klippy_disconnected":
            self._klippy(Klippy.DISCONNECTED, None)
        elif method == "notify_klippy_shutdown":
            self._klippy(Klippy.SHUTDOWN, None)
        elif method == "notify_webcams_changed":
            self._on_host_fact("webcams", first)
        elif method == "notify_active_spool_set":
            self._on_host_fact("spoolman", first)
        self._tell(events)

    def _status_changed(self, update: Any) -> None:
        translator = self._translator
        with self._changed:
            events = translator.status_changed(update, self._now())
            if translator.klippy is not Klippy.READY:
                self._stale()
            elif self._live:
                self._calls.updated(translator.status)
        self._on_update(self._calls.objects())
        self._tell(events)

    def _tell(self, events: list[HostEvent]) -> None:
        """Posts the events and asks Moonraker for what the Translator still wants."""
        for event in events:
            self._post(event)
        wants = self._translator.take_wants()
        if not wants or not self._calls.open:
            return
        if Want.HISTORY in wants:
            self._ask("server.history.list", {"limit": HISTORY_LIMIT, "order": "desc"}, self._history)
        if Want.METADATA in wants:
            filename = self._translator.wanted_file
            self._ask("server.files.metadata", {"filename": filename}, self._metadata(filename))
        if Want.DIAMETER in wants:
            self._ask("printer.objects.query", {"objects": {"configfile": ["settings"]}}, self._diameter)
        if Want.REASON in wants:
            self._ask("printer.info", None, self._reason)

    def _history(self, result: Any, error: RpcError | Unreachable | None) -> None:
        if isinstance(error, Unreachable):
            return
        with self._changed:
            jobs = None if error is not None else read_jobs(result)
            events = self._translator.history_listed(jobs, self._now())
        self._tell(events)

    def _metadata(self, filename: str) -> Done:
        def take(result: Any, error: RpcError | Unreachable | None) -> None:
            if not isinstance(error, Unreachable):
                self._translator.metadata(filename, result if isinstance(result, dict) else None)

        return take

    def _diameter(self, result: Any, _error: RpcError | Unreachable | None) -> None:
        """The configuration is large (tens of kB): asked once a run, one number kept."""
        try:
            settings = result["status"]["configfile"]["settings"]
            found = as_number(settings["extruder"]["filament_diameter"])
        except (KeyError, TypeError):
            found = None
        self._translator.filament_diameter(found)

    def _reason(self, result: Any, _error: RpcError | Unreachable | None) -> None:
        word = result.get("state") if isinstance(result, dict) else None
        if isinstance(word, str) and word in {"error", "shutdown"}:
            self._klippy(Klippy(word), str(result.get("state_message") or "Klipper does not say why"))

    def _stale(self) -> None:
        self._live = False
        self._calls.updated(None)

    def _ask(self, method: str, params: Mapping[str, Any] | None, done: Done) -> None:
        """A call of the reading thread's own. Raises Lost."""
        try:
            self._calls.send(method, params, done)
        except Unreachable as error:
            raise Lost(str(error)) from None


_STATES = {state.value for state in Klippy}
_STOPPED = frozenset({Klippy.ERROR, Klippy.SHUTDOWN})

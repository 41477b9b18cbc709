"""The connection to Moonraker: one thread that connects, reads, feeds the Translator and posts what it makes of it.

It also implements `klipper_api.KlipperApi` for other threads. The order of a session: identify (which also shows the
API key), server.info, and once Klippy is ready objects.list, the sensors' names, subscribe. Everything the reading
thread asks is answered through callbacks, so it never waits for itself.
"""

from __future__ import annotations

import contextlib
import logging
import random
import select
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import websocket

from agent_core.config import Secret
from agent_core.errors import AuthRefused, NeedsPerson, Unreachable, WrongPeer
from agent_core.model import HostEvent
from agent_core.ports import Clock, Http, Interrupt
from agent_core.runtime.worker import Worker
from moonraker_obico.history import HISTORY_LIMIT, read_job, read_jobs
from moonraker_obico.jsonrpc import METHOD_NOT_FOUND, Done, JsonRpc, Notification, RpcError
from moonraker_obico.klipper_api import Abandoned, Objects
from moonraker_obico.objects import as_number, subscription
from moonraker_obico.oneshot import oneshot_token
from moonraker_obico.translate import Klippy, Translator, Want

_log = logging.getLogger(__name__)

CONNECT_SECONDS = 2.5
"""For connecting and for the upgrade each: Moonraker is next door, and a stop has to get through within 3 s."""
SEND_SECONDS = 5.0
SILENCE_SECONDS = 35.0
"""Moonraker pings every 10 s; three missed and it is dead."""
RETRY_FIRST, RETRY_MOST = 0.5, 10.0
RETRY_PERSON = 30.0
"""Where only a person can help, it is still tried now and then: the person will not restart the agent."""
POLL_COMING = 1.0
"""Seconds between server.info while Klippy is away or starting: no notification tells of `startup` and `error`."""
POLL_STOPPED = 10.0
"""The same in `error` and `shutdown`: what ends them begins with a notification."""
INTERRUPT_SECONDS = 0.25
_SKIPPED = b'"notify_proc_stat_update"'
"""Comes each second unasked and says nothing of the printer; not worth decoding."""

_KEY_WANTED = (
    "Moonraker wants an API key: put `api_key: ...` into the [moonraker] section "
    "(the key stands in Mainsail or Fluidd under Settings, or `GET /access/api_key`)"
)
_KEY_REFUSED = "Moonraker refuses the api_key of the [moonraker] section: copy it again from Mainsail or Fluidd"


@dataclass(frozen=True, slots=True)
class Address:
    host: str
    port: int
    api_key: Secret | None = None

    @property
    def shown(self) -> str:
        return f"{self.host}:{self.port}"


class _Lost(Exception):
    """The session is over; the text says why."""


class _Waiter:
    """One call of another thread."""

    __slots__ = ("done", "error", "result")

    def __init__(self) -> None:
        self.done = threading.Event()
        self.result: Any = None
        self.error: RpcError | Unreachable | None = None

    def take(self, result: Any, error: RpcError | Unreachable | None) -> None:
        self.result, self.error = result, error
        self.done.set()


class Connection:
    """`post` takes the events; `on_host_fact` takes (name, value) of the slow-moving things: `webcams`, `presets`,
    `update_status`, `printer_info`; `on_update` each new status. All are called on the reading thread and must return
    at once.
    """

    def __init__(
        self,
        address: Address,
        translator: Translator,
        *,
        post: Callable[[HostEvent], None],
        on_host_fact: Callable[[str, Any], None],
        on_update: Callable[[Objects], None] = lambda _objects: None,
        http: Http,
        clock: Clock,
        version: str,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._address = address
        self._translator = translator
        self._post = post
        self._on_host_fact = on_host_fact
        self._on_update = on_update
        self._http = http
        self._clock = clock
        self._version = version
        self._jitter = jitter
        self.worker = Worker("moonraker", tick=self._session, on_stop=self._hang_up)
        # Guards everything below; held for a few dict operations, never during I/O. Waiters on it are woken at each
        # update of the status.
        self._changed = threading.Condition()
        self._rpc = JsonRpc()
        self._ws: websocket.WebSocket | None = None
        self._sock: socket.socket | None = None
        self._live = False
        self._snapshot: Objects | None = None
        self._updates = 0
        # The reading thread's own.
        self._failures = 0
        self._told: str | None = None
        self._greeted = False
        self._offset = clock.now() - clock.monotonic()
        self._heard_at = 0.0
        self._poll_at: float | None = None
        self._subscribing = False

    # --- life ---------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        self.worker.start()

    @property
    def connected(self) -> bool:
        with self._changed:
            return self._ws is not None

    @property
    def heard_at(self) -> float:
        """Monotonic seconds at which the reading thread last did something; for the watchdog."""
        return self._heard_at

    def _hang_up(self) -> None:
        """Wakes the reading thread wherever it waits for the socket."""
        with self._changed:
            sock = self._sock
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _session(self) -> float:
        """One connection from beginning to end; the seconds until the next attempt."""
        reason, person = "the agent stops", False
        try:
            self._open()
            self._read()
        except _Lost as lost:
            reason = str(lost)
        except NeedsPerson as error:
            reason, person = str(error), True
        finally:
            self._end_session(reason)
        self._log_loss(reason, person=person)
        self._heard_at = self._clock.monotonic()
        if person:
            return RETRY_PERSON
        self._failures += 1
        most = min(RETRY_MOST, RETRY_FIRST * 2.0 ** min(self._failures - 1, 10))
        return most * (0.5 + self._jitter() / 2)

    def _end_session(self, reason: str) -> None:
        with self._changed:
            ws, self._ws, self._sock = self._ws, None, None
            waiting = self._rpc.fail_all()
            self._not_live()
            events = self._translator.socket_lost(reason, self._now())
        self._subscribing = False
        self._poll_at = None
        if ws is not None:
            with contextlib.suppress(OSError):
                ws.shutdown()
        for done in waiting:
            done(None, Unreachable("the connection to Moonraker was lost before the answer"))
        for event in events:
            self._post(event)

    def _now(self) -> float:
        """Unix seconds that run evenly; where the clock was set, the times that wait move with it."""
        offset = self._clock.now() - self._clock.monotonic()
        if abs(offset - self._offset) > 2.0:
            moved, self._offset = offset - self._offset, offset
            self._translator.clock_set(moved)
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

    def _open(self) -> None:
        self._heard_at = self._clock.monotonic()
        host, port = self._address.host, self._address.port
        try:
            self._upgrade(f"ws://{_bracketed(host)}:{port}/websocket")
        except websocket.WebSocketBadStatusException as error:
            if error.status_code not in {401, 403}:
                raise WrongPeer(
                    f"what answers at {self._address.shown} is not Moonraker (HTTP {error.status_code} for "
                    "/websocket): check host and port in the [moonraker] section"
                ) from None
            self._open_with_token()
        except (OSError, websocket.WebSocketException) as error:
            raise _Lost(f"no connection to Moonraker at {self._address.shown}: {_plain(error)}") from None
        self._heard_at = self._clock.monotonic()
        self._ask("server.connection.identify", self._identity(), self._identified)

    def _open_with_token(self) -> None:
        """The second way in, for what does not let an API key through in an upgrade's header."""
        if self._address.api_key is None:
            raise AuthRefused(_KEY_WANTED)
        try:
            token = oneshot_token(self._http, self._address.host, self._address.port, self._address.api_key)
            self._upgrade(f"ws://{_bracketed(self._address.host)}:{self._address.port}/websocket?token={token}")
        except websocket.WebSocketBadStatusException:
            raise AuthRefused(_KEY_REFUSED) from None
        except (OSError, websocket.WebSocketException, Unreachable) as error:
            raise _Lost(f"no connection to Moonraker at {self._address.shown}: {_plain(error)}") from None

    def _upgrade(self, url: str) -> None:
        sock = socket.create_connection((self._address.host, self._address.port), timeout=CONNECT_SECONDS)
        with self._changed:
            self._sock = sock
        if self.worker.stopping.is_set():
            raise _Lost("stopping")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # UTF-8 is checked in Python by this library, character by character; the JSON decoder does it in C.
        ws = websocket.WebSocket(skip_utf8_validation=True)
        ws.settimeout(CONNECT_SECONDS)
        headers = [] if self._address.api_key is None else [f"X-Api-Key: {self._address.api_key.reveal()}"]
        ws.connect(url, socket=sock, header=headers, suppress_origin=True)
        ws.settimeout(SEND_SECONDS)
        with self._changed:
            self._rpc = JsonRpc()
            self._ws = ws
            self._changed.notify_all()

    def _identity(self) -> dict[str, Any]:
        identity: dict[str, Any] = {
            "client_name": "moonraker-obico",
            "version": self._version,
            "type": "agent",
            "url": "https://www.obico.io",
        }
        if self._address.api_key is not None:
            identity["api_key"] = self._address.api_key.reveal()
        return identity

    def _identified(self, _result: Any, error: RpcError | Unreachable | None) -> None:
        if isinstance(error, RpcError) and error.unauthorized:
            raise AuthRefused(_KEY_WANTED if self._address.api_key is None else _KEY_REFUSED)
        if error is not None:
            # Another agent of this name is connected. Moonraker serves us all the same.
            _log.info("Moonraker does not register this connection as an agent: %s", error)
        self._ask("server.info", None, self._told_info)
        self._ask("server.webcams.list", None, self._host_fact("webcams"))
        presets = {"namespace": "mainsail", "key": "presets"}
        self._ask("server.database.get_item", presets, self._host_fact("presets"))
        self._ask("machine.update.status", {"refresh": False}, self._host_fact("update_status"))

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
            raise AuthRefused(_KEY_WANTED if self._address.api_key is None else _KEY_REFUSED)
        word = result.get("klippy_state") if isinstance(result, dict) else None
        state = Klippy(word) if word in _STATES else Klippy.DISCONNECTED
        self._connected_again()
        self._klippy(state, None)

    def _connected_again(self) -> None:
        if self._told is not None or not self._greeted:
            _log.info("connected to Moonraker at %s", self._address.shown)
        self._told = None
        self._greeted = True
        self._failures = 0

    def _klippy(self, state: Klippy, message: str | None) -> None:
        now = self._now()
        with self._changed:
            if state is not Klippy.READY:
                self._not_live()
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
            wanted = subscription(available, heaters if isinstance(heaters, dict) else {})
            self._ask("printer.objects.subscribe", {"objects": wanted}, self._subscribed)

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
            self._updated()
        self._tell(events)

    def _retry_subscribing(self) -> None:
        """Klippy went away in between: server.info will tell."""
        self._subscribing = False
        self._poll_at = self._now() + POLL_COMING

    # --- reading ------------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        ws = self._ws
        if ws is None or ws.sock is None:
            raise _Lost("Moonraker closed the connection")
        poller = select.poll()
        poller.register(ws.sock, select.POLLIN)
        while not self.worker.stopping.is_set():
            ready = poller.poll(self._wait_ms())
            try:
                if ready:
                    self._frame(*ws.recv_data(control_frame=True))
                elif self._clock.monotonic() - self._heard_at > SILENCE_SECONDS:
                    raise _Lost(f"Moonraker at {self._address.shown} has gone silent")
                self._timers()
            except (OSError, websocket.WebSocketException) as error:
                raise _Lost(f"the connection to Moonraker at {self._address.shown} broke: {_plain(error)}") from None

    def _wait_ms(self) -> float:
        due = [time for time in (self._translator.due(), self._poll_at) if time is not None]
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

    def _frame(self, opcode: int, data: bytes) -> None:
        self._heard_at = self._clock.monotonic()
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            raise _Lost(f"Moonraker at {self._address.shown} closed the connection")
        if opcode != websocket.ABNF.OPCODE_TEXT or _SKIPPED in data[:80]:
            return
        with self._changed:
            message = self._rpc.receive(data)
        if isinstance(message, Notification):
            self._notified(message.method, message.params)
        elif message is not None:
            done, result, error = message
            done(result, error)

    def _notified(self, method: str, params: Sequence[Any]) -> None:
        now = self._now()
        first = params[0] if params else None
        translator = self._translator
        events: list[HostEvent] = []
        if method == "notify_status_update":
            with self._changed:
                events = translator.status_changed(first, now)
                if translator.klippy is not Klippy.READY:
                    self._not_live()
                elif self._live:
                    self._updated()
            self._on_update(self.objects())
        elif method == "notify_gcode_response":
            if isinstance(first, str) and first.startswith("!!"):
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
        self._tell(events)

    def _tell(self, events: list[HostEvent]) -> None:
        """Posts the events and asks Moonraker for what the Translator still wants."""
        for event in events:
            self._post(event)
        wants = self._translator.take_wants()
        if not wants or self._ws is None:
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
        if word in {"error", "shutdown"}:
            self._klippy(Klippy(word), str(result.get("state_message") or "Klipper does not say why"))

    # --- sending ------------------------------------------------------------------------------------------------------

    def _ask(self, method: str, params: Mapping[str, Any] | None, done: Done) -> None:
        """A call of the reading thread's own. Raises _Lost."""
        try:
            self._send(method, params, done)
        except Unreachable as error:
            raise _Lost(str(error)) from None

    def _send(self, method: str, params: Mapping[str, Any] | None, done: Done) -> None:
        with self._changed:
            ws = self._ws
            if ws is None:
                raise Unreachable(f"Moonraker at {self._address.shown} is not reachable")
            frame = self._rpc.request(method, params, done)
        try:
            ws.send(frame)
        except (OSError, websocket.WebSocketException) as error:
            with self._changed:
                self._rpc.forget(done)
            self._hang_up()
            raise Unreachable(f"the connection to Moonraker broke: {_plain(error)}") from None

    # --- KlipperApi ---------------------------------------------------------------------------------------------------

    def call(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
        interrupt: Interrupt | None = None,
    ) -> Any:
        """See klipper_api.KlipperApi."""
        waiter = _Waiter()
        take = waiter.take
        self._send(method, params, take)
        deadline = None if timeout is None else self._clock.monotonic() + timeout
        while not waiter.done.wait(self._slice(deadline, interrupt)):
            if interrupt is not None and interrupt.is_set():
                with self._changed:
                    self._rpc.forget(take)
                raise Abandoned(f"{method}: not waited for any longer ({interrupt.reason or 'interrupted'})")
            if deadline is not None and self._clock.monotonic() >= deadline:
                with self._changed:
                    self._rpc.forget(take)
                raise Unreachable(f"Moonraker did not answer {method} within {timeout:g} s")
        if waiter.error is not None:
            raise waiter.error
        return waiter.result

    def objects(self) -> Objects:
        """See klipper_api.KlipperApi."""
        with self._changed:
            return self._objects()

    def query(self, objects: Mapping[str, Sequence[str] | None], *, timeout: float = 10.0) -> Objects:
        """See klipper_api.KlipperApi."""
        wanted = {name: None if fields is None else list(fields) for name, fields in objects.items()}
        result = self.call("printer.objects.query", {"objects": wanted}, timeout=timeout)
        status = result.get("status") if isinstance(result, dict) else None
        if not isinstance(status, dict):
            raise Unreachable("Moonraker answered a query with something else")
        return {name: fields for name, fields in status.items() if isinstance(fields, dict)}

    def wait_for(
        self, predicate: Callable[[Objects], bool], *, timeout: float | None, interrupt: Interrupt | None = None
    ) -> bool:
        """See klipper_api.KlipperApi."""
        deadline = None if timeout is None else self._clock.monotonic() + timeout
        while True:
            with self._changed:
                seen, snapshot = self._updates, self._objects()
            if predicate(snapshot):
                return True
            with self._changed:
                while self._updates == seen:
                    if interrupt is not None and interrupt.is_set():
                        return False
                    if deadline is not None and self._clock.monotonic() >= deadline:
                        return False
                    self._changed.wait(self._slice(deadline, interrupt))

    def _slice(self, deadline: float | None, interrupt: Interrupt | None) -> float | None:
        left = None if deadline is None else max(0.0, deadline - self._clock.monotonic())
        if interrupt is None:
            return left
        return INTERRUPT_SECONDS if left is None else min(left, INTERRUPT_SECONDS)

    def _objects(self) -> Objects:
        if not self._live:
            return {}
        if self._snapshot is None:
            self._snapshot = {name: dict(fields) for name, fields in self._translator.status.items()}
        return self._snapshot

    def _updated(self) -> None:
        self._snapshot = None
        self._updates += 1
        self._changed.notify_all()

    def _not_live(self) -> None:
        if self._live:
            self._live = False
            self._updated()


_STATES = {state.value for state in Klippy}
_STOPPED = frozenset({Klippy.ERROR, Klippy.SHUTDOWN})


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _plain(error: Exception) -> str:
    """The reason without class names and addresses (an address could hold a token)."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    if isinstance(error, (TimeoutError, websocket.WebSocketTimeoutException)):
        return "no answer in time"
    if isinstance(error, websocket.WebSocketConnectionClosedException):
        return "closed by the other side"
    return type(error).__name__ if "://" in str(error) else str(error) or type(error).__name__

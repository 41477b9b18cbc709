"""Printer events for people, beside a print's life: through the outbox, by HTTP, with a snapshot of the moment.

`EventDesk` decides and keeps the books, on the core thread; `EventCourier` takes the snapshots and does the sending, on
the snapshots worker. POST /api/v1/octo/printer_events/ (wire-protocol.md §4) with an Idempotency-Key
(extensions.md), so that an event sent twice is told once.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from agent_core.config import AgentConfig
from agent_core.errors import AgentError, NeedsPerson, ServerTrouble
from agent_core.features.event_gate import EventGate
from agent_core.features.event_pictures import EventPictures
from agent_core.features.server import authorized, endpoint, refusal
from agent_core.model import AlertRaised
from agent_core.outbox import Entry, Lane, Outbox
from agent_core.ports import Clock, Http, HttpRequest, Store, Upload
from agent_core.runtime.worker import Task
from agent_core.wire.messages import PrinterEventToast

_log = logging.getLogger(__name__)

GATE_KEY = "events_told"
"""The store's record of what was told when."""

RETRY_FIRST, RETRY_MOST = 5.0, 300.0
"""Seconds between two attempts while the server takes no events; a new connection is an attempt at once."""

UPLOAD_SECONDS = 20.0

TEXT_LIMIT, TITLE_LIMIT = 1000, 200

_UNWANTED = frozenset({400, 413, 415, 422})
"""Answers of a server that has read the event and will not have it, however often it comes."""


@dataclass(frozen=True, slots=True)
class Note:
    """A printer event on its way, as it lies in the outbox. `print_ts`: of the print that it belongs to."""

    id: str
    kind: str
    event_class: str
    title: str
    text: str
    at: float
    print_ts: int | None = None

    def to_entry(self) -> Entry:
        body = {"kind": self.kind, "class": self.event_class, "title": self.title, "text": self.text, "at": self.at,
                "ts": self.print_ts}  # fmt: skip
        return Entry(self.id, json.dumps(body, separators=(",", ":")), Lane.HTTP)

    @classmethod
    def of(cls, entry: Entry) -> Note | None:
        """None: what is no event of ours (a damaged file)."""
        try:
            body = json.loads(entry.frame)
            ts = body.get("ts")
            return cls(
                entry.id, str(body["kind"]), str(body["class"]), str(body["title"]), str(body["text"]),
                float(body["at"]), ts if isinstance(ts, int) else None,
            )  # fmt: skip
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None


class Outcome(Enum):
    DELIVERED = "delivered"
    UNWANTED = "unwanted"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of one attempt; `wait`: the seconds that the server asks for."""

    outcome: Outcome
    reason: str = ""
    wait: float | None = None
    needs_person: bool = False


class Courier(Protocol):
    """What is done on the snapshots worker."""

    def submit(self, task: Task) -> bool:
        """Runs a task there, after those that wait; False if it cannot be taken."""
        ...

    def shoot(self, ident: str) -> None: ...

    def deliver(self, note: Note) -> Delivery: ...

    def make_room(self) -> None:
        """The disk is full: snapshots go before events."""
        ...


class EventCourier:
    def __init__(
        self,
        config: AgentConfig,
        http: Http,
        submit: Callable[[Task], bool],
        picture: Callable[[], bytes | None],
        pictures: EventPictures,
    ) -> None:
        """`picture`: takes one with the primary camera, now; None if there is none to be had."""
        self._config = config
        self._http = http
        self._picture = picture
        self._pictures = pictures
        self.submit = submit

    def shoot(self, ident: str) -> None:
        """The snapshot of an event that has just happened."""
        picture = self._picture()
        if picture:
            self._pictures.keep(ident, picture)

    def make_room(self) -> None:
        self._pictures.keep_only(())

    def deliver(self, note: Note) -> Delivery:
        config = self._config
        if config.token is None:
            return Delivery(Outcome.FAILED, "not linked")
        form = {
            "event_type": note.kind, "event_class": note.event_class, "event_title": note.title,
            "event_text": note.text, "notify": "true", "at": f"{note.at:.3f}",
        }  # fmt: skip
        if note.print_ts is not None:
            form["current_print_ts"] = str(note.print_ts)
        picture = self._pictures.get(note.id)
        files = {"snapshot": Upload("snapshot.jpg", picture, "image/jpeg")} if picture else {}
        headers = {**authorized(config.token, config.extra_headers), "Idempotency-Key": note.id}
        request = HttpRequest(
            "POST", endpoint(config, "printer_events/"), headers=headers, form=form, files=files,
            timeout=UPLOAD_SECONDS, verify_tls=config.verify_tls,
        )  # fmt: skip
        try:
            response = self._http.send(request)
            error = refusal(response, config.server_url)
            if error is not None and response.status in _UNWANTED:
                if picture:
                    # Perhaps it is the picture that is not wanted: the event goes alone next time.
                    self._pictures.forget(note.id)
                    return Delivery(Outcome.FAILED, str(error), wait=RETRY_FIRST)
                return Delivery(Outcome.UNWANTED, str(error))
            if error is not None:
                raise error
        except AgentError as failure:
            wait = failure.retry_after if isinstance(failure, ServerTrouble) else None
            return Delivery(Outcome.FAILED, str(failure), wait, needs_person=isinstance(failure, NeedsPerson))
        self._pictures.forget(note.id)
        return Delivery(Outcome.DELIVERED)


class EventDesk:
    """Owned by the core thread: every method is called there. One event is on its way at a time, the oldest first."""

    def __init__(
        self,
        outbox: Outbox,
        store: Store,
        clock: Clock,
        courier: Courier,
        *,
        new_id: Callable[[], str],
        run_soon: Callable[[Task], None],
        toast: Callable[[PrinterEventToast], None],
        linked: bool,
    ) -> None:
        """`run_soon` brings a task to the core thread; `toast` tells whoever looks at the printer now."""
        self._outbox = outbox
        self._store = store
        self._clock = clock
        self._courier = courier
        self._new_id = new_id
        self._run_soon = run_soon
        self._toast = toast
        self._linked = linked
        self._gate = EventGate(store.load(GATE_KEY))
        self._under_way = False
        self._failures = 0
        self._not_before = 0.0

    def tell(self, alert: AlertRaised, print_ts: int | None) -> None:
        """An event has happened: it is on the disk when this returns, and on its way soon."""
        if not self._linked or not self._gate.lets(alert, print_ts, self._clock.now()):
            return
        note = Note(
            self._new_id(), alert.kind, alert.event_class, alert.title[:TITLE_LIMIT], alert.text[:TEXT_LIMIT],
            alert.at, print_ts,
        )  # fmt: skip
        _log.warning("%s: %s", note.title, note.text)
        self._outbox.append([note.to_entry()], lambda: self._store.save(GATE_KEY, self._gate.to_json()))
        self._toast(PrinterEventToast(note.title, note.text, note.event_class, note.kind))
        self._courier.submit(lambda: self._courier.shoot(note.id))
        self._not_before = min(self._not_before, self._clock.monotonic())

    def make_room(self) -> None:
        """The disk refuses events: their snapshots go."""
        self._courier.submit(self._courier.make_room)

    def connected(self) -> None:
        """The server is there (again)."""
        self._not_before = 0.0

    def due(self) -> float | None:
        """Monotonic seconds at which `poll` has something to do; None: not before something happens."""
        waits = self._linked and not self._under_way and self._outbox.by_http
        return self._not_before if waits else None

    def poll(self, now: float) -> None:
        """Sends the oldest event if it is time."""
        due = self.due()
        if due is None or now < due:
            return
        for entry in self._outbox.waiting(1, lane=Lane.HTTP):
            note = Note.of(entry)
            if note is None:
                self._outbox.remove((entry.id,))
            else:
                self._begin(note, now)

    def _begin(self, note: Note, now: float) -> None:
        if self._courier.submit(lambda: self._send(note)):
            self._under_way = True
        else:
            self._not_before = now + RETRY_FIRST

    def _send(self, note: Note) -> None:
        """On the snapshots worker."""
        delivery = Delivery(Outcome.FAILED, "a fault in the agent; see its log")
        try:
            delivery = self._courier.deliver(note)
        finally:
            self._run_soon(lambda: self._sent(note, delivery))

    def _sent(self, note: Note, delivery: Delivery) -> None:
        self._under_way = False
        if delivery.outcome is Outcome.FAILED:
            if not self._failures:
                level = logging.ERROR if delivery.needs_person else logging.WARNING
                _log.log(level, "events wait for the server, trying on: %s", delivery.reason)
            wait = min(RETRY_MOST, RETRY_FIRST * 2.0 ** min(self._failures, 10))
            self._failures += 1
            self._not_before = self._clock.monotonic() + max(wait, delivery.wait or 0.0)
            return
        if delivery.outcome is Outcome.UNWANTED:
            _log.error("the server does not want the event “%s”; it is dropped: %s", note.title, delivery.reason)
        elif self._failures:
            _log.info("the server takes events again")
        self._failures, self._not_before = 0, 0.0
        self._outbox.remove((note.id,))

"""The link to the server, thinking only: frames and ticks in, actions out; it owns no socket, no thread, no clock.

Rules (wire-protocol.md §3.1, extensions.md): the first retry comes within a second, then full jitter up to 30 s, and a
connection that proved stable resets that. 4321 means that another agent holds our token: stop, a person must act. A
ping goes every 20 s, and a peer that is silent after it for 15 s is dead: a pulled cable is noticed within 45 s.

Order on the wire after every (re)connect: unacknowledged print events, oldest first, then the newest status. Times
are monotonic seconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from agent_core.outbox import Entry
from agent_core.wire import messages as wire
from agent_core.wire.codec import WireError, decode_server_frame, encode

FIRST_DELAY = 1.0
LONGEST_DELAY = 30.0
STABLE_SECONDS = 10.0
"""A connection that lived so long was no accident: the next retry is again within a second."""

PING_SECONDS = 20.0
PONG_SECONDS = 15.0
CONNECT_SECONDS = 20.0
"""For TCP, TLS and upgrade together."""

REFUSED_DELAY = 300.0
"""After 401/403 the token is asked again this rarely: an archived printer may come back, a revoked token will not."""

DELIVERED_SECONDS = 30.0
"""Without event_ack an event counts as delivered when the connection outlived its writing by this."""

EVENTS_IN_FLIGHT = 20
EXTRAS_LIMIT = 100
"""Answers to commands and calls that wait for the link; the oldest go."""
EXTRAS_CHARACTERS = 4 * 1024 * 1024
"""And no more of their text: an answer to a call may be as long as a frame may be."""

FEED_LIMIT = 100
"""Lines of the printer's terminal that wait for the link; the oldest go, and it is said how many."""

UNWRITTEN_LIMIT = 8
"""Frames handed to the transport and not yet written: beyond it statuses wait, and only the newest survives."""


@dataclass(frozen=True, slots=True)
class Connect:
    pass


@dataclass(frozen=True, slots=True)
class Send:
    frame: str | bytes


@dataclass(frozen=True, slots=True)
class Ping:
    pass


@dataclass(frozen=True, slots=True)
class Disconnect:
    reason: str


Action = Connect | Send | Ping | Disconnect


class Refusal(Enum):
    """Why a connection could not be had, by what should be done."""

    RETRY = "retry"
    TOKEN = "token"  # noqa: S105 - a kind of refusal, no secret


class _Mode(Enum):
    WAITING = "waiting"
    CONNECTING = "connecting"
    OPEN = "open"
    STOPPED = "stopped"


class Session:
    """One agent's conversation with its server. Not thread-safe: the core thread owns it."""

    def __init__(
        self, waiting_events: Callable[[int, frozenset[str]], list[Entry]], uniform: Callable[[], float]
    ) -> None:
        self._waiting_events = waiting_events
        self._uniform = uniform
        self._mode = _Mode.WAITING
        self._retry_at = 0.0
        self._attempts = 0
        self._opened_at = 0.0
        self._deadline = 0.0
        self._heard_at = 0.0
        self._pinged_at: float | None = None
        self._unwritten = 0
        self._in_flight: dict[str, float] = {}
        self._extras: deque[wire.AgentOutgoing | str | bytes] = deque(maxlen=EXTRAS_LIMIT)
        self._feed: deque[wire.TerminalFeed] = deque()
        self._feed_lost = 0
        self._events_waiting = True
        self._bad_frames = 0
        self.server: wire.ServerInfo | None = None
        self.viewing = False
        self.should_watch = False

    # --- what the core asks ---------------------------------------------------------------------------------------

    @property
    def open(self) -> bool:
        return self._mode is _Mode.OPEN

    @property
    def stopped(self) -> bool:
        return self._mode is _Mode.STOPPED

    @property
    def ready_for_status(self) -> bool:
        """Whether a status may be sent now: it never overtakes an event, nor piles up behind a stuck socket."""
        return self.open and self._unwritten < UNWRITTEN_LIMIT and not self._events_waiting

    @property
    def all_written(self) -> bool:
        """Whether nothing is on its way or waits to be (a link that is not open writes nothing any more)."""
        return not self.open or not (self._unwritten or self._extras)

    def speaks(self, capability: wire.Capability) -> bool:
        return self.server is not None and capability in self.server.capabilities

    def deadline(self) -> float | None:
        """When `poll` wants to be called again at the latest."""
        match self._mode:
            case _Mode.STOPPED:
                return None
            case _Mode.WAITING:
                return self._retry_at
            case _Mode.CONNECTING:
                return self._deadline
        times = [self._dead_at() if self._pinged_at is not None else self._heard_at + PING_SECONDS]
        if self._in_flight and not self.speaks(wire.Capability.EVENT_ACK):
            times.append(min(self._in_flight.values()) + DELIVERED_SECONDS)
        return min(times)

    # --- what happens to it -----------------------------------------------------------------------------------------

    def poll(self, now: float) -> list[Action]:
        """Everything that is due now."""
        if self._mode is _Mode.WAITING and now >= self._retry_at:
            self._mode = _Mode.CONNECTING
            # The transport has its own time limit; this one guards against a transport that never answers.
            self._deadline = now + 2 * CONNECT_SECONDS
            return [Connect()]
        if self._mode is _Mode.CONNECTING and now >= self._deadline:
            self._wait(now)
            return [Disconnect("the connection could not be made in time")]
        if self._mode is not _Mode.OPEN:
            return []
        if self._pinged_at is not None and now >= self._dead_at():
            self._closed(now)
            return [Disconnect("the server does not answer: connection given up")]
        actions: list[Action] = []
        if self._pinged_at is None and now >= self._heard_at + PING_SECONDS:
            self._pinged_at = now
            actions.append(Ping())
        return actions + self._outgoing(now)

    def _dead_at(self) -> float:
        return (self._pinged_at or 0.0) + PONG_SECONDS

    def _outgoing(self, now: float) -> list[Action]:
        """Events first, then answers; as far as the transport keeps up."""
        frames: list[Action] = []
        room = UNWRITTEN_LIMIT - self._unwritten
        if self._events_waiting and room > 0:
            wanted = min(room, EVENTS_IN_FLIGHT - len(self._in_flight))
            entries = self._waiting_events(wanted, frozenset(self._in_flight)) if wanted > 0 else []
            for entry in entries:
                self._in_flight[entry.id] = now
                frames.append(Send(entry.frame))
            # More may wait than fitted: a status has to wait with them.
            self._events_waiting = len(entries) >= wanted
        while self._extras and len(frames) < room:
            extra = self._extras.popleft()
            if isinstance(extra, wire.CommandAck) and not self.speaks(wire.Capability.COMMAND_ACK):
                if self.server is None and now < self._opened_at + 1.0:
                    self._extras.appendleft(extra)  # the greeting, which tells what the server speaks, is on its way
                    break
                continue
            frames += self._encoded(extra)
        while self._feed and len(frames) < room:
            frames += self._encoded(self._next_line())
        self._unwritten += len(frames)
        return frames

    def _next_line(self) -> wire.TerminalFeed:
        lost, self._feed_lost = self._feed_lost, 0
        if lost:
            return wire.TerminalFeed(f"({lost} lines left out: the connection is slow)", self._feed[0].ts)
        return self._feed.popleft()

    def _encoded(self, message: wire.AgentOutgoing | str | bytes) -> list[Action]:
        if isinstance(message, (str, bytes)):
            return [Send(message)]
        try:
            return [Send(encode(message))]
        except WireError:
            # Foreign content (a passthru answer) that cannot be told: the caller is answered all the same.
            if isinstance(message, wire.PassthruReply):
                return [Send(encode(wire.PassthruReply(message.ref, error="the answer is too large")))]
            return []

    def status_frame(self, frame: str | bytes) -> Action:
        """Counts a status on its way; the core calls it when `ready_for_status`."""
        self._unwritten += 1
        return Send(frame)

    def events_added(self) -> None:
        """The outbox has something new."""
        self._events_waiting = True

    def offer(self, message: wire.AgentOutgoing | str | bytes) -> None:
        """An answer to a command or call, or its frame; kept over a short break of the link, bounded. A line of the
        terminal goes after everything else, or not at all."""
        if isinstance(message, wire.TerminalFeed):
            self._offer_line(message)
            return
        self._extras.append(message)
        while sum(len(frame) for frame in self._extras if isinstance(frame, (str, bytes))) > EXTRAS_CHARACTERS:
            self._extras.popleft()

    def _offer_line(self, line: wire.TerminalFeed) -> None:
        if not self.open:
            return  # whoever looked at it is gone
        self._feed.append(line)
        if len(self._feed) > FEED_LIMIT:
            self._feed.popleft()
            self._feed_lost += 1

    def on_open(self, now: float) -> None:
        self._mode = _Mode.OPEN
        self._opened_at = self._heard_at = now
        self._pinged_at = None
        self._unwritten = 0
        self._in_flight.clear()
        self._events_waiting = True
        self._bad_frames = 0
        self.server = None

    def on_frame(self, frame: str | bytes, now: float) -> tuple[wire.ServerMessage, ...]:
        """What the server says. Its bookkeeping is applied here; the caller gets all messages. Raises WireError,
        which harms nothing: the link stays."""
        self.on_alive(now)
        messages = decode_server_frame(frame)
        for message in messages:
            if isinstance(message, wire.ServerInfo):
                self.server = message
            elif isinstance(message, wire.RemoteStatus):
                self.viewing = self.viewing if message.viewing is None else message.viewing
                self.should_watch = self.should_watch if message.should_watch is None else message.should_watch
            elif isinstance(message, wire.EventsAcked):
                for ident in message.ids:
                    self._in_flight.pop(ident, None)
        return messages

    def on_alive(self, now: float) -> None:
        """Any sign of life: a frame, a ping, a pong."""
        self._heard_at = now
        self._pinged_at = None

    def on_written(self) -> None:
        """The transport has written one frame."""
        self._unwritten = max(0, self._unwritten - 1)

    def delivered_without_ack(self, now: float) -> tuple[str, ...]:
        """Events that count as delivered on a server without event_ack; forget them."""
        if not self.open or self.speaks(wire.Capability.EVENT_ACK) or now < self._opened_at + 1.0:
            return ()
        done = tuple(ident for ident, sent in self._in_flight.items() if now >= sent + DELIVERED_SECONDS)
        for ident in done:
            del self._in_flight[ident]
        return done

    def on_closed(self, code: int | None, now: float) -> None:
        """The connection is gone; 4321 ends the session."""
        if self._mode is not _Mode.OPEN:
            return
        self._closed(now)
        if code == wire.CLOSE_DUPLICATE:
            self.stop()

    def on_refused(self, refusal: Refusal, now: float) -> None:
        """The connection could not be made."""
        if self._mode is not _Mode.CONNECTING:
            return
        self._wait(now)
        if refusal is Refusal.TOKEN:
            self._retry_at = now + REFUSED_DELAY * (0.5 + 0.5 * self._uniform())

    def stop(self) -> None:
        """No further connection will be tried."""
        self._mode = _Mode.STOPPED

    def _closed(self, now: float) -> None:
        if now - self._opened_at >= STABLE_SECONDS:
            self._attempts = 0
        # What was on its way may be lost: it is sent again, and a server of ours applies it once.
        self._in_flight.clear()
        self._events_waiting = True
        self._unwritten = 0
        self._feed.clear()
        self._feed_lost = 0
        self.viewing = False
        self._wait(now)

    def _wait(self, now: float) -> None:
        """Full jitter: 0..1 s, 0..2 s, 0..4 s … 0..30 s."""
        span = min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(self._attempts, 10))
        self._attempts += 1
        self._mode = _Mode.WAITING
        self._retry_at = now + span * self._uniform()

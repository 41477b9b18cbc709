"""The line between one agent and the server, in simulated time: what the agent's Link is for real."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from agent_core.errors import AuthRefused, Unreachable
from agent_core.transport.websocket import Alive, Closed, FrameRead, LinkEvent, Opened, Refused, Written
from bench.chaos.clock import Time
from bench.chaos.served import Connection, Server

NONSENSE: tuple[str | bytes, ...] = (
    "", "{", "null", "[]", "7", '"text"', "\x00", b"\x05\x00\x00\x00\x00", b"\xff" * 40, '{"commands": 7}',
    '{"commands": [{"cmd": "explode", "id": "x"}]}', '{"commands": [null, {"args": []}]}',
    '{"ack": {"events": [1, null]}}',
    '{"ack": {"events": ["ffffffff-ffff-4fff-8fff-ffffffffffff"]}}', '{"ack": {"events": "all"}}', '{"ack": null}',
    '{"remote_status": {"viewing": "maybe", "should_watch": []}}', '{"remote_status": null}', '{"server": []}',
    '{"passthru": {"target": "_printer", "func": "explode", "ref": 1}}', '{"passthru": []}', '{"janus": {}}',
    '{"a": ' + "[" * 500 + "]" * 500 + "}",
)  # fmt: skip
"""What a server that lies, or something in between, may send."""


class State(Enum):
    UP = "up"
    DOWN = "down"  # connections are refused, and broken
    DEAD = "dead"  # a pulled cable: nothing arrives, and nobody is told


@dataclass
class _Frame:
    due: float
    frame: str | bytes


class Line:
    """Plays agent_core.transport.websocket.Link. `delay`: seconds that each frame takes, either way."""

    def __init__(self, server: Server, token: str, time: Time, chance: random.Random) -> None:
        self.state = State.UP
        self.delay = 0.0
        self.deaf = False
        """The server's frames are lost on their way, as if the connection broke just then."""
        self.lying = 0.0
        """The share of the server's frames that nonsense follows."""
        self.deliver: Callable[[LinkEvent], object] = lambda _event: None
        self.frames_up = self.frames_down = self.lies = 0
        self._server, self._token, self._time, self._chance = server, token, time, chance
        self._connection: Connection | None = None
        self._connecting = False
        self._up: deque[_Frame] = deque()
        self._down: deque[_Frame] = deque()
        self._pings: deque[float] = deque()

    # --- what the agent does with it ---

    def connect(self) -> None:
        self._drop()
        self._connecting = True

    def send(self, frame: str | bytes) -> None:
        if self._connection is not None:
            self._up.append(_Frame(self._time.seconds + self.delay, frame))

    def ping(self) -> None:
        if self._connection is not None and self.state is State.UP:
            self._pings.append(self._time.seconds + 2 * self.delay)

    def close(self) -> None:
        self._drop()

    # --- what happens to it ---

    def cut(self) -> None:
        """The connection breaks, and the agent is told."""
        if self._connection is not None:
            self._drop()
            self.deliver(Closed(None, "connection reset"))

    def agent_died(self) -> None:
        self._drop()
        self._connecting = False

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.hang_up()
            self._connection = None
        for waiting in (self._up, self._down):
            waiting.clear()
        self._pings.clear()

    def due(self) -> float | None:
        """When something arrives."""
        times = [queue[0].due for queue in (self._up, self._down) if queue]
        return min([*times, *self._pings], default=None)

    async def step(self) -> bool:
        """Moves what can be moved now; True if anything did."""
        if self._connecting:
            self._connecting = False
            await self._open()
            return True
        connection = self._connection
        if connection is None:
            return False
        if self.state is State.DEAD:
            written, self._up = len(self._up), deque()
            for _ in range(written):  # into the kernel's buffer, for all that the agent knows
                self.deliver(Written())
            return written > 0
        moved = await self._carry(connection)
        if connection.closed is not None and self._connection is connection and not self._down:
            self._drop()
            self.deliver(Closed(connection.closed, "closed by the server"))
            return True
        return moved

    async def _open(self) -> None:
        if self.state is State.DEAD:
            return  # the session itself gives up
        try:
            if self.state is State.DOWN:
                raise Unreachable("no route")
            connection = self._server.connect(self._token)
        except Unreachable as error:
            self.deliver(Refused(error))
            return
        await connection.settle()
        if not connection.accepted:
            self.deliver(Refused(AuthRefused("the server does not accept this token")))
            return
        self._connection = connection
        self.deliver(Opened())

    async def _carry(self, connection: Connection) -> bool:
        now, moved = self._time.seconds, False
        while self._up and self._up[0].due <= now:
            connection.put(self._up.popleft().frame)
            self.frames_up += 1
            self.deliver(Written())
            moved = True
        if moved:
            await connection.settle()
        while connection.out:
            frame = connection.out.popleft()
            if self.deaf:
                continue
            self._down.append(_Frame(now + self.delay, frame))
            if self._chance.random() < self.lying:
                self._down.append(_Frame(now + self.delay, self._chance.choice(NONSENSE)))
                self.lies += 1
        while self._down and self._down[0].due <= now:
            self.frames_down += 1
            self.deliver(FrameRead(self._down.popleft().frame))
            moved = True
        while self._pings and self._pings[0] <= now:
            self._pings.popleft()
            self.deliver(Alive())
            moved = True
        return moved

"""Calls of viewers, relayed by the server (wire-protocol.md §8): an allow-list, a bound, exactly one answer to each.

The desk belongs to the core thread and decides there; handlers run on threads that last as long as their call, so
nothing that a viewer asks for can hold up the core. Calls of one lane run one after the other in the order in which
they came: a heater that is switched on and off again stays off.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agent_core.errors import AgentError, Rejected
from agent_core.ports import Clock
from agent_core.wire.codec import WireError, encode
from agent_core.wire.messages import PassthruCall, PassthruReply

_log = logging.getLogger(__name__)

REMEMBERED = 100
"""The same call may arrive twice, by the socket and by the data channel: its `ref` tells."""

AT_ONCE = 4
"""Calls that run at the same time; URGENT ones have one place more, for them alone."""
WAITING = 16
"""Calls that wait for a place or for their lane; more are refused (URGENT ones after half as many again)."""

LONGEST_REF = 200
"""Characters of a `ref` that is remembered; clients' own have about 20."""
MOST_ERROR = 1000
"""Characters of an error that are told."""
MAX_REPLY = 1024 * 1024 - 1024
"""Characters of an answer: what a frame of the protocol holds (wire/codec.py), less what is around it."""

URGENT = "urgent"
"""The lane of what must not wait for anything: an emergency stop."""

UNSUPPORTED = "Request not supported."
"""How a refusal of an unknown call begins; clients know it (§8)."""

Handler = Callable[[PassthruCall], Any]
"""Gives what the caller gets as `ret` (JSON, or a frame cannot be made of it). Raises AgentError in words. Runs on a
thread of its own and may block, as long as what it waits for ends when the agent stops.
"""


def own_target(call: PassthruCall) -> str | None:
    """The lane of calls that nothing else is said of."""
    return call.target


@dataclass(frozen=True, slots=True)
class Route:
    """A handler and what the desk must know of it.

    `seconds`: from the call's arrival to its answer; clients give up after 60. `while_printing` False: refused while a
    print is under way (paused too) or a pause, resume or cancel of ours runs. `lane`: calls with the same one keep
    their order; None: none to keep. It is asked on the core thread: at once, and without ever raising.
    """

    handler: Handler
    seconds: float = 30.0
    while_printing: bool = True
    lane: Callable[[PassthruCall], str | None] = own_target


@dataclass(slots=True, eq=False)
class _Case:
    call: PassthruCall
    route: Route
    lane: str | None
    deadline: float
    running: bool = False
    answered: bool = False


@dataclass(slots=True)
class _Outcome:
    """What a handler's thread leaves behind; `frame` stays as it is where the handler has a bug."""

    frame: str | bytes | None = None
    error: str = "a fault in the agent, see its log"


class PassthruDesk:
    """Owned by the core thread: `take`, `poll`, `deadline` and `stop` are called there and return at once.

    `routes`: by `target.func`, or `target.*` for all of a target. `busy`: why the printer must be let alone just now,
    None if it need not. `tell` takes the answer's frame. `start` runs a task on a thread of its own; `run_soon` runs
    one on the core thread, from any thread.
    """

    def __init__(
        self,
        routes: Mapping[str, Handler | Route],
        clock: Clock,
        *,
        busy: Callable[[], str | None],
        tell: Callable[[str | bytes], None],
        start: Callable[[Callable[[], None]], None],
        run_soon: Callable[[Callable[[], None]], None],
    ) -> None:
        self._routes = {name: route if isinstance(route, Route) else Route(route) for name, route in routes.items()}
        self._clock = clock
        self._busy = busy
        self._tell = tell
        self._start = start
        self._run_soon = run_soon
        self._seen: deque[str] = deque(maxlen=REMEMBERED)
        self._cases: list[_Case] = []  # in the order they came; at most AT_ONCE + 1 + WAITING
        self._stopped = False

    @property
    def idle(self) -> bool:
        """Whether nobody waits for an answer. From any thread."""
        return not self._cases

    def take(self, call: PassthruCall) -> None:
        """Answers now or later, but a repeat not at all."""
        if call.ref is not None and len(call.ref) <= LONGEST_REF:
            if call.ref in self._seen:
                return
            self._seen.append(call.ref)
        route = self._routes.get(f"{call.target}.{call.func}") or self._routes.get(f"{call.target}.*")
        if route is None:
            self._refuse(call, f"{UNSUPPORTED} {call.target[:60]}.{call.func[:60]}")
        elif self._stopped:
            self._refuse(call, "the agent stops")
        else:
            self._admit(_Case(call, route, route.lane(call), self._clock.monotonic() + route.seconds))

    def poll(self) -> None:
        """Answers those whose time is over; what they still return is dropped."""
        now = self._clock.monotonic()
        for case in [case for case in self._cases if case.deadline <= now and not case.answered]:
            if case.running:
                limit = f"{case.route.seconds:g} s"
                self._answer(case, error=f"timed out: no answer within {limit}; it may still be carried out")
            else:
                self._cases.remove(case)
                self._answer(case, error="timed out: earlier calls are still under way; this one was not begun")

    def deadline(self) -> float | None:
        """Monotonic seconds at which `poll` is wanted at the latest."""
        return min((case.deadline for case in self._cases if not case.answered), default=None)

    def stop(self) -> None:
        """Answers everything that is waited for; later calls are refused."""
        self._stopped = True
        for case in self._cases:
            if not case.answered:
                self._answer(case, error="the agent stops" + ("; it may still be carried out" if case.running else ""))
        self._cases.clear()

    def _admit(self, case: _Case) -> None:
        waiting = sum(not other.running for other in self._cases)
        if waiting >= (WAITING * 3 // 2 if case.lane == URGENT else WAITING):
            self._refuse(case.call, "too many calls at once; try again")
            return
        self._cases.append(case)
        self._begin_what_can()

    def _begin_what_can(self) -> None:
        for case in [case for case in self._cases if not case.running]:
            if not self._has_place(case):
                continue
            why = None if case.route.while_printing else self._busy()
            if why is not None:
                self._cases.remove(case)
                self._answer(case, error=f"refused: {why}")
                continue
            case.running = True
            self._start(lambda case=case: self._run(case))  # type: ignore[misc]  # mypy: default argument of a lambda

    def _has_place(self, case: _Case) -> bool:
        running = [other for other in self._cases if other.running]
        if case.lane == URGENT:
            return sum(other.lane == URGENT for other in running) < 1
        if sum(other.lane != URGENT for other in running) >= AT_ONCE:
            return False
        if case.lane is None:
            return True
        before = self._cases[: self._cases.index(case)]
        return all(other.lane != case.lane for other in before)

    def _run(self, case: _Case) -> None:
        """On the call's own thread; a bug of the handler is logged there, by the worker."""
        outcome = _Outcome()
        try:
            value = case.route.handler(case.call)
            outcome.frame = _frame(PassthruReply(case.call.ref or "", ret=value))
        except AgentError as error:
            outcome.error = str(error)
        finally:
            self._run_soon(lambda: self._ended(case, outcome))

    def _ended(self, case: _Case, outcome: _Outcome) -> None:
        if case in self._cases:
            self._cases.remove(case)
        if not case.answered:
            if outcome.frame is not None:
                self._answer(case, frame=outcome.frame)
            else:
                self._answer(case, error=outcome.error)
        if not self._stopped:
            self._begin_what_can()

    def _refuse(self, call: PassthruCall, error: str) -> None:
        if call.ref is not None:
            self._tell(_error_frame(call.ref, error))

    def _answer(self, case: _Case, *, frame: str | bytes | None = None, error: str = "") -> None:
        case.answered = True
        if case.call.ref is None:
            if frame is None:
                _log.info("%s.%s, which nobody waits for: %s", case.call.target[:60], case.call.func[:60], error)
        else:
            self._tell(frame if frame is not None else _error_frame(case.call.ref, error))


def _error_frame(ref: str, error: str) -> str | bytes:
    return encode(PassthruReply(ref, error=error[:MOST_ERROR]))


def _frame(reply: PassthruReply) -> str | bytes:
    """Made on the call's thread: it may be long, and what it is made of may still be changed by its owner.

    Raises Rejected if there is none: too large, or no JSON.
    """
    try:
        frame = encode(reply)
    except WireError as error:
        raise Rejected(f"the answer cannot be sent: {error}") from None
    if len(frame) > MAX_REPLY:
        raise Rejected(f"the answer is too large ({len(frame)} characters, at most {MAX_REPLY})")
    return frame

"""Calls to Klipper for any thread, and its newest status: klipper_api.KlipperApi on the connection to Moonraker."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agent_core.errors import Unreachable
from agent_core.ports import Clock, Interrupt
from moonraker_obico.jsonrpc import Done, JsonRpc, Notification, Request, RpcError
from moonraker_obico.klipper_api import Abandoned, Objects

INTERRUPT_SECONDS = 0.25
_GONE = "the connection to Moonraker was lost before the answer"


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


class KlipperCalls:
    """Shared by the connection, which feeds it, and everybody who calls."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # Guards everything below and the Translator's status; held for a few dict operations, never during I/O.
        # Waiters on it are woken at each update of the status.
        self.changed = threading.Condition()
        self._rpc = JsonRpc()
        self._write: Callable[[str], None] | None = None
        self._status: Mapping[str, Mapping[str, Any]] | None = None
        self._snapshot: Objects | None = None
        self._updates = 0

    # --- for the connection -------------------------------------------------------------------------------------------

    @property
    def open(self) -> bool:
        return self._write is not None

    def opened(self, write: Callable[[str], None]) -> None:
        """`write` sends one frame, from any thread; it raises Unreachable."""
        with self.changed:
            self._rpc = JsonRpc()
            self._write = write

    def closed(self) -> None:
        """Whoever waits for an answer learns that none will come."""
        with self.changed:
            self._write = None
            waiting = self._rpc.fail_all()
            self.updated(None)
        for done in waiting:
            done(None, Unreachable(_GONE))

    def receive(self, frame: bytes) -> Notification | Request | None:
        """A notification, a call of ours, or None; an answer is handed to whoever waits for it."""
        with self.changed:
            message = self._rpc.receive(frame)
        if isinstance(message, (Notification, Request)):
            return message
        if message is not None:
            done, result, error = message
            done(result, error)
        return None

    def updated(self, status: Mapping[str, Mapping[str, Any]] | None) -> None:
        """The status changed (to be changed only while `changed` is held); None: it may be stale and is not given."""
        with self.changed:
            if status is None and self._status is None:
                return
            self._status, self._snapshot = status, None
            self._updates += 1
            self.changed.notify_all()

    def send(self, method: str, params: Mapping[str, Any] | None, done: Done) -> None:
        """Sends a call whose answer goes to `done`, on the reading thread. Raises Unreachable."""
        with self.changed:
            write = self._write
            if write is None:
                raise Unreachable("Moonraker is not reachable")
            frame = self._rpc.request(method, params, done)
        try:
            write(frame)
        except Unreachable:
            self._forget(done)
            raise

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
        self.send(method, params, take)
        deadline = None if timeout is None else self._clock.monotonic() + timeout
        while not waiter.done.wait(self._slice(deadline, interrupt)):
            if interrupt is not None and interrupt.is_set():
                self._forget(take)
                raise Abandoned(f"{method}: not waited for any longer ({interrupt.reason or 'interrupted'})")
            if deadline is not None and self._clock.monotonic() >= deadline:
                self._forget(take)
                raise Unreachable(f"Moonraker did not answer {method} within {timeout:g} s")
        if waiter.error is not None:
            raise waiter.error
        return waiter.result

    def objects(self) -> Objects:
        """See klipper_api.KlipperApi."""
        with self.changed:
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
            with self.changed:
                seen, snapshot = self._updates, self._objects()
            if predicate(snapshot):
                return True
            with self.changed:
                while self._updates == seen:
                    if interrupt is not None and interrupt.is_set():
                        return False
                    if deadline is not None and self._clock.monotonic() >= deadline:
                        return False
                    self.changed.wait(self._slice(deadline, interrupt))

    def _slice(self, deadline: float | None, interrupt: Interrupt | None) -> float | None:
        left = None if deadline is None else max(0.0, deadline - self._clock.monotonic())
        if interrupt is None:
            return left
        return INTERRUPT_SECONDS if left is None else min(left, INTERRUPT_SECONDS)

    def _objects(self) -> Objects:
        if self._status is None:
            return {}
        if self._snapshot is None:
            self._snapshot = {name: dict(fields) for name, fields in self._status.items()}
        return self._snapshot

    def _forget(self, done: Done) -> None:
        with self.changed:
            self._rpc.forget(done)

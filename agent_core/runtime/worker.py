"""A thread with a bounded inbox that can always be stopped: the only place where the agents start threads.

This module also holds the agents' one catch-all for worker code: a bug in one task must cost that task, neither the
thread nor the print. It is logged with the worker's name and traceback.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

_log = logging.getLogger(__name__)

Task = Callable[[], None]


class Worker:
    """Runs tasks in order on its own thread; between them, `tick` as often as it asks.

    `tick` (optional) is called when its time has come and returns the seconds until it wants to be called again, or
    None to wait for the next task. `stopping` is set when the worker should end: long tasks wait on it instead of
    sleeping. `on_stop` is called at once, on the caller's thread, to wake I/O that the thread blocks in.
    """

    def __init__(
        self,
        name: str,
        *,
        limit: int = 100,
        tick: Callable[[], float | None] | None = None,
        on_stop: Callable[[], None] | None = None,
    ) -> None:
        self.name = name
        self.stopping = threading.Event()
        self.dropped = 0
        self._limit = limit
        self._tick = tick
        self._on_stop = on_stop
        self._tasks: deque[Task] = deque()
        # Guards _tasks and wakes the thread; never held while a task or a tick runs.
        self._wake = threading.Condition()
        self._woken = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        thread = threading.Thread(target=self._run, name=f"obico-{self.name}", daemon=True)
        thread.start()
        self._thread = thread  # only now: nobody can wait for a thread that has not begun

    def submit(self, task: Task) -> bool:
        """Queues a task; never blocks. False (and counted in `dropped`) if the inbox is full or the worker stops."""
        with self._wake:
            if self.stopping.is_set() or len(self._tasks) >= self._limit:
                self.dropped += 1
                return False
            self._tasks.append(task)
            self._wake.notify()
            return True

    def wake(self) -> None:
        """Calls `tick` soon, whatever it asked for."""
        with self._wake:
            self._woken = True
            self._wake.notify()

    def stop(self) -> None:
        """Asks the thread to end after its current task; returns at once. Safe to call twice."""
        self.stopping.set()
        with self._wake:
            self._tasks.clear()
            self._wake.notify_all()
        if self._on_stop is not None:
            self._on_stop()

    def join(self, seconds: float) -> bool:
        """True if the thread has ended within `seconds` (or never started, or is the caller's own)."""
        thread = self._thread
        if thread is None or thread is threading.current_thread():
            return True
        thread.join(max(0.0, seconds))
        return not thread.is_alive()

    def _run(self) -> None:
        due: float | None = 0.0 if self._tick is not None else None
        while not self.stopping.is_set():
            task = self._next(due)
            if task is not None:
                self._guard(task)
                continue
            if self._tick is not None and not self.stopping.is_set():
                wait = self._guard_tick(self._tick)
                due = None if wait is None else time.monotonic() + wait

    def _next(self, due: float | None) -> Task | None:
        """The next task, or None when it is time for a tick (or to stop)."""
        with self._wake:
            while not self._woken and not self.stopping.is_set():
                wait = None if due is None else due - time.monotonic()
                if wait is not None and wait <= 0:
                    return None  # before waiting tasks: a busy inbox must not starve the tick
                if self._tasks:
                    break
                self._wake.wait(wait)
            if self._woken or self.stopping.is_set():
                self._woken = False
                return None
            return self._tasks.popleft()

    def _guard(self, task: Task) -> None:
        try:
            task()
        except Exception:
            _log.exception("worker %s: a task failed; the worker goes on", self.name)

    def _guard_tick(self, tick: Callable[[], float | None]) -> float | None:
        try:
            return tick()
        except Exception:
            _log.exception("worker %s: its tick failed; the worker goes on in 5 s", self.name)
            return 5.0


def call_later(name: str, seconds: float, task: Task) -> Worker:
    """A started worker that does `task` once, `seconds` from now, and ends; stopping it calls the task off."""
    waits = iter((seconds,))

    def tick() -> float | None:
        wait = next(waits, None)
        if wait is None:
            worker.stop()
            task()
        return wait

    worker = Worker(name, tick=tick)
    worker.start()
    return worker


def stop_all(workers: list[Worker], seconds: float) -> list[str]:
    """Signals all, then joins all in reverse order within `seconds`; the names of those that did not end in time."""
    for worker in workers:
        worker.stop()
    deadline = time.monotonic() + seconds
    return [worker.name for worker in reversed(workers) if not worker.join(deadline - time.monotonic())]

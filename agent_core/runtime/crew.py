"""Threads that are there only while there is work: an agent that nobody calls has none of them."""

from __future__ import annotations

import threading

from agent_core.runtime.worker import Task, Worker


class Crew:
    """Each task gets a thread, which ends with it. Who starts tasks bounds how many there are. Thread-safe."""

    def __init__(self, name: str) -> None:
        self._name = name
        # Guards the two below; held for a few instructions.
        self._lock = threading.Lock()
        self._workers: list[Worker] = []
        self._closed = False

    def start(self, task: Task) -> None:
        """Returns at once; after `close` nothing is begun any more."""
        worker = Worker(self._name, limit=1)

        def work() -> None:
            try:
                task()
            finally:
                worker.stop()

        with self._lock:
            if self._closed:
                return
            self._workers = [other for other in self._workers if not other.join(0.0)]
            self._workers.append(worker)
            worker.submit(work)
            worker.start()

    @property
    def workers(self) -> list[Worker]:
        """Those that may still be at work; a snapshot."""
        with self._lock:
            return list(self._workers)

    def close(self) -> list[Worker]:
        """Those that may still be at work, for their owner to wait for; no further one will begin."""
        with self._lock:
            self._closed = True
            return list(self._workers)

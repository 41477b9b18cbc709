"""Threads that are there only while there is work: an agent that nobody calls has none of them."""

from __future__ import annotations

from agent_core.runtime.worker import Task, Worker


class Crew:
    """Each task gets a thread, which ends with it. Who starts tasks bounds how many there are."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._workers: list[Worker] = []

    def start(self, task: Task) -> None:
        """Called by one thread at a time; returns at once."""
        worker = Worker(self._name, limit=1)

        def work() -> None:
            try:
                task()
            finally:
                worker.stop()

        self._workers = [other for other in self._workers if not other.join(0.0)]
        self._workers.append(worker)
        worker.submit(work)
        worker.start()

    @property
    def workers(self) -> list[Worker]:
        """Those that may still be at work; a snapshot, from any thread."""
        return list(self._workers)

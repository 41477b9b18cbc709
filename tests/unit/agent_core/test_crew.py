"""Threads for calls: one each, gone with the call, none after the end."""

from __future__ import annotations

import threading

from agent_core.runtime.crew import Crew

PATIENCE = 10.0


def test_each_task_has_a_thread_that_ends_with_it() -> None:
    crew, go_on, done = Crew("call"), threading.Event(), threading.Semaphore(0)

    def task() -> None:
        assert go_on.wait(PATIENCE)
        done.release()

    for _ in range(3):
        crew.start(task)
    go_on.set()
    assert all(done.acquire(timeout=PATIENCE) for _ in range(3))
    workers = crew.close()
    assert 1 <= len(workers) <= 3
    assert all(worker.join(PATIENCE) for worker in workers)
    crew.start(task)  # too late
    assert not done.acquire(timeout=0.05)
    assert crew.close() == workers


def test_those_that_have_ended_are_forgotten() -> None:
    crew = Crew("call")
    for _ in range(20):
        done = threading.Event()
        crew.start(done.set)
        assert done.wait(PATIENCE)
    assert len(crew.close()) < 20

"""The one place where threads are started: they run, survive a bug, and always end."""

from __future__ import annotations

import logging
import threading

import pytest

from agent_core.runtime.worker import Worker, call_later, stop_all

PATIENCE = 5.0


def test_tasks_run_in_order_on_one_thread() -> None:
    worker, seen, done = Worker("test"), [], threading.Event()
    worker.start()
    for number in range(5):
        assert worker.submit(lambda number=number: seen.append((number, threading.current_thread().name)))  # type: ignore[misc]
    worker.submit(done.set)
    assert done.wait(PATIENCE)
    assert seen == [(number, "obico-test") for number in range(5)]
    assert stop_all([worker], PATIENCE) == []


def test_a_full_inbox_refuses_and_counts() -> None:
    worker = Worker("test", limit=2)
    assert [worker.submit(lambda: None) for _ in range(4)] == [True, True, False, False]
    assert worker.dropped == 2


def bug() -> None:
    raise ValueError("bug")


def test_a_bug_costs_its_task_and_not_the_thread(caplog: pytest.LogCaptureFixture) -> None:
    worker, done = Worker("test"), threading.Event()
    worker.start()
    with caplog.at_level(logging.ERROR):
        worker.submit(bug)
        worker.submit(done.set)
        assert done.wait(PATIENCE)
    assert "worker test" in caplog.text
    assert stop_all([worker], PATIENCE) == []


def test_a_bug_in_the_tick_costs_five_seconds_at_most_and_wake_ends_the_wait(caplog: pytest.LogCaptureFixture) -> None:
    calls, twice = [], threading.Event()

    def tick() -> float | None:
        calls.append(1)
        if len(calls) == 2:
            twice.set()
        raise ValueError("bug")

    worker = Worker("test", tick=tick)
    with caplog.at_level(logging.ERROR):
        worker.start()
        while not calls:
            worker.wake()
        worker.wake()
        assert twice.wait(PATIENCE)
    assert "its tick failed" in caplog.text
    assert stop_all([worker], PATIENCE) == []


def test_ticks_come_when_asked_for_and_a_busy_inbox_does_not_starve_them() -> None:
    ticked = threading.Event()
    count = [0]

    def tick() -> float | None:
        count[0] += 1
        if count[0] == 3:
            ticked.set()
        return 0.001

    worker = Worker("test", tick=tick)

    def again() -> None:
        if not ticked.is_set():
            worker.submit(again)

    worker.submit(again)
    worker.start()
    assert ticked.wait(PATIENCE)
    assert stop_all([worker], PATIENCE) == []


def test_a_tick_that_wants_no_more_waits_for_wake() -> None:
    ticks = threading.Semaphore(0)

    def tick() -> float | None:
        ticks.release()
        return None

    worker = Worker("test", tick=tick)
    worker.start()
    assert ticks.acquire(timeout=PATIENCE)
    assert not ticks.acquire(timeout=0.05)
    worker.wake()
    assert ticks.acquire(timeout=PATIENCE)
    assert stop_all([worker], PATIENCE) == []


def test_stop_wakes_long_waits_drops_the_queue_and_refuses_more() -> None:
    worker, started, ended = Worker("test"), threading.Event(), threading.Event()

    def task() -> None:
        started.set()
        worker.stopping.wait(60)
        ended.set()

    never = threading.Event()
    worker.submit(task)
    worker.submit(never.set)
    worker.start()
    assert started.wait(PATIENCE)
    assert stop_all([worker], PATIENCE) == []
    assert ended.is_set()
    assert not never.is_set()
    assert not worker.submit(lambda: None)


def test_stop_calls_on_stop_and_names_the_stragglers() -> None:
    release, started, told = threading.Event(), threading.Event(), threading.Event()
    stuck = Worker("stuck", on_stop=told.set)

    def block() -> None:
        started.set()
        release.wait(60)

    stuck.submit(block)
    stuck.start()
    assert started.wait(PATIENCE)
    assert stop_all([stuck, Worker("never started")], 0.05) == ["stuck"]
    assert told.is_set()
    release.set()
    assert stuck.join(PATIENCE)


def test_a_worker_may_stop_itself() -> None:
    worker, result, done = Worker("test"), [], threading.Event()

    def task() -> None:
        result.extend(stop_all([worker], 1.0))
        done.set()

    worker.submit(task)
    worker.start()
    assert done.wait(PATIENCE)
    assert result == []
    assert worker.join(PATIENCE)


def test_a_late_call_is_made_once_and_its_thread_ends() -> None:
    calls: list[str] = []
    worker = call_later("late", 0.01, lambda: calls.append(threading.current_thread().name))
    assert worker.join(PATIENCE)
    assert calls == ["obico-late"]


def test_a_late_call_can_be_called_off() -> None:
    calls: list[int] = []
    worker = call_later("late", 60.0, lambda: calls.append(1))
    assert stop_all([worker], PATIENCE) == []
    assert calls == []

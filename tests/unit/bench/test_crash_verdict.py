"""A crash test is worth what its judge sees."""

from __future__ import annotations

from typing import Any

import pytest

from bench.crash.receiver import Told
from bench.crash.verdict import Event, Verdict, judge

PERMIT, BEGAN = "2026-01-01T00:00:10.500Z", 1767225611.0


def _job(*attempts: dict[str, Any], status: str = "completed", copies: int = 1) -> dict[str, Any]:
    states = [attempt["state"] for attempt in attempts]
    counts = {state: states.count(state) for state in ("completed", "failed", "cancelled")}
    return {"name": "job 1", "status": status, "copies": copies, "counts": counts, "attempts": list(attempts)}


def _attempt(ident: str = "att_1", state: str = "completed", copy: int = 1, **more: Any) -> dict[str, Any]:
    permitted = {"permitted_at": PERMIT}
    return {"id": ident, "copy": copy, "printer_id": "prt_1", "state": state, "reason": "x", **permitted, **more}


def _print(began: float = BEGAN, outcome: str = "completed", content: str = "job 1", **more: Any) -> dict[str, Any]:
    return {"content": content, "began": began, "outcome": outcome, "on_part": False, **more}


def _judge(job: dict[str, Any], *prints: dict[str, Any]) -> Verdict:
    return judge([job], {"Sim-01": "prt_1"}, [{"name": "Sim-01", "prints": list(prints)}], [], [])


def test_all_is_well() -> None:
    job = _job(_attempt("att_0", "returned", permitted_at=None), _attempt(), _attempt("att_2", "failed", 2), copies=2)
    verdict = _judge(job, _print())
    assert (verdict.faults, verdict.copies, verdict.printed, verdict.failed, verdict.unseen) == ([], 2, 1, 1, 0)


def test_a_part_that_the_server_does_not_know_of_is_counted() -> None:
    assert _judge(_job(_attempt(state="failed"), status="failed"), _print()).unseen == 1


@pytest.mark.parametrize(
    ("fault", "job", "prints"),
    [
        ("job 1 is queued", _job(status="queued"), []),
        ("it was not printed", _job(_attempt()), []),
        ("it was not printed", _job(_attempt()), [_print(outcome="error")]),
        ("copy 1 was begun 2 times", _job(_attempt()), [_print(), _print(BEGAN + 9)]),
        ("copy 1 was begun 2 times",
         _job(_attempt("att_0", "failed"), _attempt(permitted_at="2026-01-01T00:00:20.000Z")),
         [_print(), _print(BEGAN + 10)]),
        ("without a permit", _job(_attempt(permitted_at=None)), [_print()]),
        ("without a permit", _job(_attempt()), [_print(BEGAN - 60)]),
        ("returned, though it was begun", _job(_attempt("att_0", "returned"), status="completed"), [_print()]),
        ("over another part", _job(_attempt()), [_print(on_part=True)]),
        ("job 2 was printed, and is no job", _job(_attempt()), [_print(), _print(content="job 2")]),
    ],
)  # fmt: skip
def test_what_must_not_be(fault: str, job: dict[str, Any], prints: list[dict[str, Any]]) -> None:
    assert any(fault in found for found in _judge(job, *prints).faults)


EVENTS = [Event("evt_1", "job.created", "job_1"), Event("evt_2", "job.created", "job_2"),
          Event("evt_3", "job.started", "job_1")]  # fmt: skip


def _told(number: int, *, accepted: bool = True, signed: bool = True, body: bytes = b"x") -> Told:
    event = EVENTS[number - 1] if number <= len(EVENTS) else Event("evt_9", "job.started", "job_9")
    return Told(event.id, event.name, event.object_id, body, accepted, signed)


def test_told_again_and_refused_at_first_is_well() -> None:
    told = [_told(2), _told(1, accepted=False), _told(1), _told(1), _told(3)]
    verdict = judge([], {}, [], EVENTS, told)
    assert (verdict.faults, verdict.told, verdict.refused, verdict.repeats) == ([], 5, 1, 1)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("job.started of job_1 was never told", [_told(1), _told(2), _told(3, accepted=False)]),
        ("job.created of job_1 was told after a later one", [_told(3), _told(1), _told(2)]),
        ("in other words", [_told(1), _told(1, body=b"y"), _told(2), _told(3)]),
        ("was not signed rightly", [_told(1, signed=False), _told(2), _told(3)]),
        ("is no event", [_told(1), _told(2), _told(3), _told(4)]),
    ],
)
def test_hooks_that_must_not_be(fault: str, told: list[Told]) -> None:
    found = judge([], {}, [], EVENTS, told).faults
    assert len(found) == 1
    assert fault in found[0]

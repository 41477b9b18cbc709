"""The desk for viewers' calls, turned by hand: what is on the list, in which order, and one answer to each."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from agent_core import passthru as module
from agent_core.errors import AgentError
from agent_core.passthru import URGENT, Handler, PassthruDesk, Route
from agent_core.wire.messages import PassthruCall
from tests.fakes.clock import FakeClock

Task = Callable[[], None]


class Bench:
    """`threads`: calls that were begun and not yet run; `run` plays the oldest, as its own thread would."""

    def __init__(self, routes: Mapping[str, Handler | Route]) -> None:
        self.clock = FakeClock()
        self.threads: list[Task] = []
        self.busy: str | None = None
        self.answers: list[dict[str, Any]] = []
        self.desk = PassthruDesk(
            routes,
            self.clock,
            busy=lambda: self.busy,
            tell=lambda frame: self.answers.append(json.loads(frame)["passthru"]),
            start=self.threads.append,
            run_soon=lambda task: task(),
        )

    def call(self, name: str, ref: str | None, *args: Any) -> None:
        target, _, func = name.partition(".")
        self.desk.take(PassthruCall(target, func, args, ref=ref))

    def run(self) -> None:
        self.threads.pop(0)()

    @property
    def refs(self) -> list[str]:
        return [answer["ref"] for answer in self.answers]


def broken(_: PassthruCall) -> Any:
    raise AgentError("no such axis")


def test_a_call_is_always_answered_and_once() -> None:
    bench = Bench({"_printer.home": lambda call: list(call.args), "_printer.jog": broken})
    bench.call("_printer.home", "1", "z")
    assert bench.answers == []  # not on the core thread
    bench.run()
    bench.call("_printer.jog", "2")
    bench.run()
    bench.call("_printer.__class__", "3")
    bench.call("nobody.knows", "4")
    for _ in range(2):
        bench.call("_printer.home", "1", "z")
    assert bench.answers == [
        {"ref": "1", "ret": ["z"]},
        {"ref": "2", "error": "no such axis"},
        {"ref": "3", "error": "Request not supported. _printer.__class__"},
        {"ref": "4", "error": "Request not supported. nobody.knows"},
    ]
    assert not bench.threads
    assert bench.desk.idle


def test_without_ref_a_call_is_carried_out_and_not_answered() -> None:
    ran: list[PassthruCall] = []
    bench = Bench({"_printer.home": ran.append, "_printer.jog": broken})
    for name in ("_printer.home", "_printer.home", "_printer.jog", "_printer.nothing"):
        bench.call(name, None)
    while bench.threads:
        bench.run()
    assert len(ran) == 2
    assert bench.answers == []


def test_a_hundred_refs_are_remembered_and_no_endless_ones() -> None:
    bench = Bench({})
    for number in range(module.REMEMBERED + 1):
        bench.call("a.b", str(number))
    bench.call("a.b", "1")
    assert len(bench.answers) == module.REMEMBERED + 1
    bench.call("a.b", "0")
    bench.call("a.b", "x" * 10_000)
    assert len(bench.answers) == module.REMEMBERED + 3
    assert max(map(len, bench.desk._seen)) < 10


def test_calls_of_a_lane_keep_their_order_and_others_run_beside_them() -> None:
    free = Route(lambda _: "free", lane=lambda _: None)
    bench = Bench({"heat.set": lambda call: call.args[0], "files.list": lambda _: "files", "free.*": free})
    bench.call("heat.set", "on", 200)
    bench.call("heat.set", "off", 0)
    bench.call("files.list", "list")
    bench.call("free.one", "f1")
    bench.call("free.two", "f2")
    assert len(bench.threads) == 4  # not the second of `heat`
    bench.threads.reverse()
    for _ in range(4):
        bench.run()
    assert bench.refs == ["f2", "f1", "list", "on"]
    bench.run()
    assert bench.answers[-1] == {"ref": "off", "ret": 0}


def test_four_at_once_sixteen_wait_and_the_next_is_refused() -> None:
    bench = Bench({"a.*": Route(lambda _: 1, lane=lambda _: None)})
    for number in range(21):
        bench.call("a.b", str(number))
    assert len(bench.threads) == module.AT_ONCE
    assert bench.answers == [{"ref": "20", "error": "too many calls at once; try again"}]
    while bench.threads:
        assert len(bench.threads) <= module.AT_ONCE
        bench.run()
    assert sorted(bench.refs, key=int) == [str(number) for number in range(21)]


def test_an_emergency_does_not_wait_but_is_bounded_too() -> None:
    stop = Route(lambda _: 2, lane=lambda _: URGENT)
    bench = Bench({"a.*": Route(lambda _: 1, lane=lambda _: None), "stop.now": stop})
    for number in range(30):
        bench.call("a.b", f"a{number}")
    threads = len(bench.threads)
    bench.call("stop.now", "now")
    assert len(bench.threads) == threads + 1
    bench.threads.pop()()
    assert bench.answers[-1] == {"ref": "now", "ret": 2}
    for number in range(30):
        bench.call("stop.now", f"s{number}")
    assert len(bench.threads) == threads + 1
    assert bench.answers[-1]["error"].startswith("too many calls")


def test_what_takes_too_long_is_answered_and_its_late_result_dropped() -> None:
    bench = Bench({"a.b": Route(lambda _: "late", seconds=5.0)})
    bench.call("a.b", "1")
    bench.clock.advance(1.0)
    bench.call("a.b", "2")
    assert bench.desk.deadline() == bench.clock.monotonic() + 4.0
    bench.clock.advance(4.0)
    bench.desk.poll()
    bench.desk.poll()
    assert bench.answers == [{"ref": "1", "error": "timed out: no answer within 5 s; it may still be carried out"}]
    bench.clock.advance(1.0)
    bench.desk.poll()  # the second waited behind the first: a call is not begun after its caller was told
    assert bench.answers[1:] == [
        {"ref": "2", "error": "timed out: earlier calls are still under way; this one was not begun"}
    ]
    assert bench.desk.deadline() is None
    bench.call("a.b", "3")
    assert len(bench.threads) == 1  # the lane is still taken
    bench.run()
    bench.run()
    assert bench.answers[2:] == [{"ref": "3", "ret": "late"}]


def test_while_a_print_is_under_way_what_would_harm_it_is_refused() -> None:
    bench = Bench({"p.jog": Route(lambda _: None, while_printing=False), "p.heat": lambda _: None})
    bench.busy = "a print is under way"
    bench.call("p.jog", "1")
    bench.call("p.heat", "2")
    bench.call("p.jog", "3")  # waits, and is judged when its turn has come
    bench.busy = None
    bench.run()
    bench.run()
    assert bench.answers == [
        {"ref": "1", "error": "refused: a print is under way"}, {"ref": "2", "ret": None}, {"ref": "3", "ret": None},
    ]  # fmt: skip


def test_stopping_answers_everybody() -> None:
    bench = Bench({"a.b": lambda _: 1})
    bench.call("a.b", "1")
    bench.call("a.b", "2")
    bench.desk.stop()
    bench.run()
    bench.call("a.b", "3")
    assert bench.answers == [
        {"ref": "1", "error": "the agent stops; it may still be carried out"},
        {"ref": "2", "error": "the agent stops"},
        {"ref": "3", "error": "the agent stops"},
    ]
    assert not bench.threads


def test_a_bug_is_answered_and_left_to_the_worker_to_log() -> None:
    bench = Bench({"a.b": lambda call: call.args[7]})
    bench.call("a.b", "1")
    with pytest.raises(IndexError):
        bench.run()
    assert bench.answers == [{"ref": "1", "error": "a fault in the agent, see its log"}]
    assert bench.desk.idle


@pytest.mark.parametrize(
    ("value", "words"),
    [("x" * module.MAX_REPLY, "too large"), (float("nan"), "cannot be sent"), ({("a", 1): 2}, "cannot be sent")],
)
def test_what_no_frame_can_hold_is_said_so(value: Any, words: str) -> None:
    bench = Bench({"a.b": lambda _: value})
    bench.call("a.b", "1")
    bench.run()
    assert words in bench.answers[0]["error"]
    assert len(bench.answers[0]["error"]) <= module.MOST_ERROR

"""The terminal feed: only while watched and switched on, never faster than a link can take."""

from __future__ import annotations

from typing import Any

import pytest

from agent_core.errors import Rejected
from agent_core.features import terminal as module
from agent_core.features.terminal import Terminal
from agent_core.wire.messages import PassthruCall
from tests.fakes.clock import FakeClock


class Bench:
    def __init__(self, *, on: bool) -> None:
        self.clock = FakeClock()
        self.lines: list[str] = []
        self.terminal = Terminal(self.clock, lambda feed: self.lines.append(feed.msg), on=on)

    def toggle(self, *args: Any) -> bool:
        route = self.terminal.routes()["gcode_hooks.toggle_terminal_feed"]
        return bool(route.handler(PassthruCall("gcode_hooks", "toggle_terminal_feed", args)))


def test_lines_go_out_only_while_watched_and_switched_on() -> None:
    bench = Bench(on=False)
    bench.terminal.line("nobody")
    bench.terminal.watched(True)
    bench.terminal.line("not switched on")
    assert bench.toggle("get") is False
    assert bench.toggle("on") is True
    bench.terminal.line("Send: M105")
    bench.terminal.watched(False)
    bench.terminal.line("nobody")
    assert not bench.terminal.live
    bench.terminal.watched(True)  # a page that is loaded again finds it as it was
    bench.terminal.line("Recv: ok")
    assert bench.toggle("off") is False
    assert bench.toggle() is False
    bench.terminal.line("switched off")
    assert bench.lines == ["Send: M105", "Recv: ok"]


def test_where_clients_know_no_switch_it_is_on_at_first_and_after_a_while_alone_again() -> None:
    bench = Bench(on=True)
    bench.terminal.watched(True)
    assert bench.toggle("get") is True
    bench.toggle("off")
    bench.terminal.watched(False)
    bench.clock.advance(module.FORGET_SECONDS + 1)
    bench.terminal.watched(True)
    bench.terminal.line("ok")
    assert bench.lines == ["ok"]


@pytest.mark.parametrize("args", [["explode"], [None], [True], ["on", "off"], [["on"]]])
def test_other_words_switch_nothing(args: list[Any]) -> None:
    with pytest.raises(Rejected, match="switched on or off"):
        Bench(on=True).toggle(*args)


def test_what_comes_too_fast_is_counted_and_said() -> None:
    bench = Bench(on=True)
    bench.terminal.watched(True)
    for number in range(1000):
        bench.terminal.line(str(number))
    assert len(bench.lines) == module.BURST
    bench.clock.advance(0.5)
    bench.terminal.line("later")
    assert bench.lines[-2:] == ["(900 lines left out)", "later"]
    for _ in range(100):
        bench.clock.advance(1.0 / module.LINES_PER_SECOND)
        bench.terminal.line("steady")
    assert bench.lines.count("steady") == 100


def test_lines_are_bounded_printable_and_without_passwords() -> None:
    bench = Bench(on=True)
    bench.terminal.watched(True)
    for line in ("x" * 2000, "a\x1b[2J\nb\tc ", 'Send: M587 S"home" P"geheim"', "Recv: M5870"):
        bench.terminal.line(line)
    assert bench.lines == ["x" * 500 + " … (2000 characters)", "a [2J b\tc", "Send: M587 ***", "Recv: M5870"]

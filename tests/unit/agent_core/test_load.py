"""When the machine counts as short, and for how long."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_core.config import PictureRules
from agent_core.features.load import (
    CALM_SECONDS,
    Backoff,
    HostLoad,
    LoadKeeper,
    Shortage,
    judged,
    read_host,
    shortage,
)


@pytest.mark.parametrize(
    ("load", "expected", "why"),
    [
        (HostLoad(), Shortage.NONE, ""),
        (HostLoad(1.4, 70, 30, 5), Shortage.NONE, ""),
        (HostLoad(load=1.6), Shortage.SHORT, "load 1.6 for each core"),
        (HostLoad(load=4), Shortage.VERY_SHORT, "load 4.0 for each core"),
        (HostLoad(memory=50), Shortage.SHORT, "50 MB of memory left"),
        (HostLoad(load=1.6, memory=10), Shortage.VERY_SHORT, "10 MB of memory left"),
        (HostLoad(waiting=50), Shortage.SHORT, "programs wait 50 % of the time"),
        (HostLoad(stalled=31), Shortage.VERY_SHORT, "memory holds programs up 31 % of the time"),
    ],
)
def test_shortage(load: HostLoad, expected: Shortage, why: str) -> None:
    assert shortage(load) == (expected, why)


def test_worse_counts_at_once_and_better_step_by_step() -> None:
    state = judged(Backoff(), HostLoad(load=4), 0.0)
    assert state.shortage is Shortage.VERY_SHORT
    for now in range(10, 100, 10):  # neither short nor calm: as it is
        state = judged(state, HostLoad(load=1.2), float(now))
    assert state.shortage is Shortage.VERY_SHORT
    steps = []
    for now in range(100, 300, 10):
        state = judged(state, HostLoad(load=0.2), float(now))
        steps.append(state.shortage)
    assert steps.index(Shortage.SHORT) * 10 == CALM_SECONDS
    assert steps.index(Shortage.NONE) * 10 == 2 * CALM_SECONDS
    assert state.why == ""


def test_a_load_that_goes_up_and_down_is_not_followed() -> None:
    state = Backoff()
    seen = set()
    for turn in range(100):
        state = judged(state, HostLoad(load=2.0 if turn % 4 == 0 else 0.1), turn * 10.0)
        seen.add(state.shortage)
    assert seen == {Shortage.SHORT}


def test_the_change_is_logged_once_each_way(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    load = HostLoad(load=2.0)
    keeper = LoadKeeper(PictureRules(), lambda: load)
    for now in range(0, 100, 10):
        assert keeper.factor(True, float(now)) == 3.0
    load = HostLoad(load=0.1)
    for now in range(100, 300, 10):
        keeper.factor(True, float(now))
    assert [record.message for record in caplog.records] == [
        "pictures come 3 times as rarely, for the print's sake: load 2.0 for each core",
        "this machine has time again; pictures come as usual",
    ]
    assert LoadKeeper(PictureRules(back_off=False), lambda: HostLoad(load=9)).factor(True, 0.0) == 1.0


def test_the_machine_is_read(tmp_path: Path) -> None:
    assert read_host(tmp_path) == HostLoad()
    (tmp_path / "loadavg").write_text("64.00 1 1 1/1 1\n")
    (tmp_path / "meminfo").write_text("MemTotal: 4096 kB\nMemAvailable: 2048 kB\n")
    (tmp_path / "pressure").mkdir()
    (tmp_path / "pressure" / "cpu").write_text("some avg10=12.50 avg60=0.00 avg300=0.00 total=0\n")
    (tmp_path / "pressure" / "memory").write_text("rubbish\n")
    found = read_host(tmp_path)
    assert found.load is not None
    assert 0 < found.load <= 64
    assert (found.memory, found.waiting, found.stalled) == (2.0, 12.5, None)
    real = read_host()
    assert real.load is not None
    assert real.memory is not None

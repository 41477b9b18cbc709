"""Half a day of chaos: bench/chaos finds nothing wrong, and would find it (`make chaos` plays a week)."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.chaos.week import Verdict, run
from reference_server.store.print_repositories import SqlEvents

pytestmark = pytest.mark.timeout(400)  # a busy machine takes its time; a quiet one ten seconds


def part_of_a_day(folder: Path, seed: int, days: float) -> Verdict:
    return run(folder, seed, days, 300.0, lambda _text: None)


def test_half_a_day_of_chaos_and_the_history_is_true(tmp_path: Path) -> None:
    verdict = part_of_a_day(tmp_path, 2, 0.5)
    assert verdict.faults == []
    assert verdict.prints > 10
    assert verdict.events > 2 * verdict.prints
    assert len(verdict.happened) > 8


def test_a_server_that_forgets_what_it_was_told_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SqlEvents, "is_applied", lambda *_: False)
    monkeypatch.setattr(SqlEvents, "mark_applied", lambda *_: None)
    # An acknowledgement has to be lost just when something happened: about every second time.
    assert any(part_of_a_day(tmp_path / str(seed), seed, 0.35).doubled for seed in range(9, 19))

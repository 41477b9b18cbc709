"""A day of chaos: bench/chaos finds nothing wrong, and would find it (`make chaos` plays a week)."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.chaos.week import Verdict, run
from reference_server.store.print_repositories import SqlEvents

SEED = 2
"""A day on which acknowledgements are lost just when something happened."""


def day(folder: Path) -> Verdict:
    return run(folder, SEED, 1.0, 300.0, lambda _text: None)


@pytest.mark.timeout(400)  # a busy machine takes its time; a quiet one ten seconds
def test_a_day_of_chaos_and_the_history_is_true(tmp_path: Path) -> None:
    verdict = day(tmp_path)
    assert verdict.faults == []
    assert verdict.prints > 20
    assert verdict.events > 2 * verdict.prints
    assert len(verdict.happened) > 10


@pytest.mark.timeout(400)
def test_a_server_that_forgets_what_it_was_told_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SqlEvents, "is_applied", lambda *_: False)
    monkeypatch.setattr(SqlEvents, "mark_applied", lambda *_: None)
    assert day(tmp_path).doubled

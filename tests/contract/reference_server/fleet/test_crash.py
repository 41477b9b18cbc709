"""Server and agents killed with -9 while a queue is printed: a few kills of bench/crash (`make crash` makes 300)."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from bench.crash.run import Options, run

pytestmark = pytest.mark.timeout(400)  # a busy machine takes its time; a quiet one six seconds


def test_killed_at_random_moments_each_copy_is_printed_once(tmp_path: Path) -> None:
    seed = int(os.environ.get("CRASH_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
    print(f"CRASH_SEED={seed}")
    options = Options(
        seed,
        kills=4,
        jobs=4,
        printers=3,
        longest=1.2,
        most_copies=1,
        pause=0.3,
        server_share=3,
        refuses=0,
        slow=0.0,
        limit=300,
    )
    outcome = run(tmp_path, options, lambda _text: None)
    verdict = outcome.verdict
    assert verdict.faults == [], f"seed {seed}"
    assert sum(outcome.kills.values()) == 4
    assert verdict.printed + verdict.failed == verdict.copies >= 4
    assert verdict.told >= verdict.events >= 8

"""Every row of seed 004 has a test, and docs/fleet-coverage.md says which."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.covers import covers_fleet

ROOT = Path(__file__).parent.parent.parent.parent


def test_every_row_has_a_test_and_the_page_is_up_to_date() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "fleet_coverage.py"), "--check"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert found.returncode == 0, found.stderr


def test_the_seed_is_read_whole() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "fleet_coverage.py"), "--list"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=30).stdout
    names = [line[2:] for line in found.splitlines()]
    assert len(names) == len(set(names)) == 171
    assert {"POST /v1/printers/{id}/actions", "Job.material.estimated_usage", "event printer.error"} <= set(names)
    assert {"GET /v1/jobs ?priority=urgent", "error file_invalid", "list ?per_page max 100"} <= set(names)


def test_the_mark_leaves_a_test_as_it_is() -> None:
    def some_test() -> None: ...

    assert covers_fleet("Printer.id")(some_test) is some_test

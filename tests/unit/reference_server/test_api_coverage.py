"""Every row of the API documents has a test, and docs/api-coverage.md says which."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.covers import covers

ROOT = Path(__file__).parent.parent.parent.parent


def test_every_row_has_a_test_and_the_page_is_up_to_date() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "api_coverage.py"), "--check"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert found.returncode == 0, found.stderr


def test_the_mark_leaves_a_test_as_it_is() -> None:
    def some_test() -> None: ...

    assert covers("Print.id")(some_test) is some_test

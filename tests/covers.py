"""Says which rows of docs/api-coverage.md or docs/fleet-coverage.md a test stands for; scripts/api_coverage.py and
scripts/fleet_coverage.py read it from the text."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Test = TypeVar("Test", bound=Callable[..., object])


def covers(*rows: str) -> Callable[[Test], Test]:
    """Rows as the script names them; `Print.{id,printer}` stands for two."""

    def unchanged(test: Test) -> Test:
        return test

    assert rows
    return unchanged


def covers_fleet(*rows: str) -> Callable[[Test], Test]:
    """Rows of seed 004 as `python scripts/fleet_coverage.py --list` names them; `Printer.{id,name}` stands for two."""
    return covers(*rows)

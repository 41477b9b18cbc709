"""docs/features.md has every row, and every test that it names exists."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parent.parent.parent / "scripts" / "features.py"


@pytest.fixture(scope="module")
def features() -> ModuleType:
    spec = importlib.util.spec_from_file_location("features_page", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["features_page"] = module  # a dataclass looks its module up there
    spec.loader.exec_module(module)
    return module


def test_the_page_is_whole(features: ModuleType) -> None:
    faults, missing = features.check(features.PAGE.read_text(encoding="utf-8"))
    assert not faults
    assert not missing


@pytest.mark.parametrize(
    ("row", "word"),
    [
        ("| a | OctoPrint |  |", "is no row"),
        ("| a | Prusa | missing |", "is no row"),
        ("| a | Klipper | by hand |", "is no test"),
        ("| a | Klipper | `unit/test_nowhere.py::test_x` |", "there is no file"),
        ("| a | Klipper | `unit/test_features_page.py::test_nothing` |", "has no test test_nothing"),
    ],
)
def test_what_the_check_finds(features: ModuleType, row: str, word: str) -> None:
    page = features.PAGE.read_text(encoding="utf-8")
    assert any(word in fault for fault in features.check(page + row + "\n")[0])


def test_a_row_cannot_be_left_out_nor_stand_twice(features: ModuleType) -> None:
    page = features.PAGE.read_text(encoding="utf-8")
    row = next(line for line in page.splitlines() if line.startswith("| _printer.jog | Klipper"))
    assert any("no row: _printer.jog (Klipper)" in fault for fault in features.check(page.replace(row + "\n", ""))[0])
    assert any("twice: _printer.jog (Klipper)" in fault for fault in features.check(page + row + "\n")[0])
